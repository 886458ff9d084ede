"""`massrl runs`: which runs there are, whether they run, and what to type next."""

import json
import os
import shlex
import signal
import threading

import pytest
import pytorch_lightning as pl

from data_loading.errors import ConfigError
from killing import STEPS, killed, train
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.runs import heartbeat, lock
from massrl.runs.folder import CONFIG, Run
from massrl.runs.listing import SILENT, entries

COUNTS = ("epoch", "epochs", "step", "steps")


class At(pl.Callback):
    """Calls a function at the end of a step, counted from 1."""

    def __init__(self, step, function):
        self.step, self.function = step, function

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            self.function()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    train(images, run)
    return run


def only(path):
    [entry] = entries([path])
    return entry


def fail():
    raise RuntimeError("the\nnode is \x1b[31mgone")


def test_a_run_that_trains_is_running_and_one_that_has_ended_is_finished(images, tmp_path):
    seen = []
    train(images, tmp_path / "run", At(1, lambda: seen.append(only(tmp_path))))
    assert seen[0].state == "starting" and (seen[0].step, seen[0].epochs) == (0, 3)
    done = only(tmp_path)
    assert done.state == "finished" and done.next is None and done.line is None
    assert [getattr(done, name) for name in COUNTS] == [3, 3, STEPS, STEPS]
    assert done.loss == pytest.approx(Run(tmp_path / "run").columns["loss"][-1])
    assert done.knn is not None and done.age_s < 100 and done.pid == os.getpid()


def test_a_heartbeat_follows_the_first_step_and_those_after_it(images, tmp_path, monkeypatch):
    monkeypatch.setattr("massrl.training.heartbeat.FIRST", 0.0)  # after every step
    seen = []
    calls = [At(step, lambda: seen.append(only(tmp_path / "run"))) for step in (2, 7)]
    train(images, tmp_path / "run", *calls)
    assert [entry.state for entry in seen] == ["running", "running"]
    assert [(entry.epoch, entry.step) for entry in seen] == [(0, 1), (1, 6)]
    assert seen[1].loss == pytest.approx(Run(tmp_path / "run").columns["loss"][4])  # the newest row then


def test_a_run_that_is_killed_is_stale_at_once_and_says_how_it_goes_on(images, tmp_path):
    run = tmp_path / "my runs" / "run"
    killed(images, run, "in the step", 6)
    entry = only(run.parent)
    assert entry.state == "stale" and entry.steps == STEPS
    assert shlex.split(entry.next) == ["massrl", "pretrain", "--config", str(run / CONFIG), "--run", str(run)]
    train(images, run)
    assert only(run).state == "finished"


def test_a_run_that_is_killed_before_its_first_checkpoint_starts_again(images, tmp_path):
    killed(images, tmp_path / "run", "in the step", 2, save_minutes=0)
    entry = only(tmp_path)
    assert entry.state == "stale"
    assert entry.next == f"massrl pretrain --config {tmp_path}/run/config.yaml --run {tmp_path}/run"


def test_a_complete_run_whose_process_could_not_say_so_is_finished_when_it_is_started_again(images, tmp_path):
    train(images, tmp_path / "run")
    heard = heartbeat.read(tmp_path / "run")
    heartbeat.write(tmp_path / "run", "running", **{name: heard[name] for name in ("step", "epoch", "steps", "epochs")})
    train(images, tmp_path / "run")
    entry = only(tmp_path)
    assert (entry.state, entry.step, entry.epoch) == ("finished", STEPS, 3)


def test_a_fault_is_a_failed_run_with_its_line(images, tmp_path, capsys):
    with pytest.raises(RuntimeError):
        train(images, tmp_path / "run", At(6, fail))
    entry = only(tmp_path)
    assert (entry.state, entry.step, entry.epoch) == ("failed", 6, 1)
    assert entry.line == r"RuntimeError: the node is \x1b[31mgone" and "--config" in entry.next


