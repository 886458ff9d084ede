"""Loggers beside metrics.csv: named by --logger, continued with their run, and never the end of a training."""

import json
import os
import struct
import sys
from importlib import import_module, util
from pathlib import Path

import pytest
import pytorch_lightning as pl

import massrl
from data_loading.errors import ConfigError
from killing import STEPS, killed, train
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.runs.folder import Run
from massrl.training.loggers import chosen

# A package in place of wandb, for what the real one cannot be made to do here: it writes down what it is asked for.
STAND_IN = """
import json, os

def note(**what):
    with open(os.environ["NOTES"], "a") as file:
        file.write(json.dumps(what) + "\\n")

class Settings:
    def __init__(self, finish_timeout, finish_timeout_raises):
        note(waits=finish_timeout)

class Logged:
    def log(self, metrics, step):
        if str(step) == os.environ.get("FAIL_AT"):
            raise ConnectionError("the network\\nis \\x1b[31mgone.")
        note(step=step, names=sorted(metrics))

    def finish(self, exit_code):
        note(exit_code=exit_code)

def init(**given):
    if "FAIL_AT_INIT" in os.environ:
        raise RuntimeError("No API key configured.")
    note(**{name: value for name, value in given.items() if name != "settings"})
    return Logged()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The stand-in, in this process and in those that it starts; returns what has been noted."""
    folder = tmp_path / "stand_in"
    (folder / "wandb").mkdir(parents=True)
    (folder / "wandb" / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setitem(sys.modules, "wandb", None)  # an entry to be restored
    del sys.modules["wandb"]
    return lambda: [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]


def installed(package):
    return pytest.mark.skipif(util.find_spec(package) is None, reason=f"{package} (extra loggers) is not installed")


def test_a_run_is_one_run_at_wandb_with_a_row_for_each_row_of_the_log(images, tmp_path, wandb):
    run = train(images, tmp_path / "my run", logger=["csv", "wandb"])
    settings, first, *rows, last = wandb()
    assert settings == {"waits": 60.0}, "without it wandb waits for ever for a network that is gone"
    assert (first["project"], first["name"], first["resume"]) == ("massrl", "my run", "allow")
    assert first["id"] == (run.path / "wandb" / "id").read_text().strip() and first["dir"] == str(run.path)
    assert first["config"]["logger"] == ["csv", "wandb"] and first["config"]["data"]["size"] == 16
    assert [row["step"] for row in rows] == list(range(STEPS)) and last == {"exit_code": 0}
    assert set(rows[-1]["names"]) == {name for name in run.columns if name != "step"}


def test_a_killed_run_goes_on_as_the_same_run_and_repeats_no_row(images, tmp_path, wandb):
    killed(images, tmp_path / "run", "in the step", 7, save_minutes=0, logger="wandb")  # its checkpoint is of step 4
    train(images, tmp_path / "run", logger="wandb")
    notes = wandb()
    first, second = (note for note in notes if "project" in note)
    assert first["id"] == second["id"]
    assert [note["step"] for note in notes if "step" in note] == list(range(STEPS))
    assert len(Run(tmp_path / "run").columns["step"]) == STEPS


def test_a_run_that_had_no_wandb_before_logs_all_that_follows_to_it(images, tmp_path, wandb):
    run = train(images, tmp_path / "run", max_epochs=1)
    with (run.path / "metrics.csv").open("a") as log:  # as a kill leaves it: rows of steps that no checkpoint has
        log.write("1,4" + "," * (len(run.columns) - 2) + "\n")
    train(images, tmp_path / "run", logger="wandb")
    assert [note["step"] for note in wandb() if "step" in note] == list(range(4, STEPS))


def test_a_failure_is_told_to_wandb(images, tmp_path, wandb):
    class Fail(pl.Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("a fault of a callback")

    with pytest.raises(RuntimeError, match="a fault of a callback"):
        train(images, tmp_path / "run", Fail(), logger="wandb")
    assert wandb()[-1] == {"exit_code": 1}


def test_without_a_login_the_run_does_not_begin_and_leaves_nothing(images, tmp_path, wandb, monkeypatch, capsys):
    monkeypatch.setenv("FAIL_AT_INIT", "1")
    with pytest.raises(ConfigError) as refused:
        train(images, tmp_path / "run", logger="wandb")
    hint = "WANDB_MODE=offline logs to the run folder alone"
    assert str(refused.value) == f"logger wandb: No API key configured; {hint}"
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_log_any_more_says_so_once_and_goes_on(images, tmp_path, wandb, monkeypatch, caplog):
    monkeypatch.setenv("FAIL_AT", "5")
    run = train(images, tmp_path / "run", logger="wandb")
    said = [record.message for record in caplog.records if "wandb" in record.message]
    assert said == [r"no more is logged to wandb: the network is \x1b[31mgone; metrics.csv has it all"]
    assert run.ended == STEPS and [note["step"] for note in wandb() if "step" in note] == list(range(5))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("wandbb", "--logger is 'wandbb'. Did you mean 'wandb'? Choose one of csv, wandb, tensorboard"),
        (["csv", "tensorbord"], "--logger is 'tensorbord'. Did you mean 'tensorboard'?"),
        ("tensorboard", "--logger tensorboard: the package tensorboard is not installed; pip install tensorboard"),
    ],
)
def test_a_logger_that_is_not_there_is_one_line(given, said, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        chosen(given)
    assert str(refused.value).startswith(said)


def test_a_folder_named_wandb_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "tensorboard").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    del sys.modules["tensorboard"]
    with pytest.raises(ConfigError, match="is not installed"):
        chosen("tensorboard")


