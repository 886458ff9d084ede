"""massrl from Python: `massrl.pretrain`, `linear`, `knn`, `load`, and what they return and refuse."""

import ast
import importlib
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

import massrl
from massrl.cli.samples import sample_folder
from massrl.errors import CheckpointError, ConfigError, UnknownName, UserError
from massrl.methods import METHODS
from massrl.parsing.places import Keywords
from massrl.training.keywords import from_keywords, merge, option_of, options

QUICK = {
    "backbone": "tiny_resnet",
    "backbone_args": {"width": 4},
    "size": 16,
    "batch_size": 4,
    "num_workers": 1,
    "max_epochs": 1,
    "limit_train_batches": 2,
    "accelerator": "cpu",
    "devices": 1,
    "enable_progress_bar": False,
    "report": False,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def first(images):
    """A run of two steps of SimCLR."""
    folder = images.parent
    return massrl.pretrain(images, method="SimCLR", out=folder / "first", cache_dir=str(folder / "cache"), **QUICK)


# ---- a run


def test_a_run_is_what_its_folder_holds(first, images):
    assert isinstance(first, massrl.Run)
    assert (first.method, first.backbone, first.data, first.epochs) == ("SimCLR", "tiny_resnet", str(images), 1)
    assert first.checkpoint.is_file() and first.config["data"]["batch_size"] == 4
    assert first.metrics["training"]["steps"] == 2 and len(first.columns["loss"]) >= 1
    assert {"h_rank", "z_rank", "z_spread"} <= first.columns.keys()
    assert first.environment["command"].startswith("massrl.pretrain(train=PosixPath(")
    assert first.to_dict()["training"] == first.metrics["training"]
    again = massrl.Run(first.path)
    assert repr(again) == repr(first) and "SimCLR, tiny_resnet" in repr(first)
    assert "<td>SimCLR, tiny_resnet</td>" in first._repr_html_()


def test_load_takes_a_run_its_folder_or_a_checkpoint(first):
    for where in (first, first.path, str(first.path), first.checkpoint):
        method = massrl.load(where)
        assert isinstance(method, massrl.SimCLR) and not method.training
    with pytest.raises(CheckpointError, match="a folder without checkpoints/last.ckpt"):
        massrl.load(first.path.parent)


def test_a_run_continues_with_its_own_settings_and_in_its_folder(images, tmp_path):
    run = massrl.pretrain(images, "BYOL", out=tmp_path / "run", cache_dir=str(tmp_path / "cache"), **QUICK)
    longer = massrl.pretrain(ckpt_path=run, max_epochs=2)
    assert longer.path == run.path and longer.method == "BYOL"
    assert massrl.Run(run.path).metrics["training"]["steps"] == 4


def test_python_and_the_command_line_train_the_same_weights(first, images, tmp_path, monkeypatch):
    import torch

    from massrl.cli.main import main

    monkeypatch.chdir(tmp_path)
    words = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--model.backbone_args", "{width: 4}"]
    words += ["--data.train", str(images), "--data.size", "16", "--data.batch_size", "4", "--data.num_workers", "1"]
    words += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.accelerator", "cpu"]
    words += ["--trainer.devices", "1", "--trainer.enable_progress_bar", "false", "--report", "false", "--run", "run"]
    assert main(["pretrain", *words]) == 0
    ours, theirs = massrl.load(first).state_dict(), massrl.load("run").state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_method_may_be_a_class_or_an_object(images, tmp_path):
    options = {**QUICK, "cache_dir": str(tmp_path / "cache")}
    assert massrl.pretrain(images, massrl.SimSiam, out=tmp_path / "a", **options).method == "SimSiam"
    made = massrl.SimCLR("tiny_resnet", backbone_args={"width": 4}, tau=0.2)
    del options["backbone"], options["backbone_args"]
    run = massrl.pretrain(images, made, out=tmp_path / "b", **options)
    assert massrl.load(run).tau == 0.2
    assert run.config["model"]["init_args"]["tau"] == 0.2
    with pytest.raises(ConfigError, match=r"tau: the method is an object already; give tau to SimCLR\(...\)"):
        massrl.pretrain(images, made, tau=0.1)


def test_callbacks_may_be_objects(images, tmp_path):
    import pytorch_lightning as pl

    class Steps(pl.Callback):
        done = 0

        def on_train_batch_end(self, *_):
            self.done += 1

    steps = Steps()
    run = massrl.pretrain(
        images, "SimCLR", out=tmp_path / "run", cache_dir=str(tmp_path / "cache"), callbacks=[steps], **QUICK
    )
    assert steps.done == 2 and run.config["trainer"]["callbacks"] is None


def test_max_steps_alone_is_a_length(images, tmp_path):
    options = {name: value for name, value in QUICK.items() if name not in ("max_epochs", "limit_train_batches")}
    run = massrl.pretrain(
        images, "SimCLR", out=tmp_path / "run", cache_dir=str(tmp_path / "cache"), max_steps=6, **options
    )
    assert run.metrics["training"]["steps"] == 6


def test_settings_of_a_config_hold_where_no_keyword_says_otherwise(images, tmp_path):
    plain = {name: value for name, value in QUICK.items() if name not in ("report", "backbone", "backbone_args")}
    config = {"model": "BYOL", "report": False, "minutes": 0.5, "run": str(tmp_path / "named")}
    config = [config, {"model": {"init_args": {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}}}]
    run = massrl.pretrain(images, config=config, cache_dir=str(tmp_path / "cache"), **plain)
    assert (run.path, run.method, run.config["minutes"]) == (tmp_path / "named", "BYOL", 0.5)
    assert run.config["report"] is False and not (run.path / "report.html").exists()


@pytest.mark.parametrize("where", ["folder", "file"])
def test_the_command_line_continues_a_run_that_is_named_by_its_folder_or_file(images, tmp_path, where):
    from massrl.cli.main import main

    run = massrl.pretrain(images, "SimCLR", out=tmp_path / "run", cache_dir=str(tmp_path / "cache"), **QUICK)
    path = str(run.path if where == "folder" else run.checkpoint)
    assert main(["pretrain", "--ckpt_path", path, "--trainer.max_epochs", "2"]) == 0
    assert massrl.Run(run.path).metrics["training"]["steps"] == 4


def test_what_python_users_write_becomes_what_a_config_holds(images):
    from data_loading import ViewSet

    options = {
        "data": {"train": images, "batch_size": np.int64(4)},
        "model": {"class_path": "BYOL", "init_args": {"ema": 0.9}},
        "optim": massrl.OptimConfig(base_lr=0.1),
        "views": ViewSet(["simclr"], size=16),
    }
    settings, made = from_keywords(None, None, None, options, Keywords())
    assert made is None and settings["data"]["train"] == str(images) and settings["data"]["batch_size"] == 4
    assert settings["model"]["class_path"] == "BYOL"
    assert settings["model"]["init_args"] == {"ema": 0.9, "optim": {"base_lr": 0.1}}
    assert settings["data"]["views"]["size"] == 16


def test_a_length_that_was_measured_for_several_devices_is_not_taken_for_the_next_run(monkeypatch):
    from massrl.training import length

    monkeypatch.setenv(length.PASSED_ON, "60")
    for name in ("LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(length, "measure", lambda *_: (1.0, 10))
    assert length.fitted(None, None, {}, 1.0, 1)[0] == length.Length(6)
    monkeypatch.setenv("LOCAL_RANK", "1")  # a process that rank 0 has started
    assert length.fitted(None, None, {}, 1.0, 2)[0] == length.Length(60)


# ---- accuracies


def test_an_accuracy_has_its_baselines_a_record_and_a_table(first, images):
    found = massrl.knn(first, train=images, test=images, k=3, num_workers=1, cache_dir=images.parent / "cache")
    assert 0 <= found.accuracy <= 1 and 0 <= found.untrained <= 1 and 0 <= found.pixels <= 1
    assert pickle.loads(pickle.dumps(found)).accuracy == found.accuracy
    record = found.to_dict()
    assert (
        record["accuracy"] == {"mean": found.accuracy, "std": None, "values": [found.accuracy]}
        and record["parameters"]["k"] == 3
    )
    warning, *lines = repr(found).splitlines()
    assert warning.startswith("WARNING: the training and test images have the same content")
    assert lines[0].startswith("knn v2 (k 3, tau 0.07, cosine; labels: all), 16 training and 16 test images at 16 px")
    assert lines[0].endswith("backbone of the online network")
    assert any(line.startswith("SimCLR, trained") and f"{100 * found.accuracy:.1f}" in line for line in lines)
    assert found._repr_html_().count("<tr>") == 4


def test_features_are_made_once_for_all_protocols(first, images, monkeypatch):
    import massrl.evaluation.rows as rows

    cache = images.parent / "features"
    once = massrl.linear(first, images, images, num_workers=1, cache_dir=cache)
    monkeypatch.setattr(rows, "extract_layers", lambda *a, **k: pytest.fail("features were made again"))
    again = massrl.linear(first, images, images, labels="one", draws=3, num_workers=1, cache_dir=cache)
    assert len(again.scores["trained"]) == 3 and len(once.scores["trained"]) == 1


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"method": "SimCRL"}, UnknownName, r"no method named 'SimCRL'. Did you mean 'SimCLR'\?"),
        ({"config": "digits/bjol"}, UnknownName, r"no recipe named 'digits/bjol'. Did you mean 'digits/byol'\?"),
        ({"bach_size": 4}, ConfigError, r"no keyword 'bach_size'. Did you mean 'batch_size'\?"),
        ({"batch_size": "many"}, ConfigError, r"^batch_size: expected int, got 'many'"),
        ({"method": "BYOL", "ema": "fast"}, ConfigError, r"^ema: expected float, got 'fast'"),
        ({"method": "BYOL", "tau": 0.1}, ConfigError, r"no keyword 'tau'"),
        ({"views": "simclt"}, UnknownName, r"^views: no view set or strategy named 'simclt'. Did you mean 'simclr'"),
        ({"minutes": 0}, ConfigError, r"minutes is 0; it must be more than 0"),
        ({"optim": {"base_lrr": 1.0}}, ConfigError, r"^optim.*base_lrr.* Did you mean 'base_lr'"),
        ({"max_epochs": 0}, ConfigError, r"max_epochs is 0; set it to 1 or more"),
        ({"data": {"sise": 4}}, ConfigError, r"sise.*Did you mean 'size'"),
        ({"ckpt_path": "none.ckpt"}, CheckpointError, r"none.ckpt: no such checkpoint"),
        ({"config": "none.yaml"}, ConfigError, r"^config: none.yaml: no such file"),
        ({"config": 5}, ConfigError, r"^config is 5; give a recipe's name"),
        ({"config": {"data": "x"}}, ConfigError, r"^data: expected a mapping"),
        ({"method": 5}, ConfigError, r"^method is 5; give a name"),
        ({"method": "torch.nn.Linear"}, ConfigError, r"^method: torch.nn.Linear is no subclass of massrl.Method"),
        ({"model": {"tua": 1.0}}, ConfigError, r"^model.*tua.*Did you mean 'tau'"),
        ({"out": 5}, ConfigError, r"^out is 5; name a folder"),
        ({"seed": -1}, ConfigError, r"^seed is -1"),
        ({"trainer": 5}, ConfigError, r"^trainer: expected a mapping"),
        ({"run": "other"}, ConfigError, r"^out and run are both given"),
        ({"limit_train_batches": 0}, ConfigError, r"^limit_train_batches is 0: nothing would be trained"),
        ({"max_epochs": 0}, ConfigError, r"^max_epochs is 0; .* leave it out for minutes$"),
    ],
)
def test_a_wrong_argument_is_answered_with_its_keyword_and_the_nearest(images, tmp_path, options, error, line):
    method = options.pop("method", "SimCLR")
    quick = {name: value for name, value in QUICK.items() if name not in {"max_epochs", *options}}
    options = {"out": tmp_path / "run", **options}
    with pytest.raises(error, match=line):
        massrl.pretrain(images, method, cache_dir=str(tmp_path / "cache"), **quick, **options)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_in_use_is_refused_with_the_words_of_python(first, images):
    with pytest.raises(ConfigError, match=r"^out .* is not empty; continue it with ckpt_path .*last.ckpt, or name"):
        massrl.pretrain(images, "SimCLR", out=first.path, resume="never", **QUICK)


