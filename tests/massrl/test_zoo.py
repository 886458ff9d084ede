"""The zoo: checkpoints that come with the package, by name wherever a checkpoint is asked for."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import massrl
from data_loading.errors import CheckpointError, ConfigError, UnknownName
from massrl import zoo
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.exporting.to_zoo import MOST_BYTES, add, paths_in
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.folder import Run

ROOT = Path(__file__).parents[2]
every = pytest.mark.parametrize("name", zoo.names())


@every
def test_a_checkpoint_is_small_is_the_file_that_its_card_describes_and_names_no_machine(name):
    card = zoo.card(name)
    file = zoo.path(f"zoo:{name}")
    assert file.stat().st_size == card["bytes"] <= MOST_BYTES
    assert card["name"] == name and card["commands"] and card["figures"]
    content = torch.load(file, weights_only=True)
    assert set(content["massrl"]) == {"size", "mean", "std", "view_set"} and "optimizer_states" not in content
    settings = {key: content[key] for key in content if key != "state_dict"}
    assert not [*paths_in(settings), *paths_in(card)]


def test_the_zoo_has_the_checkpoints_that_the_docs_name_with_their_figures():
    page = (ROOT / "docs" / "zoo.md").read_text()
    assert set(re.findall(r"`zoo:([a-z0-9-]+)`", page)) == set(zoo.names()) != set()
    for name in zoo.names():
        for of in zoo.card(name)["figures"].values():
            for row in ("accuracy", "untrained", "pixels", "probe", "scratch"):
                assert row not in of or f"{100 * of[row]['mean']:.1f}" in page


@every
def test_load_gives_the_method_and_its_encoder_gives_features(name):
    card, method = zoo.card(name), massrl.load(f"zoo:{name}")
    assert type(method).__name__ == card["method"]
    assert sum(p.numel() for p in method.backbone.parameters()) == card["parameters"]
    with torch.no_grad():
        out = method.encoder(torch.randn(2, 3, card["size"], card["size"]))
    assert out.shape == (2, card["features"]) and out.isfinite().all()
    assert torch.equal(massrl.load_encoder(f"zoo:{name}").state_dict()["layers.0.0.weight"],
                       method.backbone.state_dict()["layers.0.0.weight"])  # fmt: skip


@every
def test_the_card_has_trained_untrained_and_pixel_figures_of_the_probes(name):
    figures = zoo.card(name)["figures"]
    for of in figures.values():
        assert 0 < of["accuracy"]["mean"] < 1 and of["protocol"]
    for title in ("kNN", "linear"):
        assert figures[title]["accuracy"]["mean"] > figures[title]["untrained"]["mean"]
        assert 0 < figures[title]["pixels"]["mean"] < 1


def test_a_wrong_name_is_answered_with_the_nearest_and_a_changed_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match=r"zoo:cifar10-simclrr\. Did you mean 'zoo:cifar10-simclr'\?"):
        massrl.load("zoo:cifar10-simclrr")
    for file in zoo.FOLDER.glob("cifar10-simclr.*"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    (tmp_path / "cifar10-simclr.ckpt").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="not the file that its card describes"):
        massrl.load("zoo:cifar10-simclr")
    (tmp_path / "cifar10-simclr.ckpt").unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        massrl.load("zoo:cifar10-simclr")


def test_commands_take_a_name_of_the_zoo(tmp_path, capsys):
    folder = sample_folder(tmp_path)
    words = ["--checkpoint", "zoo:cifar10-simclr", "--train", str(folder), "--test", str(folder)]
    assert main(["knn", *words, "--cache_dir", str(tmp_path / "cache"), "--num_workers", "1"]) == 0
    assert "SimCLR, trained" in capsys.readouterr().out
    assert main(["list", "zoo"]) == 0
    assert "zoo:cifar10-simclr" in capsys.readouterr().out
    assert main(["measure", "--check", "--checkpoint", "zoo:cifar10-simclr"]) == 0
    said = capsys.readouterr().out
    assert "tiny ResNet after two steps" not in said and "SimCLR, online network" in said


def test_a_training_starts_from_its_weights_and_does_not_continue_it(tmp_path):
    folder = sample_folder(tmp_path)
    options = {"max_epochs": 1, "batch_size": 8, "backbone": "tiny_resnet", "report": False, "num_workers": 1}
    args = {**zoo.card("cifar10-simclr")["backbone_args"], "weights": "zoo:cifar10-simclr"}
    run = massrl.pretrain(
        folder, method="BYOL", out=tmp_path / "run", size=32, backbone_args=args, enable_progress_bar=False, **options
    )
    assert run.checkpoint.exists()
    with pytest.raises(CheckpointError, match="no state of its optimiser"):
        Checkpoint.read("zoo:cifar10-simclr").check_continues(massrl.load("zoo:cifar10-simclr"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of SimCLR of one epoch, and a record of its evaluation."""
    folder = tmp_path_factory.mktemp("zoo")
    images = sample_folder(folder)
    made = massrl.pretrain(
        images, method="SimCLR", out=folder / "run", backbone="tiny_resnet", size=16, max_epochs=1, batch_size=8,
        num_workers=1, report=False, enable_progress_bar=False, hidden_dim=16, out_dim=8,
    )  # fmt: skip
    found = massrl.knn(made, images, images, num_workers=1, cache_dir=folder / "cache")
    (folder / "knn.json").write_text(json.dumps(found.to_dict()))
    return made, folder / "knn.json", found


