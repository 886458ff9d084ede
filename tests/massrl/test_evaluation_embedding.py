"""massrl.features: features with file names, by any layer, cached, written to files."""

import csv
import json
import os
import shutil
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

import massrl
from data_loading import DatasetWriter
from data_loading.errors import CheckpointError, ConfigError, SourceError
from data_loading.fields import IntField, RGBImageField
from massrl.cli.embed import main as embed
from massrl.cli.features import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation import rows
from massrl.runs.record import file_sha256


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of 16 images, checkpoint of SimCLR, cache)."""
    tmp = tmp_path_factory.mktemp("embedding")
    images = sample_folder(tmp)
    return images, sample_checkpoint(tmp, images), tmp / "cache"


def test_every_image_has_its_features_and_its_name_within_the_folder(made):
    images, checkpoint, cache = made
    found = massrl.features(checkpoint, images, cache_dir=cache)["backbone"]
    assert found.names == sorted(str(p.relative_to(images)) for p in images.rglob("*.jpg"))
    assert found.x.shape == (16, 16) and found.x.dtype == np.float32
    assert found.classes == ["bars", "discs"] and found.y.tolist() == [0] * 8 + [1] * 8
    assert (found.layer, found.branch, found.method, found.size) == ("backbone", "online", "SimCLR", 16)
    assert found.to_dict()["checkpoint_sha256"] == rows.file_sha256(checkpoint)
    assert "SimCLR" in repr(found) and "SimCLR" in found._repr_html_()


def test_several_layers_take_one_pass_and_are_then_read_from_the_cache(made, monkeypatch):
    images, checkpoint, cache = made
    passes = []
    extract = rows.extract_layers
    monkeypatch.setattr(rows, "extract_layers", lambda *a, **k: passes.append(1) or extract(*a, **k))
    layers = ["backbone.layers.0", "projector"]
    first = massrl.features(checkpoint, images, layers=layers, cache_dir=cache)
    again = massrl.features(checkpoint, images, layers=layers, cache_dir=cache)
    alone = massrl.features(checkpoint, images, layers="projector", cache_dir=cache)
    assert len(passes) == 1 and list(first) == layers
    for layer in layers:
        np.testing.assert_array_equal(first[layer].x, again[layer].x)
    np.testing.assert_array_equal(first["projector"].x, alone["projector"].x)


def test_a_probe_reads_what_features_has_computed(made, monkeypatch):
    images, checkpoint, cache = made
    massrl.features(checkpoint, images, layers="projector", cache_dir=cache)
    massrl.knn(checkpoint, images, images, k=3, layer="backbone.layers.1", cache_dir=cache)  # fills the baselines
    networks = []
    extract = rows.extract_layers
    monkeypatch.setattr(rows, "extract_layers", lambda n, *a, **k: networks.append(n) or extract(n, *a, **k))
    found = massrl.knn(checkpoint, images, images, k=3, layer="projector", cache_dir=cache)
    assert found.to_dict()["layer"] == "projector" and found.to_dict()["branch"] == "online"
    assert len(networks) == 1  # those of the untrained network alone: train and test are one file


def test_a_csv_holds_the_features_to_the_bit(made, tmp_path):
    images, checkpoint, cache = made
    found = massrl.features(checkpoint, images, cache_dir=cache)["backbone"]
    with found.save(tmp_path / "a.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head[:3] == ["name", "label", "f0"] and [line[0] for line in lines] == found.names
    values = np.array([line[2:] for line in lines], dtype=np.float32)
    np.testing.assert_array_equal(values, found.x)


def test_an_npz_is_read_without_pickle(made, tmp_path):
    images, checkpoint, cache = made
    found = massrl.features(checkpoint, images, cache_dir=cache)["backbone"]
    with np.load(found.save(tmp_path / "a.npz"), allow_pickle=False) as stored:
        assert stored["names"].tolist() == found.names
        np.testing.assert_array_equal(stored["x"], found.x)
        assert json.loads(str(stored["card"])) == found.to_dict()  # layer, branch, hashes


def test_the_command_writes_what_the_features_depend_on(made, tmp_path):
    images, checkpoint, cache = made
    words = [str(images), "--checkpoint", str(checkpoint), "--cache_dir", str(cache), "--out", str(tmp_path / "a.csv")]
    assert embed([*words, "--json", str(tmp_path / "card.json")]) == 0
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["images"], card["branch"]) == (16, "online") and card["checkpoint_sha256"] == file_sha256(checkpoint)


def test_parquet_without_pyarrow_is_refused_before_the_work(made, tmp_path):
    try:
        import pyarrow.parquet
    except ImportError:
        with pytest.raises(ConfigError, match=r"pip install massrl\[parquet\]"):
            embed(["none", "--checkpoint", "none.ckpt", "--out", str(tmp_path / "a.parquet")])
        return
    images, checkpoint, cache = made
    found = massrl.features(checkpoint, images, cache_dir=cache)["backbone"]
    table = pyarrow.parquet.read_table(found.save(tmp_path / "a.parquet"))
    np.testing.assert_array_equal(np.stack([table[f"f{i}"].to_numpy() for i in range(16)], 1), found.x)


def test_the_command_prints_a_table_and_lists_layers(made, capsys):
    images, checkpoint, cache = made
    words = ["--checkpoint", str(checkpoint), "--cache_dir", str(cache)]
    assert main([*words, "--layers", "list"]) == 0
    listed = capsys.readouterr().out.split()
    assert {"backbone", "projector", "last1"} <= set(listed)
    assert main([*words, "--data", str(images), "--layers", "projector,backbone"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:4]] == [
        ["projector", "online", "16", "256"],
        ["backbone", "online", "16", "16"],
    ]


def test_embed_writes_features_with_a_map_beside_them(made, tmp_path, capsys):
    images, checkpoint, cache = made
    out = tmp_path / "deep" / "a.csv"
    words = [str(images), "--checkpoint", str(checkpoint), "--cache_dir", str(cache)]
    assert embed([*words, "--out", str(out), "--layer", "projector"]) == 0
    assert len(out.read_text().splitlines()) == 17
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert f"features: {out}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [main, embed])
def test_check_leaves_nothing_behind(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(["--check"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        (main, ["--layers", "nothing"], "no layer named 'nothing'"),
        (main, ["--branch", "target"], "has no target network"),
        (main, ["--size", "0"], "size is 0"),
        (main, ["--batch_size", "0"], "batch_size is 0"),
        (main, ["--cache_dir", ""], "cache_dir is ''; name a folder"),
        (main, ["--json", ""], "json is ''"),
        (embed, ["--out", "a.txt"], "a.txt: features are written to .npz, .csv, .parquet"),
        (embed, ["--out", ""], "out is ''"),
        (embed, ["--layer", "projektor"], "Did you mean 'projector'"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(made, command, words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, checkpoint, cache = made
    data = ["--data", str(images)] if command is main else [str(images)]
    with pytest.raises(ConfigError, match=says):
        command([*data, "--checkpoint", str(checkpoint), "--cache_dir", str(cache), *words])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"size": 0}, "size is 0"),
        ({"k": 10**12}, "k is"),
        ({"seed": 2**64}, "seed is"),
        ({"cache_dir": ""}, "cache_dir is ''"),
        ({"branch": "target"}, "no target network"),
    ],
)
def test_the_probes_refuse_them_too(made, words, says):
    images, checkpoint, cache = made
    with pytest.raises(ConfigError, match=says):
        massrl.knn(checkpoint, images, images, **{"cache_dir": cache, **words})


def test_a_damaged_checkpoint_is_refused(made, tmp_path):
    images, checkpoint, cache = made
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="broken.ckpt"):
        massrl.features(broken, images, cache_dir=cache)


def test_features_of_rows_are_in_eval_mode(made):
    images, checkpoint, cache = made
    method = massrl.load(checkpoint)
    found = massrl.features(checkpoint, images, cache_dir=cache)["backbone"]
    alone = massrl.features(checkpoint, images, batch_size=5, cache_dir=cache / "other")["backbone"]
    torch.testing.assert_close(torch.from_numpy(found.x), torch.from_numpy(alone.x), atol=1e-6, rtol=1e-5)
    assert not method.training


def test_features_that_are_not_finite_are_refused_before_a_file_is_written(made, tmp_path, monkeypatch):
    images, checkpoint, cache = made
    broken = massrl.load(checkpoint)
    with torch.no_grad():
        next(broken.backbone.parameters()).fill_(float("nan"))
    monkeypatch.setattr(rows, "load", lambda path: broken)
    words = [str(images), "--checkpoint", str(checkpoint), "--cache_dir", str(tmp_path / "cache")]
    with pytest.raises(CheckpointError, match="holds NaN or infinity"):
        embed([*words, "--out", str(tmp_path / "a.npz")])
    assert not (tmp_path / "a.npz").exists()


def test_few_images_have_features_and_no_map(made, tmp_path, capsys):
    images, checkpoint, _ = made
    few = tmp_path / "few"
    few.mkdir()
    (few / "one.jpg").write_bytes((images / "bars" / "01.jpg").read_bytes())
    out = tmp_path / "a.npz"
    assert embed([str(few), "--checkpoint", str(checkpoint), "--cache_dir", str(tmp_path), "--out", str(out)]) == 0
    assert out.exists() and not out.with_suffix(".png").exists()
    assert "no map: 1 images are too few" in capsys.readouterr().out


def test_a_file_name_that_is_no_utf8_is_written_as_it_is(made, tmp_path):
    images, checkpoint, cache = made
    folder = tmp_path / "odd"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(next(images.rglob("*.jpg")), folder / name)
    found = massrl.embed(folder, checkpoint, cache_dir=tmp_path / "cache")
    assert b"caf\xe9.jpg" in found.save(tmp_path / "f.csv").read_bytes()


def test_features_of_a_class_that_no_file_holds_are_not_kept_and_those_of_a_changed_file_are_made_again(tmp_path):
    from_notebook = {"__name__": "a_notebook", "nn": torch.nn}
    exec("class Mine(nn.Flatten):\n    pass", from_notebook)
    assert rows.own_code(torch.nn.Sequential(from_notebook["Mine"]())) == rows.UNKNOWN
    assert rows.kept_in(tmp_path, {"code": rows.UNKNOWN}) is None and rows.kept_in(tmp_path, {"code": "a"}) == tmp_path
    assert rows.own_code(torch.nn.Linear(1, 1)) is None
    (tmp_path / "own_backbone_1.py").write_text("from torch import nn\n\n\nclass Own(nn.Flatten):\n    pass\n")
    sys.path.insert(0, str(tmp_path))
    try:
        network = torch.nn.Sequential(import_module("own_backbone_1").Own())
    finally:
        sys.path.remove(str(tmp_path))
    before = rows.own_code(network)
    with open(tmp_path / "own_backbone_1.py", "a") as file:
        file.write("# changed\n")
    assert before != rows.own_code(network) and len(before) == 64


def test_the_untrained_network_of_two_checkpoints_of_one_run_is_one(made, tmp_path):
    images, checkpoint, _ = made
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"] = {k: v + 1 if v.is_floating_point() else v for k, v in content["state_dict"].items()}
    torch.save(content, tmp_path / "later.ckpt")
    for where in (checkpoint, tmp_path / "later.ckpt"):
        massrl.knn(where, images, images, k=3, num_workers=1, cache_dir=tmp_path / "cache")
    kinds = [json.loads(file.read_text())["row"] for file in (tmp_path / "cache").rglob("features.json")]
    assert sorted(kinds) == ["pixels", "random", "trained", "trained"]


def test_test_images_of_a_class_that_no_training_image_is_of_are_refused(made, tmp_path):
    _, checkpoint, _ = made
    draw = np.random.default_rng(0)
    for name, first in (("train", 0), ("test", 1)):
        images = [(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8), first + i % 2) for i in range(8)]
        fields = {"image": RGBImageField(), "label": IntField()}
        DatasetWriter(tmp_path / f"{name}.beton", fields).from_indexed_dataset(images, progress=False)
    for probe in (massrl.knn, massrl.linear):
        with pytest.raises(SourceError, match="images of class 2, which no image of"):
            probe(checkpoint, tmp_path / "train.beton", tmp_path / "test.beton", cache_dir=tmp_path / "cache")