@pytest.mark.parametrize("call", [lambda: massrl.load(5), lambda: massrl.linear("none", "a", "b")])
def test_what_is_no_checkpoint_is_refused_in_one_line(call):
    with pytest.raises(UserError, match="checkpoint|no such"):
        call()


def test_a_run_that_is_not_there_says_so(tmp_path):
    run = massrl.Run(tmp_path / "nowhere")
    assert "none there yet" in repr(run)
    with pytest.raises(ConfigError, match="has no config.yaml"):
        run.data_file()
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"config.yaml: not valid YAML"):
        _ = massrl.Run(tmp_path).config


def test_errors_are_one_line_and_of_one_base(tmp_path):
    with pytest.raises(UserError) as error:
        massrl.pretrain(tmp_path / "nowhere", out=tmp_path / "run", max_epochs=1)
    assert "\n" not in str(error.value) and "nowhere" in str(error.value)


# ---- keywords


@pytest.mark.parametrize("name", METHODS)
def test_every_keyword_means_one_option_for_every_method(name):
    assert {key: found for key, found in options(METHODS[name]).items() if len(found) > 1} == {}


def test_a_keyword_is_the_last_part_of_an_option_or_all_of_it():
    assert option_of("batch_size", massrl.SimCLR) == "data.batch_size"
    assert option_of("tau", massrl.SimCLR) == option_of("model.tau", massrl.SimCLR) == "model.init_args.tau"
    assert option_of("trainer.max_epochs", massrl.SimCLR) == "trainer.max_epochs"


