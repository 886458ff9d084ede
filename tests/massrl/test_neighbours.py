"""massrl.neighbours: the images of a folder nearest to given ones, as a table, JSON and a picture."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import massrl
from data_loading.errors import ConfigError, SourceError
from massrl.cli.neighbours import main
from massrl.cli.samples import sample_checkpoint, sample_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of 16 images, checkpoint of SimCLR, cache)."""
    tmp = tmp_path_factory.mktemp("neighbours")
    images = sample_folder(tmp)
    return images, sample_checkpoint(tmp, images), tmp / "cache"


def test_a_copy_of_an_image_is_its_nearest_and_the_others_follow_by_cosine(made, tmp_path):
    images, checkpoint, cache = made
    copy = shutil.copy(images / "discs" / "04.jpg", tmp_path / "copy.jpg")
    found = massrl.neighbours(copy, images, checkpoint, k=16, cache_dir=cache)
    assert found.names[0][0] == "discs/04.jpg" and found.similarity[0, 0] == pytest.approx(1, abs=1e-5)
    x = found.among.x.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = x @ x[found.among.names.index("discs/04.jpg")]
    np.testing.assert_allclose(found.similarity[0], np.sort(expected)[::-1], atol=1e-5)
    np.testing.assert_allclose(expected[found.rows[0]], found.similarity[0], atol=1e-5)


def test_an_image_of_the_folder_is_not_its_own_neighbour(made):
    images, checkpoint, cache = made
    files = [images / "bars" / "01.jpg", images / "discs" / "02.jpg"]
    found = massrl.neighbours(files, images, checkpoint, k=15, cache_dir=cache)
    for file, names in zip(files, found.names, strict=True):
        assert str(file.relative_to(images)) not in names and len(set(names)) == 15


def test_images_of_any_size_and_kind_can_be_asked_for(made, tmp_path):
    images, checkpoint, cache = made
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (90, 30), dtype=np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(rng.integers(0, 256, (20, 70, 4), dtype=np.uint8)).save(tmp_path / "alpha.png")
    found = massrl.neighbours([tmp_path / "grey.png", tmp_path / "alpha.png"], images, checkpoint, k=2, cache_dir=cache)
    assert found.rows.shape == (2, 2)
    assert found.save(tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_prints_and_writes_what_the_function_returns(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images, checkpoint, cache = made
    query = str(images / "bars" / "01.jpg")
    words = [query, "--among", str(images), "--checkpoint", str(checkpoint), "--cache_dir", str(cache)]
    assert main([*words, "--k", "3", "--json", "a.json"]) == 0
    found = massrl.neighbours(query, images, checkpoint, k=3, cache_dir=cache)
    assert repr(found) in capsys.readouterr().out
    record = json.loads((tmp_path / "a.json").read_text())
    assert [one["name"] for one in record["neighbours"][query]] == found.names[0]
    assert record["layer"] == "backbone" and (tmp_path / "neighbours.png").exists()
    assert found._repr_html_().count("<tr>") == 4


def test_check_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--k", "0"], ConfigError, "k is 0"),
        (["--k", "99"], ConfigError, "k is 99, and .* has 15 images to compare with"),
        (["--k", str(10**12)], ConfigError, "k is 1000000000000"),
        (["--out", ""], ConfigError, "out is ''"),
        (["nothing.jpg"], SourceError, "nothing.jpg: there is no such image file"),
        (["text.jpg"], SourceError, "^text.jpg: cannot be read as an image"),
        (["notes.txt"], SourceError, "^notes.txt: not an image file by its suffix"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(made, words, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("text.jpg", "notes.txt"):
        (tmp_path / name).write_text("no image")
    images, checkpoint, cache = made
    given = [str(images / "bars" / "01.jpg"), "--among", str(images), "--checkpoint", str(checkpoint)]
    first, rest = (words[:1], words[1:]) if words[0].endswith((".jpg", ".txt")) else ([], words)
    with pytest.raises(error, match=says):
        main([*given[:1], *first, *given[1:], "--cache_dir", str(cache), *rest])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "text.jpg"]


def test_options_that_are_missing_are_named():
    with pytest.raises(ConfigError, match="missing: IMAGE, --among, --checkpoint"):
        main([])
