"""`massrl data`: write, info, verify, show and replay on the command line; mistakes are answered in one line."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from commands import parse
from data_loading import DatasetWriter, Loader, Reader
from data_loading.errors import UserError
from data_loading.fields import IntField
from massrl.cli import data
from massrl.cli.main import main


@pytest.fixture
def images(tmp_path):
    """cat: 3, dog: 2 JPEG images of 40 x 30."""
    for label, (name, count) in enumerate((("cat", 3), ("dog", 2))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(10 * label + i).integers(0, 256, (30, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.jpg")
    return tmp_path / "images"


def test_a_folder_is_written_and_described(images, tmp_path, capsys):
    out = tmp_path / "new" / "out.beton"
    assert main(["data", "write", str(images), str(out)]) == 0
    assert "5 images of 2 classes" in capsys.readouterr().out
    assert main(["data", "info", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["samples"] == 5 and facts["fields"] == {"image": "image", "label": "int"}
    assert facts["images"]["image"]["modes"] == {"jpg": 5}
    assert facts["ints"]["label"] == {"distinct": 2, "min": 0, "max": 1, "most_frequent": {"0": 3, "1": 2}}
    assert set(facts["images"]["image"]["width"].values()) == {40}
    assert facts["sha256"] == Reader(out).sha256() and facts["bytes"] == out.stat().st_size
    assert main(["data", "info", str(out)]) == 0
    assert "5 samples" in capsys.readouterr().out


def test_the_most_frequent_values_of_an_int_field_are_listed(tmp_path, capsys):
    numbers = [-7, 5, 5, 5, 900, 900, *range(1000, 1100)]
    DatasetWriter("a.beton", {"id": IntField()}).from_indexed_dataset([(i,) for i in numbers], progress=False)
    assert main(["data", "info", "a.beton", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["ints"]["id"]
    most = found.pop("most_frequent")
    assert found == {"distinct": 103, "min": -7, "max": 1099}
    assert list(most.items())[:4] == [("5", 3), ("900", 2), ("-7", 1), ("1000", 1)] and len(most) == 20
    assert main(["data", "info", "a.beton"]) == 0
    assert "id       -7: 1, 5: 3, 900: 2, 1000: 1, " in (text := capsys.readouterr().out)
    assert "1016: 1, ... (103 values from -7 to 1099)" in text  # the same 20 values, sorted


def test_options_of_write_reach_the_file(images, tmp_path):
    out = tmp_path / "out.beton"
    main(["data", "write", str(images), str(out), "--write_mode", "raw", "--max_resolution", "20"])
    table = Reader(out).image_table()
    assert set(table.mode) == {1} and set(table.width) == {20} and set(table.height) == {15}
    main(["data", "write", "digits", str(out), "--split", "test"])
    assert len(Reader(out)) == 360


def test_a_bad_image_is_named_and_skipped_with_skip_bad(images, tmp_path, capsys):
    (images / "cat" / "1.jpg").write_bytes(b"\xff\xd8 no")
    out = tmp_path / "out.beton"
    assert main(["data", "write", str(images), str(out)]) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1 and "cat/1.jpg" in words and "--skip-bad" in words and not out.exists()
    assert main(["data", "write", str(images), str(out), "--skip-bad"]) == 0
    words = capsys.readouterr().out
    assert "left out: " in words and "cat/1.jpg" in words and "4 images of 2 classes, 1 left out" in words


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["wrtie"], "Did you mean 'write'?"),
        (["write", "nowhere", "a.beton"], "nowhere: there is no such folder"),
        (["write", "digits", "a.txt"], "must end in .beton"),
        (["write", "digits", "a.beton", "--split", "val"], "choose train or test"),
        (["write", "digits", "a.beton", "--write_mode", "bmp"], "choose one of raw, jpg"),
        (["info", "nowhere.beton"], "nowhere.beton: there is no such file"),
        (["show", "digits", "--n", "0"], "n is 0; it must be at least 1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("massrl data: error: ") and words in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_no_split_can_be_chosen_the_error_has_the_command_that_can(images, tmp_path, capsys, monkeypatch):
    for split in ("train", "test"):
        shutil.copytree(images, tmp_path / "both" / split)
    shutil.make_archive(str(tmp_path / "both"), "zip", tmp_path / "both")
    for name in ("cifar10", str(tmp_path / "both.zip")):
        said = []
        with pytest.raises(UserError) as caught:
            Loader(name, 4)
        said.append(str(caught.value))
        assert main(["pretrain", "--data.train", name, "--run", str(tmp_path / "run")]) == 2
        said.append(capsys.readouterr().err.strip())
        for sentence in said:
            command = shlex.split(sentence.rpartition(": ")[2])
            assert command[:4] == ["massrl", "data", "write", name] and "--split" in command
            parse(command[1:], monkeypatch)  # the options exist


def test_a_missing_argument_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        data.main(["write", "digits"])
    assert stopped.value.code == 2 and "missing: OUT" in capsys.readouterr().err


def test_show_renders_samples_beside_their_views(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the folder's .beton file goes to runs/.cache there
    out = tmp_path / "views.png"
    options = ["--views", "simclr", "--size", "16", "--n", "9"]
    for name in ("a", "b"):
        main(["data", "show", str(images), *options, "--out", str(tmp_path / f"{name}.png")])
    main(["data", "show", str(images), *options, "--epoch", "1", "--out", str(out)])
    a, b, other = (np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB")) for n in ("a", "b", "views"))
    np.testing.assert_array_equal(a, b)  # one seed and epoch give one picture
    assert a.shape == other.shape and (a != other).any()
    assert a.shape[0] > a.shape[1]  # 5 samples; the image and two views


def test_check_leaves_no_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "--check"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "16 generated images" in capsys.readouterr().out
