"""Shards on the command line: written, merged, and read by every command as the one data set that they are."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

import massrl
from data_loading import BetonDataModule, Loader, Reader, sources
from data_loading.config.once import warn_once
from data_loading.errors import SourceError
from data_loading.sources.index import read_index
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with images, their file one.beton, and the same in shards s-*; a checkpoint of two steps on them."""
    folder = tmp_path_factory.mktemp("shards")
    images = sample_folder(folder)
    assert main(["data", "write", str(images), str(folder / "one.beton")]) == 0
    for shard in range(3):
        out = str(folder / "s.beton")
        assert main(["data", "write", str(images), out, "--shards", "3", "--shard", str(shard)]) == 0
    return folder, sample_checkpoint(folder, images)


@pytest.fixture
def given(made):
    """What a command is given for the one file and for its shards: by a pattern, and by a list of files."""
    folder, _ = made
    parts = [str(folder / f"s-0000{i}-of-00003.beton") for i in range(3)]
    return str(folder / "one.beton"), str(folder / "s-*.beton"), parts


def said(capsys, *words: str) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def refused(capsys, *words: str) -> str:
    """The line that a command says that ends with exit code 2."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    line = capsys.readouterr().err
    assert code == 2 and line.count("\n") == 1, line
    return line


def test_the_commands_of_the_help_write_and_merge_to_the_file_of_one_process(made, tmp_path, capsys):
    folder, _ = made
    line = said(capsys, "data", "merge", tmp_path / "m.beton", folder / "s-*-of-00003.beton")
    assert line.startswith(f"{tmp_path}/m.beton: 16 samples of 3 files; 4.2 MB")
    for name in ("beton", "index.json"):
        assert (tmp_path / f"m.{name}").read_bytes() == (folder / f"one.{name}").read_bytes()
    several = said(capsys, "data", "merge", "n.beton", *sorted(folder.glob("s-*.beton")))  # as a shell makes of it
    assert "16 samples" in several and (tmp_path / "n.beton").read_bytes() == (tmp_path / "m.beton").read_bytes()


def test_what_no_shard_can_be_is_one_line_and_writes_nothing(made, tmp_path, capsys):
    images = made[0] / "sample_images"
    for words, line in (
        ("--shards 3", "shards is given without shard; give both: shard I, from 0 on, of N shards"),
        ("--shard 0", "shard is given without shards"),
        ("--shards 3 --shard 3", "shard is 3; with 3 shards it must be an integer from 0 to 2"),
        ("--shards 0 --shard 0", "shards is 0; it must be an integer from 1 to 99,999"),
        ("--shards 17 --shard 0", "shards is 17, but there are only 16 samples; choose fewer shards"),
        ("--shards 1.5 --shard 0", "shards"),
        ("--shards 3 --check", "shards is given without shard"),
    ):
        assert line in refused(capsys, "data", "write", images, "new/s.beton", *shlex.split(words))
    assert "must end in .beton" in refused(capsys, "data", "merge", "m.txt", made[0] / "s-*.beton")
    assert "missing: PARTS" in refused(capsys, "data", "merge", "m.beton")
    assert "missing: OUT" in refused(capsys, "data", "merge")
    assert "no file matches this pattern" in refused(capsys, "data", "merge", "m.beton", "none-*.beton")
    assert "of which 1 is missing: number 2" in refused(
        capsys, "data", "merge", "m.beton", made[0] / "s-0000[01]-of-00003.beton"
    )
    assert "names .beton files already; massrl data merge" in refused(
        capsys, "data", "write", made[0] / "s-*.beton", "m.beton"
    )
    assert list(tmp_path.iterdir()) == []


def test_names_of_images_and_classes_are_those_of_the_one_file(given):
    one, pattern, parts = given
    expected = read_index(one)
    for several in (pattern, parts):
        found = read_index(several)
        assert {key: found[key] for key in ("classes", "paths", "labels")} == {
            key: expected[key] for key in ("classes", "paths", "labels")
        }


ROWS = ("accuracy", "untrained", "pixels")
DATA = {  # actions of massrl data -> what they say of FILE that has to be the same
    "info --json": lambda text: {k: v for k, v in json.loads(text).items() if k not in ("path", "bytes", "sha256")},
    "verify": lambda text: text.partition(": ")[2],
    "show --views simclr --size 16 --n 3 --out o.png": lambda text: Path("o.png").read_bytes(),
    "show --boxes --index 9 --views simclr --size 16 --out o.png": lambda text: Path("o.png").read_bytes(),
    "replay --views simclr --size 16 --seed 3 --index 9 --out o.png": lambda text: (
        text + str(Path("o.png").read_bytes())
    ),
}


@pytest.mark.parametrize("words", DATA)
def test_actions_of_data_take_a_pattern_and_several_files(given, capsys, words):
    action, *options = words.split()
    one, pattern, parts = (DATA[words](said(capsys, "data", action, *files, *options)) for files in as_words(given))
    assert one == pattern == parts


def as_words(given):
    """The three as words of a position: a file, a pattern, several files."""
    one, pattern, parts = given
    return [one], [pattern], parts


def test_bench_doctor_and_check_take_several_files_and_check_names_their_images(given, capsys):
    _, pattern, parts = given
    short = ["--works", "simclr", "--peers", "massrl", "--rounds", "1", "--seconds", "0.01", "--batch_size", "4"]
    assert "16 of 16 images" in said(capsys, "data", "bench", *parts, *short)
    options = ["--workers", "1", "--batch_size", "4", "--images", "8"]
    assert "cold disk" in said(capsys, "data", "doctor", *parts, *options)
    copies = "--against", f"[{parts[0]}, {parts[1]}]", "--json", "leaks.json", "--num_workers", "1"
    said(capsys, "data", "check", pattern, *copies)
    pairs = json.loads(Path("leaks.json").read_text())["pairs"]
    assert pairs and all(pair["name"].endswith(".jpg") for pair in pairs)  # names of images, not rows


def test_evaluations_of_a_pattern_and_of_a_list_are_those_of_the_one_file(made, given, capsys):
    _, checkpoint = made

    def evaluated(data, *command):
        one = data if isinstance(data, str) else f"[{', '.join(data)}]"
        options = ["--checkpoint", checkpoint, "--train", one, "--test", one, "--num_workers", "0"]
        said(capsys, *command, *options, "--json", "record.json")
        return json.loads(Path("record.json").read_text())

    def same(*command):
        figures = [[record[row] for row in ROWS] for record in (evaluated(data, *command) for data in given)]
        assert figures[0] == figures[1] == figures[2]

    same("knn", "--k", "5")
    same("linear", "--draws", "1")
    Path("names.txt").write_text("bars/01.jpg\nbars/15.jpg\ndiscs/00.jpg\ndiscs/14.jpg\n")
    few = ["--subset_file", "names.txt", "--epochs", "1", "--accelerator", "cpu", "--probe", "false"]
    accuracies = [evaluated(data, "semi", *few)["accuracy"] for data in given]
    assert accuracies[0] == accuracies[1] == accuracies[2]


def test_features_of_a_pattern_have_the_names_of_the_images(made, given):
    _, checkpoint = made
    one, pattern, parts = (massrl.embed(data, checkpoint, num_workers=0) for data in given)
    assert one.names == pattern.names == parts.names and "bars/01.jpg" in one.names
    assert (one.x == pattern.x).all() and (one.x == parts.x).all()


def test_transfer_and_neighbours_take_them_too(made, given, capsys):
    images, checkpoint = made[0] / "sample_images", made[1]
    one, pattern, parts = given
    tables = []
    for train, test in ((one, one), (pattern, parts)):
        Path("sets.yaml").write_text(yaml.safe_dump({"set": {"train": train, "test": test}}))
        text = said(capsys, "transfer", "--checkpoint", checkpoint, "--sets", "sets.yaml", "--num_workers", "0")
        tables.append([line for line in text.splitlines() if line.startswith("set")])
    assert tables[0] == tables[1] != []
    among = ["--among", f"[{', '.join(parts)}]", "--checkpoint", checkpoint, "--out", "n.png", "--num_workers", "0"]
    assert "discs/06.jpg" in said(capsys, "neighbours", images / "discs/00.jpg", *among)


def test_pretraining_takes_them_and_its_report_and_check_do(given, tmp_path, capsys):
    losses = []
    for i, data in enumerate(given):
        options = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}, "size": 16, "batch_size": 4}
        quiet = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "num_workers": 0, "export": False}
        run = massrl.pretrain(data, "SimCLR", val=data, out=tmp_path / f"run{i}", report=i == 1, **options, **quiet)
        losses.append(run.metrics["training"]["loss"])
    assert losses[0] == losses[1] == losses[2]
    assert (tmp_path / "run1" / "report.html").exists()
    check = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--check"]
    assert f"data.train: {given[1]}" in said(capsys, "pretrain", "--data.train", given[1], *check)


def test_a_name_that_two_files_have_an_image_of_does_not_choose_one_of_them(made, given, capsys):
    folder, checkpoint = made
    Path("again.beton").write_bytes(Path(given[0]).read_bytes())
    Path("again.index.json").write_bytes(Path(given[0]).with_suffix(".index.json").read_bytes())
    Path("names.txt").write_text("bars/01.jpg\ndiscs/00.jpg\n")
    train = ["--train", f"[{given[0]}, again.beton]", "--test", given[0], "--subset_file", "names.txt"]
    line = refused(capsys, "semi", "--checkpoint", checkpoint, *train, "--num_workers", "0")
    assert "names.txt: bars/01.jpg fits several images of" in line and "name them by their rows" in line


@pytest.fixture
def parts_of_other_classes(tmp_path):
    """a-0.beton with the classes bars and discs, a-1.beton with bars and other."""
    images = sample_folder(tmp_path)
    assert main(["data", "write", str(images), "a-0.beton"]) == 0
    (images / "discs").rename(images / "other")
    assert main(["data", "write", str(images), "a-1.beton"]) == 0
    return "a-*.beton"


def test_files_whose_classes_have_other_names_are_no_data_set(parts_of_other_classes, made, capsys):
    words = "a-0.beton and a-1.beton have other classes, discs, other in one only"
    for open_it in (lambda p: Loader(p, 4), sources.as_beton, lambda p: BetonDataModule(p).file(), read_index):
        for path in (parts_of_other_classes, ["a-0.beton", "a-1.beton"]):
            with pytest.raises(SourceError, match=words):
                open_it(path)
    for command in (["data", "info"], ["data", "verify"], ["embed", "--checkpoint", made[1]]):
        assert words in refused(capsys, *command, parts_of_other_classes)
    assert words in refused(capsys, "data", "merge", "m.beton", parts_of_other_classes)
    assert len(Reader(parts_of_other_classes)) == 32  # it reads samples, whatever their labels mean


def test_a_set_that_lacks_a_shard_is_read_with_a_warning_and_not_verified(made, caplog, capsys):
    folder, _ = made
    warn_once.cache_clear()
    some = str(folder / "s-0000[02]-of-00003.beton")
    assert len(Loader(some, 4, "eval", size=8).reader) == 11
    warnings = [record.getMessage() for record in caplog.records]
    first = folder / "s-00000-of-00003.beton"
    assert warnings == [f"{first} is one of 3 shards, of which 1 is missing: number 1, counted from 0"]
    caplog.clear()
    Loader(str(folder / "s-*.beton"), 4, "eval", size=8)
    Loader(first, 4, "eval", size=8)  # one shard by its own name is what was meant
    assert caplog.records == []
    assert main(["data", "verify", some]) == 2
    words = capsys.readouterr().out
    assert "of which 1 is missing: number 1" in words and f"{some}: 1 fault; 11 samples" in words
    Loader(str(folder / "s-*2-of-00003.beton"), 4, "eval", size=8)  # a pattern that fits a single one
    assert ["of which 2 are missing: number 0, 1" in record.getMessage() for record in caplog.records] == [True]
