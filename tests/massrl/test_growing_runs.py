"""Runs whose views grow: logged, checked before the first step, and resumed in the middle of an epoch."""

import json

import pytest
import torch
import yaml

import massrl
from data_loading.errors import ConfigError
from killing import kept, killed, logged, train
from massrl.cli.main import main
from massrl.cli.samples import sample_folder

SIZE = {0: 16, 1: 24, 2: 32}  # of 3 epochs of 4 batches


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def grown(images, tmp_path_factory):
    run = tmp_path_factory.mktemp("grown") / "run"
    train(images, run, size=SIZE)
    return run


def test_the_size_of_each_step_is_logged_and_that_of_the_end_is_what_an_encoder_is_evaluated_at(grown):
    assert [float(row["size"]) for row in logged(grown)] == [16.0] * 4 + [24.0] * 4 + [32.0] * 4
    assert yaml.safe_load((grown / "config.yaml").read_text())["data"]["size"] == SIZE
    assert kept(grown)["massrl"]["size"] == 32


def test_a_run_of_one_size_logs_none(images, tmp_path):
    train(images, tmp_path / "run", max_epochs=1)
    assert "size" not in logged(tmp_path / "run")[0]


@pytest.mark.parametrize(("point", "step"), [("before the row", 6), ("in the write", 5)])
def test_a_run_that_is_killed_within_an_epoch_goes_on_as_if_it_had_not_been(images, grown, tmp_path, point, step):
    killed(images, tmp_path / "run", point, step, size=SIZE)
    train(images, tmp_path / "run", size=SIZE)
    one, two = kept(tmp_path / "run"), kept(grown)
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
    assert logged(tmp_path / "run") == logged(grown)


def test_other_sizes_make_another_run(images, grown):
    for other in ({**SIZE, 5: 40}, 32, {0: 16}):
        with pytest.raises(ConfigError, match="begun with other settings: .*data.size is"):
            train(images, grown, size=other)


def test_replay_takes_the_size_of_the_epoch_from_the_runs_config(images, grown, tmp_path, capsys):
    nan = tmp_path / "nan.json"  # JSON turns epochs into text
    data = yaml.safe_load((grown / "config.yaml").read_text())["data"]
    nan.write_text(json.dumps({"data": data, "epoch": 1, "rows": [3]}))
    for config, words, side in ((grown / "config.yaml", ["--epoch", "2"], 32), (nan, [], 24)):
        out = str(tmp_path / "replay.png")
        assert main(["data", "replay", str(images), "--config", str(config), *words, "--out", out]) == 0
        assert capsys.readouterr().out.rstrip().endswith(f"views of {side} px")


def test_a_later_size_that_the_backbone_does_not_take_is_refused_before_the_first_step(images, tmp_path):
    options = {"backbone": "torchvision:vit_b_16", "backbone_args": {"image_size": 32}, "size": {0: 32, 5: 64}}
    options |= {"batch_size": 4, "max_epochs": 9, "accelerator": "cpu", "enable_progress_bar": False}
    with pytest.raises(ConfigError, match=r"cannot take global views of \(64, 64\) pixels"):
        massrl.pretrain(images, "SimCLR", out=tmp_path / "run", cache_dir=str(tmp_path / "cache"), **options)


def test_a_length_in_minutes_is_refused(images, tmp_path):
    with pytest.raises(ConfigError, match="size grows by epochs, .* give max_epochs"):
        train(images, tmp_path / "run", size=SIZE, max_epochs=None)
    assert not (tmp_path / "run").exists()
