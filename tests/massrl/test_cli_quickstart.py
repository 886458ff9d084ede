"""The quickstart: from a folder of images to a table, or to what can be said without labels."""

import json
import shutil

import pytest

from data_loading.errors import ConfigError, SourceError
from massrl.cli import quickstart
from massrl.cli.samples import sample_folder

QUICK = ["--minutes", "0.01", "--size", "16", "--draws", "2"]
MEASURES = ("linear_1_per_class", "linear_10pct", "linear_all", "knn")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_with_classes_gives_the_table_and_its_record(here, capsys):
    folder = sample_folder(here)
    quickstart.main([str(folder), "--run", "out", *QUICK])
    metrics = json.loads((here / "out" / "metrics.json").read_text())
    assert set(metrics) == {*MEASURES, "seconds"} and set(metrics["seconds"]) == {"write", "massrl", "evaluate"}
    for measure in MEASURES:
        assert set(metrics[measure]) == {"pixels", "random", "massrl"}
        for entry in metrics[measure].values():
            assert set(entry) == {"mean", "std", "draws"} and 0 <= entry["mean"] <= 1
            assert (entry["std"] is None) == (entry["draws"] == 1)
    printed = capsys.readouterr().out
    assert "raw pixels" in printed and "untrained network" in printed and "\nMASSRL " in printed
    assert (here / "out" / "massrl" / "checkpoints" / "last.ckpt").exists()
    assert "<table" in (here / "out" / "report.html").read_text()


def test_a_flat_folder_gives_rank_and_alignment_and_no_accuracy(here):
    folder = sample_folder(here)
    for image in sorted(folder.glob("*/*.jpg")):
        shutil.move(image, folder / f"{image.parent.name}-{image.name}")
    for part in ("discs", "bars"):
        (folder / part).rmdir()
    quickstart.main([str(folder), "--run", "out", *QUICK])
    metrics = json.loads((here / "out" / "metrics.json").read_text())
    assert set(metrics) == {"rank", "alignment", "seconds"}
    assert metrics["rank"] >= 1 and 0 <= metrics["alignment"] <= 4
    assert (here / "out" / "report.html").exists()


def test_a_second_quickstart_replaces_the_first_and_nothing_else(here):
    run = here / "out"
    (run / "massrl").mkdir(parents=True)
    (run / "massrl" / "old").touch()
    (run / quickstart.MARK).touch()
    (run / "notes.txt").write_text("mine")
    quickstart._clear(run)
    assert not (run / "massrl").exists() and (run / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_not_a_quickstarts_is_never_cleared(here):
    (here / "mine" / "data").mkdir(parents=True)
    (here / "mine" / "data" / "precious").write_text("kept")
    for words in ([str(sample_folder(here)), *QUICK], []):
        with pytest.raises(ConfigError, match="not the folder of a quickstart"):
            quickstart.main([*words, "--run", "mine"])
    assert (here / "mine" / "data" / "precious").read_text() == "kept"


def test_a_bad_image_costs_no_earlier_results(here):
    folder, run = sample_folder(here), here / "out"
    run.mkdir()
    (run / quickstart.MARK).touch()
    (run / "report.html").write_text("earlier")
    next(folder.glob("bars/*.jpg")).write_bytes(b"no image")
    with pytest.raises(SourceError, match="bars/"):
        quickstart.main([str(folder), "--run", "out", *QUICK])
    assert (run / "report.html").read_text() == "earlier"


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--draws", "0"], ["--minutes", "0"]])
def test_numbers_out_of_range_are_refused_before_anything_is_done(here, words):
    with pytest.raises(ConfigError, match=words[0].strip("-")):
        quickstart.main(words)
    assert list(here.iterdir()) == []


def test_a_check_leaves_nothing_behind(here, capsys):
    quickstart.main(["--check", "nothing_here/"])
    assert "16 generated images are used instead" in capsys.readouterr().out
    assert list(here.iterdir()) == []
