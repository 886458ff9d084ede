"""`massrl pretrain`: a complete run folder, exact continuation, one-line errors, nothing half-written."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from massrl.cli import main as front
from massrl.cli import pretrain
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.checkpoint_files import LAST
from massrl.runs.folder import Run
from massrl.training.settings import Settings

# SimCLR with a constant learning rate: then a run's length changes nothing in its steps.
SMALL = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--model.backbone_args", "{width: 4}"]
SMALL += ["--model.hidden_dim", "16", "--model.out_dim", "8", "--model.optim.schedule", "constant"]
SMALL += ["--data.size", "32", "--data.batch_size", "16", "--data.num_workers", "1", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """64 generated images of 32 x 32 pixels in two classes, dark and bright."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for name, low in (("bright", 100), ("dark", 0)):
        (root / name).mkdir(parents=True)
        for i in range(32):
            Image.fromarray(rng.integers(low, low + 128, (32, 32, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory) -> Path:
    """A run of two epochs with everything that a run leaves."""
    run = tmp_path_factory.mktemp("runs") / "two"
    cache = run.parent / "cache"
    words = ["--data.train", str(images), "--data.cache_dir", str(cache), "--run", str(run)]
    assert pretrain.main([*SMALL, *words, "--trainer.max_epochs", "2"]) == run
    return run


def losses(run: Path) -> list[tuple[int, int, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [(int(row["epoch"]), int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / LAST, weights_only=True)["state_dict"]


def files(folder: Path = Path()) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_run_leaves_every_file_of_its_folder(finished):
    for name in (
        "config.yaml",
        "environment.json",
        "metrics.csv",
        "metrics.json",
        "checkpoints/last.ckpt",
        "report.html",
    ):
        assert (finished / name).stat().st_size > 0, name
    assert not [name for name in files(finished) if Path(name).name.startswith(".")], "something half-written"
    assert [(epoch, step) for epoch, step, _ in losses(finished)] == [(0, 3), (1, 7)]  # 4 batches an epoch
    assert {"loss", "lr", "images_per_s", "data_wait", "memory_gib"} <= Run(finished).columns.keys()
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["training"]["steps"] == 8 and metrics["seconds"]["pretrain"] > 0


def test_the_checkpoint_says_how_its_images_were_prepared(finished):
    found = torch.load(finished / LAST, weights_only=True)["massrl"]
    assert found["size"] == 32
    assert found["view_set"]["strategies"] == ["simclr"] and found["view_set"]["size"] == 32
    assert np.allclose(found["mean"], [0.485, 0.456, 0.406]) and np.allclose(found["std"], [0.229, 0.224, 0.225])
    assert found["config"] == yaml.safe_load((finished / "config.yaml").read_text())


def test_the_resolved_config_has_views_size_and_seeds_and_makes_the_same_run_again(finished):
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["data"]["views"]["strategies"] == ["simclr"] and config["data"]["size"] == 32
    assert config["data"]["seed"] == 0 and config["seed_everything"] == 0
    assert not {"run", "ckpt_path", "check", "config"} & config.keys()
    again = pretrain.main(["--config", str(finished / "config.yaml"), "--run", "again", "--report", "false"])
    assert losses(again) == losses(finished)
    assert all(torch.equal(a, b) for a, b in zip(weights(again).values(), weights(finished).values(), strict=True))


def test_the_number_of_loader_threads_changes_no_loss(finished):
    words = ["--config", str(finished / "config.yaml"), "--report", "false", "--data.num_workers", "2"]
    assert losses(pretrain.main([*words, "--run", "threads"])) == losses(finished)


def test_a_continued_run_equals_one_that_was_never_stopped(finished):
    words = ["--config", str(finished / "config.yaml"), "--report", "false", "--trainer.max_epochs"]
    one = pretrain.main([*words, "1", "--run", "one"])
    assert losses(one) == losses(finished)[:1]
    pretrain.main(["--ckpt_path", str(one / LAST), "--trainer.max_epochs", "2"])  # settings and folder of the run
    assert losses(one) == losses(finished)
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(finished).values(), strict=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "BYOL"], "a checkpoint of SimCLR, not of BYOL"),
        (["--trainer.max_epochs", "2"], "has 2 epochs done and --trainer.max_epochs is 2"),
        (["--trainer.max_epochs", "3", "--model.out_dim", "9"], "has other model options: projector"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_is_written(finished, capsys, words, said):
    config = ["--config", str(finished / "config.yaml"), "--run", "new", "--ckpt_path", str(finished / LAST)]
    before = files(finished)
    assert front.main(["pretrain", *config, *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err
    assert files() == [] and files(finished) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.train", "nope"], "nope: there is no such folder"),
        (["--data.train", "[]"], "data.train is an empty list; name at least one .beton file"),
        (["--data.views", "simclt"], "--data.views: no view set or strategy named 'simclt'. Did you mean 'simclr'?"),
        (["--data.views.strategies", "[simclr, byoll]"], "named 'byoll'. Did you mean 'byol'?"),
        (["--model.backbone", "tiny_resnett"], "--model.backbone: no backbone named 'tiny_resnett'. Did you mean"),
        (["--model.tau", "-1"], "tau"),
        (["--model.optim.name", "sdg"], "--model.optim.name: no choice 'sdg'. Did you mean 'sgd'?"),
        (["--trainer.max_epoch", "3"], "no option '--trainer.max_epoch'. Did you mean '--trainer.max_epochs'?"),
        (["--trainer.max_steps", "0"], "--trainer.max_steps is 0; set it to 1 or more"),
        (["--data.batch_size", "100"], "64 samples are fewer than one global batch of 100"),
        (["--data.batch_size", "1"], "a batch has 1 image"),  # known only at the first batch
        (["--data.views", "eval"], "the view set has 1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run_folder(images, finished, capsys, words, said):
    cache = str(finished.parent / "cache")
    given = ["--data.train", str(images), "--data.cache_dir", cache, "--run", "deep/run", "--trainer.max_epochs", "1"]
    try:
        code = front.main(["pretrain", *SMALL, *given, *words])
    except SystemExit as stop:  # the parser's way out
        code = stop.code
    errors = [line for line in capsys.readouterr().err.splitlines() if "learning rate" not in line]
    assert code == 2 and len(errors) == 1 and said in errors[0]
    assert files() == []


@pytest.mark.parametrize(
    ("labelled", "model", "said"),
    [
        (
            False,
            ["SupCon"],
            "SupCon needs labels, and these data have none; set data.train to a folder of class folders",
        ),
        (False, ["Supervised"], "Supervised needs labels, and these data have none"),
        (True, ["SupCon", "--data.views", "rrc"], "SupCon takes 2 or more global views, the view set has 1"),
    ],
)
def test_labels_and_views_that_a_method_with_labels_cannot_take_are_one_line_before_anything_is_trained(
    images, tmp_path_factory, capsys, monkeypatch, labelled, model, said
):
    flat = tmp_path_factory.mktemp("flat")
    for path in sorted(images.glob("*/*.png")):
        shutil.copy(path, flat / f"{path.parent.name}{path.name}")
    monkeypatch.setattr("massrl.training.pretrain.fit", lambda *_: pytest.fail("training was begun"))
    cache = str(tmp_path_factory.mktemp("cache"))
    given = ["--data.train", str(images if labelled else flat), "--data.cache_dir", cache, "--data.size", "16"]
    given += ["--model", model[0], "--model.backbone", "tiny_resnet", *model[1:], "--data.batch_size", "16"]
    assert front.main(["pretrain", *given, "--run", "deep/run", "--trainer.max_epochs", "1"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and said in errors and files() == []


def test_a_wrong_strategy_in_a_file_is_found_in_that_file(images, capsys):
    Path("own.yaml").write_text("data: {views: {strategies: [simclr, byoll], crops: 2}}")
    assert front.main(["pretrain", "--data.train", str(images), "--config", "own.yaml"]) == 2
    assert "own.yaml: data.views.strategies: no strategy named 'byoll'. Did you mean" in capsys.readouterr().err


def test_without_a_model_it_is_massrl_with_a_resnet18_and_small_views_get_the_small_stem(capsys, monkeypatch):
    found = {}

    def instantiate(self):
        found["config"], self.model, self.datamodule = self.config, None, None

    monkeypatch.setattr(Settings, "instantiate_classes", instantiate)
    for size, stem in (("64", {"stem": "cifar"}), ("65", None)):
        Settings(["--data.train", "x", "--data.size", size])
        model = found["config"].model
        assert model.class_path.endswith(".MASSRL") and model.init_args.backbone == "resnet18"
        assert model.init_args.backbone_args == stem
        assert ("the stem of resnet18 is cifar" in capsys.readouterr().out) == (stem is not None)
    Settings(["--data.train", "x", "--data.size", "32", "--model.backbone_args", "{stem: imagenet}"])
    assert found["config"].model.init_args.backbone_args == {"stem": "imagenet"}
    Settings(["--data.train", "x", "--data.views", "simclr32"])  # the view set's own size
    assert found["config"].model.init_args.backbone_args == {"stem": "cifar"}


def test_a_run_that_nobody_gave_a_length_is_fitted_to_the_minutes_and_says_so(images, finished, capsys):
    cache = str(finished.parent / "cache")
    run = pretrain.main(
        [*SMALL, "--data.train", str(images), "--data.cache_dir", cache, "--minutes", "0.02", "--report", "false"]
    )
    assert run.parent == Path("runs") and run.name.startswith("simclr-images-")
    said = capsys.readouterr().out
    assert "no --trainer.max_epochs was given" in said and "0.02 minutes are" in said
    trainer = yaml.safe_load((run / "config.yaml").read_text())["trainer"]
    assert trainer["max_epochs"] >= 1 and trainer["max_steps"] == -1
    assert json.loads((run / "metrics.json").read_text())["training"]["epochs"] == trainer["max_epochs"]


def test_check_says_what_it_replaced_and_leaves_nothing(capsys):
    config = Path("own.yaml")
    config.write_text("model: {class_path: BYOL, init_args: {backbone: tiny_resnet}}\ndata: {train: far.beton}")
    assert pretrain.main(["--config", "own.yaml", "--check"]) is None
    said = capsys.readouterr().out
    assert "16 generated images (far.beton is not there)" in said and "views of 32 px in place of 224" in said
    assert "2 steps" in said and "check passed" in said
    assert files() == ["own.yaml"]


def test_check_goes_on_from_a_checkpoint_of_other_data(finished, images, tmp_path, capsys):
    for i, image in enumerate(sorted(images.glob("*/*.png"))[:6]):
        (tmp_path / "three" / str(i % 3)).mkdir(parents=True, exist_ok=True)  # the run knew two classes
        shutil.copy(image, tmp_path / "three" / str(i % 3))
    before = files(), files(finished)
    pretrain.main(["--check", "--ckpt_path", str(finished / LAST), "--data.train", str(tmp_path / "three")])
    assert "check passed" in capsys.readouterr().out and (files(), files(finished)) == before


def test_a_run_on_views_of_own_sizes_leaves_a_config_that_can_be_read_again(images):
    ones = [{"name": name, "variants": [["HorizontalFlip"]], "size": size} for name, size in (("a", 32), ("b", 24))]
    views = {"strategies": ones, "crops": 1, "own_sizes": True}
    Path("own.yaml").write_text(yaml.safe_dump({"data": {"views": views}}))
    words = ["--data.train", str(images), "--config", "own.yaml", "--trainer.max_epochs", "1", "--report", "false"]
    run = pretrain.main([*SMALL, *words, "--data.size", "null", "--run", "own"])
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["size"] is None and [s["size"] for s in config["data"]["views"]["strategies"]] == [32, 24]
    assert pretrain.main(["--config", str(run / "config.yaml"), "--check"]) is None


def test_check_takes_a_few_of_the_images_that_are_there(images, capsys):
    pretrain.main([*SMALL, "--data.train", str(images), "--check"])
    assert f"16 images of {images}" in capsys.readouterr().out
    assert files() == []


@pytest.mark.parametrize(("given", "steps"), [("1", 1), ("1.0", 4), ("0.5", 2), ("3", 3)])
def test_a_limit_of_batches_without_a_point_counts_batches(images, given, steps, tmp_path):
    run = tmp_path / "run"
    words = ["--data.train", str(images), "--trainer.max_epochs", "1", "--run", str(run), "--report", "false"]
    pretrain.main([*SMALL, *words, "--trainer.limit_train_batches", given])
    assert Checkpoint.read(run).steps == steps
    kept = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["limit_train_batches"]
    assert (kept, type(kept)) == (yaml.safe_load(given), type(yaml.safe_load(given)))
