"""Replay draws exactly what the loader drew, for any batch size, order and number of threads."""

import pytest
import yaml

from data_loading import Loader, replay_views
from data_loading.errors import ConfigError
from data_loading.sources import as_beton
from massrl.cli.main import main

VIEWS = {"strategies": ["byol", "simclr"], "crops": 2, "size": 24, "shared_crops": True, "local": 1, "local_size": 10}


@pytest.fixture
def file(tmp_path):
    return as_beton("digits", tmp_path, progress=False)


def test_replay_draws_the_views_that_a_loader_drew(file):
    loader = Loader(file, 64, VIEWS, seed=5, dtype="uint8", num_workers=2, with_plan=True)
    loader.set_epoch(3)
    batch = next(iter(loader))
    for b in (0, 17, 63):
        index = int(batch.index[b])
        again = replay_views(file, VIEWS, seed=5, epoch=3, index=index)
        for seen, drawn in zip(batch.views, again.views, strict=True):
            assert (seen[b].permute(1, 2, 0).numpy() == drawn).all()
        assert again.plan.rows(again.view_set, 0) == batch.plan.rows(batch.view_set, b)


def test_the_command_reads_views_and_seed_from_the_runs_config(file, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"data": {"views": VIEWS, "size": 24, "seed": 5}}))
    out = tmp_path / "replay.png"
    words = ["data", "replay", str(file), "--config", str(config), "--epoch", "3", "--index", "7", "--out", str(out)]
    assert main(words) == 0
    again = replay_views(file, VIEWS, seed=5, epoch=3, index=7)
    assert capsys.readouterr().out.startswith(again.plan.table(again.view_set, 0)) and out.exists()


def test_an_index_outside_of_the_file_and_a_missing_seed_are_refused(file, tmp_path, capsys):
    with pytest.raises(ConfigError, match="samples 0 to 1796"):
        replay_views(file, "simclr", seed=0, epoch=0, index=1797)
    assert main(["data", "replay", str(file), "--views", "simclr"]) == 2
    assert "the seed is not given" in capsys.readouterr().err