def test_names_and_objects_may_be_given_together_and_a_logger_of_ones_own_gets_every_row(images, tmp_path, wandb):
    own = pl.loggers.CSVLogger(tmp_path / "own", flush_logs_every_n_steps=1)
    run = train(images, tmp_path / "run", logger=["wandb", own])
    assert run.config["logger"] == ["wandb"] and len([note for note in wandb() if "step" in note]) == STEPS
    lines = Path(own.log_dir, "metrics.csv").read_text().splitlines()
    assert len(lines) == STEPS + 1 and "epoch" in lines[0].split(",")
    alone = train(images, tmp_path / "alone", logger=pl.loggers.CSVLogger(tmp_path / "other"))
    assert alone.config["logger"] == "csv"


def test_the_command_takes_several_names_and_keeps_them_with_the_run(images, tmp_path, wandb, capsys):
    words = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--model.hidden_dim", "8", "--model.out_dim", "8"]
    words += ["--data.train", str(images), "--data.size", "16", "--data.batch_size", "4", "--data.num_workers", "1"]
    words += ["--trainer.accelerator", "cpu", "--report", "false", "--export", "false", "--run", "run"]
    assert main(["pretrain", *words, "--trainer.max_epochs", "1", "--logger", "[wandb, csv]"]) == 0
    assert main(["pretrain", "--ckpt_path", "run", "--trainer.max_epochs", "2"]) == 0
    assert [note["step"] for note in wandb() if "step" in note] == [3, 7]
    assert main(["pretrain", *words, "--logger", "wandbb"]) == 2
    assert "Did you mean 'wandb'?" in capsys.readouterr().err


def histories(run):
    """(number of the run, {step: loss}) of each file that wandb has written offline: LevelDB's log of its messages."""
    record = import_module("wandb.proto.wandb_internal_pb2").Record
    for path in sorted((run / "wandb").glob("offline-run-*/run-*.wandb")):
        data, at, part, number, losses = path.read_bytes(), 7, b"", None, {}
        while at + 7 <= len(data):
            if (left := 2**15 - at % 2**15) < 7:  # no head fits into the rest of a block
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", data[at : at + 7])
            part += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):  # a whole message, or the end of one
                found, part = record.FromString(part), b""
                number = found.run.run_id or number
                items = {item.key or item.nested_key[0]: item.value_json for item in found.history.item}
                if "loss" in items:
                    losses[found.history.step.num] = float(items["loss"])
        yield number, losses


@installed("wandb")
def test_wandb_offline_keeps_a_run_that_is_stopped_and_goes_on(images, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train(images, tmp_path / "run", logger="wandb", max_epochs=1)
    train(images, tmp_path / "run", logger="wandb")
    (one, first), (other, second) = histories(run.path)
    assert one == other and first.keys() | second.keys() == set(range(STEPS)) and not first.keys() & second.keys()
    losses = Run(tmp_path / "run").columns["loss"]
    assert {**first, **second} == pytest.approx(dict(enumerate(losses)))


@installed("tensorboard")
def test_tensorboard_has_each_step_of_a_killed_run_once(images, tmp_path):
    killed(images, tmp_path / "run", "in the step", 7, save_minutes=0, logger="tensorboard")
    run = massrl.Run(tmp_path / "run")
    train(images, run.path, logger="tensorboard")
    events = import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    found = events(str(run.path / "tensorboard"))
    found.Reload()
    losses = {event.step: event.value for event in found.Scalars("loss")}
    assert len(found.Scalars("loss")) == STEPS
    assert losses == pytest.approx(dict(enumerate(run.columns["loss"])))