def test_keywords_override_a_recipe_and_another_method_keeps_what_it_takes():
    keywords = Keywords()
    options = {"batch_size": 8, "optim": {"base_lr": 1.0}}
    settings, made = from_keywords("x", None, "digits/simclr", options, keywords)
    assert made is None and settings["data"]["train"] == "x" and settings["data"]["batch_size"] == 8
    assert (
        settings["model"]["init_args"]["optim"]["base_lr"] == 1.0 and "name" in settings["model"]["init_args"]["optim"]
    )
    assert keywords["data.batch_size"] == "batch_size"
    model = {"model": {"class_path": "SimCLR", "init_args": {"backbone": "resnet18", "tau": 0.1}}}
    merge(model, {"model": {"class_path": "BYOL"}})
    assert model["model"] == {"class_path": "BYOL", "init_args": {"backbone": "resnet18"}}


# ---- names


def typed_names() -> dict[str, str]:
    """name -> module of the imports that a type checker sees in massrl/__init__.py."""
    tree = ast.parse(Path(massrl.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.asname: node.module for node in block.body for alias in node.names}


def test_a_type_checker_sees_the_same_names_as_python():
    typed = typed_names()
    assert set(typed) == set(massrl.__all__) - {"__version__"}
    for name, home in massrl._HOME.items():
        assert typed[name] == f"massrl.{home}"
        assert getattr(massrl, name) is getattr(importlib.import_module(typed[name]), name)


def test_every_method_is_a_name_of_the_package():
    assert set(massrl.list_methods()) >= {name for name in METHODS if METHODS.module(name).startswith("massrl.")}
    for name in massrl.list_methods():
        if METHODS.module(name).startswith("massrl."):
            assert getattr(massrl, name) is METHODS[name]


@pytest.mark.parametrize(
    "name", ["pretrain", "linear", "knn", "semi", "finetune", "transfer", "detect", "segment", "load", "list_methods"]
)
def test_the_functions_of_the_front_door_are_typed_and_say_each_argument(name):
    function = getattr(massrl, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not parameter.empty, parameter
        assert f"{parameter.name}:" in inspect.getdoc(function), parameter