def test_adding_keeps_weights_and_views_and_leaves_paths_and_optimiser_out(run, tmp_path, monkeypatch):
    made, record, found = run
    add(made, "a-b", "generated images", {"kNN": record}, ["massrl pretrain ..."], tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert zoo.names() == ["a-b"]
    card, loaded, original = zoo.card("a-b"), massrl.load("zoo:a-b"), massrl.load(made)
    assert all(torch.equal(v, original.state_dict()[k]) for k, v in loaded.state_dict().items())
    assert Checkpoint.read("zoo:a-b").data() == {k: Checkpoint.read(made).data()[k] for k in
                                                 ("size", "mean", "std", "view_set")}  # fmt: skip
    assert (card["epochs"], card["steps"], card["size"]) == (1, Checkpoint.read(made).steps, 16)
    assert card["figures"]["kNN"]["accuracy"]["mean"] == pytest.approx(found.accuracy)
    assert str(made.path) not in (tmp_path / "a-b.json").read_text()
    assert str(made.path).encode() not in (tmp_path / "a-b.ckpt").read_bytes()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32))
    assert torch.equal(loaded.encoder(x), original.encoder(x))


def test_records_of_another_checkpoint_and_large_files_are_refused(run, tmp_path, monkeypatch):
    made, record, _ = run
    other = json.loads(record.read_text())
    (tmp_path / "other.json").write_text(json.dumps({**other, "checkpoint_sha256": "0" * 64}))
    del other["checkpoint_sha256"]
    (tmp_path / "none.json").write_text(json.dumps(other))
    (tmp_path / "list.json").write_text("[]")
    for name, said in {"other": "", "none": "", "list": "holds a list, not an object"}.items():
        with pytest.raises(ConfigError, match=said or "no evaluation of this checkpoint"):
            add(made, "x", "", {"kNN": tmp_path / f"{name}.json"}, [], tmp_path)
    with pytest.raises(ConfigError, match="no file"):
        add(made, "x", "", {"kNN": tmp_path}, [], tmp_path)
    for name in ("../esc", "a/b", "", "zoo:x", "A"):
        with pytest.raises(ConfigError, match="--name"):
            add(made, name, "", {"kNN": record}, [], tmp_path)
    with pytest.raises(ConfigError, match="not a run folder"):
        add(Run(made.checkpoint), "x", "", {"kNN": record}, [], tmp_path)
    monkeypatch.setattr("massrl.exporting.to_zoo.MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="takes 1000 at most"):
        add(Run(made.path), "x", "", {"kNN": record}, [], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.json", "none.json", "other.json"]


PATHS = ("/srv/me/w.pt", "/home-2/anna/x", "/data.old/w.pt", "/w.pt", "/données/w.pt", "~/w.pt", "~me/w.pt", "./w.pt")
PATHS += ("../w.pt", "C:/me/w.pt", "C:\\me\\w.pt", "\\\\server\\share", "file:///srv/w.pt", "--root=/srv/me")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_that_names_a_path_of_a_machine_is_published(run, tmp_path, monkeypatch, path):
    made, record, _ = run
    for data, commands in ((f"images of {path}", []), ("images", [f"massrl knn --train {path}"])):
        with pytest.raises(ConfigError, match="names a path"):
            add(made, "x", data, {"kNN": record}, commands, tmp_path)
    monkeypatch.setattr("massrl.exporting.to_zoo._without_weights", lambda kept: {**kept, "mine": {"deep": [path]}})
    with pytest.raises(ConfigError, match="its settings name a path"):
        add(made, "x", "images", {"kNN": record}, [], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", ["arXiv:2002.05709", "https://localhost/a/b", "s3://a/b", "and / or", "runs/x", "1/2"]
)
def test_words_that_are_no_path_of_a_machine_are_published(words):
    assert not list(paths_in({words: [words, f"see {words}, and (more)"]}))


def test_the_file_that_a_training_started_from_is_named_without_its_folder(run, tmp_path):
    made, _, _ = run
    images = sample_folder(tmp_path)
    second = massrl.pretrain(
        images, method="SimCLR", out=tmp_path / "second", backbone="tiny_resnet", size=16, max_epochs=1, batch_size=8,
        num_workers=1, report=False, enable_progress_bar=False, hidden_dim=16, out_dim=8,
        backbone_args={"weights": str(made.path)},
    )  # fmt: skip
    (tmp_path / "zoo").mkdir()
    add(second, "second", "generated images", {}, [], tmp_path / "zoo")
    for file in (tmp_path / "zoo").iterdir():
        assert str(made.path).encode() not in file.read_bytes()
    assert json.loads((tmp_path / "zoo" / "second.json").read_text())["started_from"] == made.name
