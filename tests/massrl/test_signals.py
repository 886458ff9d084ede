"""Signals end a run after a step, with a checkpoint and the words to go on; a run folder has one process at a time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytorch_lightning as pl

import massrl
from data_loading.errors import ConfigError
from killing import HERE, STEPS, kept, logged, train
from massrl.cli.samples import sample_folder
from massrl.runs.folder import Run, claimed
from massrl.runs.lock import LOCK, locked
from massrl.training.signals import Signals, Stopped


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


class Send(pl.Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, number, step=6, times=1):
        self.number, self.step, self.times = number, step, times

    def on_after_backward(self, trainer, *_):
        if trainer.global_step + 1 == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
                time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_ends_the_run_after_its_step_and_the_same_command_goes_on(images, tmp_path, capfd, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt if name == "SIGINT" else SystemExit) as stopped:
        train(images, run, Send(number), save_minutes=0)
    assert name == "SIGINT" or stopped.value.code == 128 + number
    said = capfd.readouterr().err
    assert f"{name}: saving after this step" in said and f"to continue: massrl pretrain --ckpt_path {run}\n" in said
    assert kept(run)["global_step"] == 6 and len(logged(run)) == 6
    assert signal.getsignal(number) is before and not (run / LOCK).exists()
    train(images, run)
    assert [int(row["step"]) for row in logged(run)] == list(range(STEPS))


def test_ctrl_c_twice_ends_at_once_with_what_was_saved_before(images, tmp_path, capfd):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(images, run, Send(signal.SIGINT, times=2), save_minutes=0)
    assert kept(run)["global_step"] == 4  # the end of the first epoch
    assert "to continue" in capfd.readouterr().err


def test_a_signal_in_the_last_step_of_an_epoch_saves_once(images, tmp_path):
    with pytest.raises(SystemExit):
        train(images, tmp_path / "run", Send(signal.SIGTERM, step=4), save_minutes=0)
    assert kept(tmp_path / "run")["global_step"] == 4
    train(images, tmp_path / "run")
    assert len(logged(tmp_path / "run")) == STEPS


def test_a_signal_in_a_step_that_validation_follows_ends_the_run_a_step_later_with_a_checkpoint(images, tmp_path):
    with pytest.raises(SystemExit):
        settings = {"val": str(images), "val_check_interval": 2, "save_minutes": 0}
        train(images, tmp_path / "run", Send(signal.SIGTERM, step=6), **settings)
    assert kept(tmp_path / "run")["global_step"] == 7


def test_a_signal_before_the_first_step_leaves_no_folder(images, tmp_path):
    class Early(pl.Callback):
        def on_fit_start(self, *_):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.01)

    with pytest.raises(SystemExit):
        train(images, tmp_path / "run", Early())
    assert not (tmp_path / "run").exists()


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received == 0 and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_while_no_steps_are_taken_a_signal_ends_at_once():
    with pytest.raises(Stopped, match="stopped by SIGTERM"), Signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def test_a_run_in_another_thread_trains_without_handlers(images, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(train, images, tmp_path / "run", max_epochs=1).result()
    assert kept(tmp_path / "run")["global_step"] == 4


# ---- one process at a time


def test_a_second_process_in_a_run_folder_is_refused_with_the_first_ones_number(tmp_path):
    program = (
        f"from massrl.runs.lock import locked; from pathlib import Path\nwith locked(Path({str(tmp_path)!r})): input()"
    )
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    pipes = {"stdin": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": paths}}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as other:
        while not (tmp_path / LOCK).exists() or not (tmp_path / LOCK).read_text():
            time.sleep(0.01)
        with pytest.raises(ConfigError, match=rf"--run .* is in use by process {other.pid} on .*, since 20"):
            with locked(tmp_path):
                pass
        other.kill()  # which ends its lock, though the file stays
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_training_in_a_run_folder_in_use_is_refused_and_changes_nothing(images, tmp_path):
    run = tmp_path / "run"
    train(images, run, max_epochs=1)
    with locked(run), pytest.raises(ConfigError, match="out .* is in use by process"):
        train(images, run)
    assert kept(run)["global_step"] == 4


def test_runs_of_the_same_second_have_a_folder_each(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    barrier, settings = threading.Barrier(3), {"max_epochs": 1, "report": False, "export": False}

    class Together(pl.Callback):
        def on_fit_start(self, *_):
            barrier.wait(60)

    def start(_):
        return massrl.pretrain(
            images, "SimCLR", backbone="tiny_resnet", size=16, batch_size=8, num_workers=1, accelerator="cpu",
            enable_progress_bar=False, callbacks=[Together()], cache_dir=str(images.parent / "cache"), **settings,
        )  # fmt: skip

    monkeypatch.setattr("massrl.training.pretrain.datetime", _Noon)
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(start, range(3)))
    assert len({run.path for run in runs}) == 3 and all(run.checkpoint.exists() for run in runs)


class _Noon:
    @staticmethod
    def now():
        from datetime import datetime

        return datetime(2026, 1, 1, 12)


def test_a_claim_that_began_nothing_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path / "runs" / "one"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with claimed(tmp_path / "empty"):
        pass
    assert not list((tmp_path / "empty").iterdir())
    with claimed(tmp_path / "two") as claim:
        claim.begun = True
    assert (tmp_path / "two").is_dir()
    with pytest.raises(FileExistsError), claimed(tmp_path / "two", alone=True):
        pass


def test_the_environment_and_the_run_say_nothing_of_a_lock(tmp_path):
    with locked(tmp_path):
        assert "none there yet" in repr(Run(tmp_path))