def test_a_signal_is_a_stopped_run(images, tmp_path):
    with pytest.raises(SystemExit):
        train(images, tmp_path / "run", At(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    entry = only(tmp_path)
    assert (entry.state, entry.line) == ("stopped", "stopped by SIGTERM") and entry.next


def test_a_heartbeat_that_cannot_be_written_is_said_once_and_ends_no_run(images, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("massrl.training.heartbeat.FIRST", 0.0)
    os.mkdir(tmp_path / "run")
    os.mkdir(tmp_path / "run" / heartbeat.HEARTBEAT)  # a file cannot replace a folder
    os.mkdir(tmp_path / "run" / heartbeat.HEARTBEAT / "full")
    (tmp_path / "run" / "environment.json").write_text("{}")  # a folder of a run
    train(images, tmp_path / "run")
    said = [record.message for record in caplog.records if "does not know how far this run is" in record.message]
    assert len(said) == 1 and only(tmp_path).state == "damaged"


@pytest.fixture
def copied(finished, tmp_path):
    """A run folder, whose heartbeat can be changed."""
    run = tmp_path / "copied"
    run.mkdir()
    for name in ("config.yaml", "metrics.csv", "metrics.json", "environment.json", heartbeat.HEARTBEAT):
        (run / name).write_bytes((finished / name).read_bytes())
    return run


def changed(run, **facts):
    content = heartbeat.read(run) | facts
    (run / heartbeat.HEARTBEAT).write_text(json.dumps(content))


def test_what_a_run_of_another_machine_says_is_believed_for_ten_minutes(copied):
    content = heartbeat.read(copied)
    changed(copied, state="running", host="elsewhere")
    assert only(copied).state == "running"
    changed(copied, time=content["time"] - SILENT - 100)
    assert only(copied).state == "stale"


def test_on_a_file_system_without_locks_a_process_of_this_machine_is_looked_for(copied, monkeypatch):
    monkeypatch.setattr("massrl.runs.listing.is_held", lambda run: None)
    changed(copied, state="running")
    assert only(copied).state == "running"  # the process of this test
    for gone in (2**22 + 1, 2**70, 0, -1):  # Linux has no such numbers
        changed(copied, pid=gone)
        assert only(copied).state == "stale", gone


def test_a_run_that_is_started_again_is_starting_until_it_says_so(copied):
    changed(copied, state="failed", line="the disk was full")
    assert only(copied).state == "failed"
    with lock.locked(copied):
        assert only(copied).state == "starting"


def test_a_run_without_a_heartbeat_is_known_by_its_other_files(copied):
    (copied / heartbeat.HEARTBEAT).unlink()
    entry = only(copied)
    assert (entry.state, entry.step, entry.epoch) == ("finished", STEPS, 3) and entry.loss is not None
    (copied / "metrics.json").unlink()
    assert only(copied).state == "stale"
    with lock.locked(copied):
        assert only(copied).state == "running"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "[" * 5000, '{"state": "running"}', "x" * 70000, "\xff", "pipe", "folder"]
)
def test_a_damaged_heartbeat_is_named_and_other_runs_are_listed(finished, copied, content, capsys):
    file = copied / heartbeat.HEARTBEAT
    file.unlink()
    if content == "pipe":
        os.mkfifo(file)  # which would be read for ever
    elif content == "folder":
        file.mkdir()
    else:
        file.write_bytes(content.encode("latin-1"))
    assert main(["runs", str(copied), str(finished)]) == 0
    said = capsys.readouterr().out
    assert "damaged" in said and f"{file}: " in said and "finished" in said


@pytest.mark.parametrize("wrong", [{"state": "\x1b[31m"}, {"step": "1"}, {"pid": None}, {"time": "now"}, {"loss": []}])
def test_a_heartbeat_of_another_form_is_damaged(copied, wrong):
    changed(copied, **wrong)
    entry = only(copied)
    assert entry.state == "damaged" and "not a heartbeat of massrl" in entry.line and entry.line.isprintable()


def test_the_table_shows_runs_of_every_state_and_no_control_characters(copied, capsys):
    for i, state in enumerate(("running", "failed", "finished")):
        run = copied.with_name(f"{i}\x1b[31m\nred")
        run.mkdir()
        (run / "config.yaml").write_text("{}")
        heartbeat.write(run, state, epoch=1, epochs=None, step=7, steps=None, loss=float("nan"), line="so\x07" * i)
    assert main(["runs", str(copied.parent)]) == 0
    said = capsys.readouterr().out
    assert said.isprintable() or "\x1b" not in said and "\x07" not in said
    lines = said.splitlines()
    assert lines[0].split() == ["run", "state", "epoch", "step", "loss", "kNN,", "%", "images/s", "seen"]
    states = {word for line in lines[1:] for word in ("stale", "failed", "finished") if word in line.split()}
    assert states == {"stale", "failed", "finished"} and r"\x1b[31m" in said
    assert main(["runs", str(copied.parent), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # no NaN
    assert {entry["state"] for entry in listed} == {"stale", "failed", "finished"}
    assert [entry["step"] for entry in listed if entry["state"] == "stale"] == [7]


def test_runs_below_a_folder_are_found_and_a_folder_that_is_not_there_is_one_line(finished, tmp_path, capsys):
    assert main(["runs"]) == 0
    assert "no runs here" in capsys.readouterr().out
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    (tmp_path / "runs" / "quickstart" / "simclr").symlink_to(finished)
    assert [entry.run for entry in entries(["runs"])] == ["runs/quickstart/simclr"]
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "finished"
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        entries(["nowhere"])


def test_who_asks_for_a_lock_does_not_keep_a_run_from_starting(tmp_path, monkeypatch):
    assert lock.is_held(tmp_path) is False
    with lock.locked(tmp_path):
        assert lock.is_held(tmp_path) is True
    (tmp_path / lock.LOCK).touch()  # as a kill leaves it
    assert lock.is_held(tmp_path) is False
    monkeypatch.setattr(lock, "ASKING", 60.0)
    descriptor = os.open(tmp_path / lock.LOCK, os.O_RDONLY)
    lock.fcntl.flock(descriptor, lock.fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [descriptor]).start()
    with lock.locked(tmp_path):
        pass
