"""Arms of the comparison of strategies: equal work, and its bad input."""

import pytest

from data_loading.errors import ConfigError, SourceError
from data_loading.views.view_sets import get
from massrl.bench.strategies import ARMS, VIEWS_A_STEP, Comparison
from massrl.cli.bench import _generated_arrays, main
from massrl.methods import METHODS
from massrl.optim import OptimConfig


def test_every_arm_forwards_equally_many_views_of_an_image_in_steps_of_equally_many():
    for arm in ARMS:
        assert arm.epochs(48) * arm.number == 48 and VIEWS_A_STEP % arm.number == 0
        views = get(arm.views)
        assert len(views) == arm.number
        METHODS[arm.method](**{**arm.model, "optim": OptimConfig(**arm.model["optim"])}).check(views)


def test_the_control_has_the_boxes_and_the_number_of_views_of_massrl_and_one_strategy():
    massrl, control = (get(arm.views) for arm in ARMS[-2:])
    assert [v.crop for v in massrl.views] == [v.crop for v in control.views]
    assert len({v.strategy for v in control.views}) == 1 and len({v.strategy for v in massrl.views}) == 4


def test_a_budget_that_not_all_arms_divide_and_missing_data_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--budget is 20 .* multiple of 8"):
        Comparison(tmp_path / "none.npz", tmp_path, budget=20)
    with pytest.raises(ConfigError, match="--seeds is 0"):
        Comparison(tmp_path / "none.npz", tmp_path, seeds=0)
    with pytest.raises(ConfigError, match="name the data"):
        main(["strategies"])
    with pytest.raises(SourceError, match="none.npz"):
        Comparison(tmp_path / "none.npz", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_another_comparison_is_refused_and_left_alone(tmp_path):
    data = _generated_arrays(tmp_path)
    Comparison(data, tmp_path / "runs", budget=8)
    Comparison(data, tmp_path / "runs", budget=8, seeds=5)  # more seeds go on with it
    before = (tmp_path / "runs/comparison.json").read_text()
    with pytest.raises(
        ConfigError, match="runs holds a comparison with budget 8, not 16; choose another folder by --out"
    ):
        Comparison(data, tmp_path / "runs", budget=16)
    other = (tmp_path / "other.npz").absolute()
    other.write_bytes(data.read_bytes())
    with pytest.raises(ConfigError, match=f"data {data}, not {other}"):
        Comparison(other, tmp_path / "runs", budget=8)
    assert (tmp_path / "runs/comparison.json").read_text() == before
    (tmp_path / "old/0-simclr-2-views-seed-0").mkdir(parents=True)
    with pytest.raises(ConfigError, match="old has runs but no comparison.json that describes them"):
        Comparison(data, tmp_path / "old", budget=8)
    with pytest.raises(ConfigError, match="other.npz/strategies.json cannot be written|other.npz"):
        main(["strategies", str(data), "--out", str(other)])


@pytest.mark.long
def test_the_whole_comparison_runs_on_drawn_images(capsys):
    assert main(["strategies", "--check"]) == 0
    assert "control: 1 strategy, 8 views" in capsys.readouterr().out
