"""Runs of several processes (gloo, CPU): what ends one ends all, and they go on with the same images in any number."""

import collections
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import ROOT
from killing import kept, logged
from massrl.cli.samples import sample_folder

PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])


def words_of_a_run(folder: Path, run: Path) -> list[str]:
    """The words after `massrl`, for two images a process and a checkpoint after every few steps."""
    words = f"pretrain --data.train {folder / 'sample_images'} --model BYOL --model.backbone tiny_resnet "
    words += f"--data.size 16 --data.batch_size 2 --data.num_workers 1 --data.cache_dir {folder / 'cache'} --run {run} "
    words += "--report false --export false --save_minutes 0.001 --trainer.enable_progress_bar false "
    words += "--trainer.accelerator cpu --trainer.strategy ddp --trainer.log_every_n_steps 1"
    return words.split()


class TwoProcesses:
    """A run of `massrl pretrain` on two processes: `parent` is rank 0, which starts rank 1."""

    def __init__(self, folder: Path, *words: str, run: str = "run"):
        self.run = folder / run
        usual = [*words_of_a_run(folder, self.run), "--trainer.devices", "2"]
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "massrl", *usual, *words],
            env={**os.environ, "PYTHONPATH": PATHS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def after_rows(self, count: int) -> None:
        while not (self.run / "metrics.csv").exists() or len(logged(self.run)) < count:
            assert self.parent.poll() is None, self.parent.communicate()[0]
            time.sleep(0.05)

    @property
    def child(self) -> int:
        listed = subprocess.run(["pgrep", "-P", str(self.parent.pid), "-f", "massrl"], capture_output=True, text=True)
        return int(listed.stdout.split()[0])

    def ended(self) -> str:
        return self.parent.communicate(timeout=60)[0]


@pytest.fixture
def folder(tmp_path):
    sample_folder(tmp_path)
    return tmp_path


def ends(pid: int) -> bool:
    """Whether a process ends within half a minute; one that nobody has waited for counts."""
    for _ in range(300):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("to", [pytest.param("rank 0", marks=pytest.mark.long), "rank 1"])
def test_a_signal_to_one_process_ends_both_with_a_checkpoint_and_the_command_goes_on(folder, to):
    both = TwoProcesses(folder, "--trainer.max_epochs", "10000")
    both.after_rows(4)
    child = both.child
    os.kill(both.parent.pid if to == "rank 0" else child, signal.SIGTERM)
    said = both.ended()
    assert (
        both.parent.returncode == 128 + signal.SIGTERM
        and f"to continue: massrl pretrain --ckpt_path {both.run}" in said
    )
    assert ends(child)
    done = kept(both.run)["global_step"]
    assert done == len(logged(both.run)) and len(kept(both.run)["processes"]) == 2
    again = TwoProcesses(folder, "--trainer.max_epochs", str(done // 4 + 1))
    said = again.ended()
    assert again.parent.returncode == 0 and f"goes on: epochs done {done // 4}, steps {done}" in said
    assert [int(row["step"]) for row in logged(both.run)] == list(range(4 * (done // 4 + 1)))


@pytest.mark.long
def test_where_one_process_is_killed_the_other_ends_within_a_minute_and_says_how_to_go_on(folder):
    both = TwoProcesses(folder, "--trainer.max_epochs", "10000")
    both.after_rows(12)
    os.kill(both.child, signal.SIGKILL)
    said = both.ended()
    line = said.strip().splitlines()[-1]
    assert both.parent.returncode == 2 and line.startswith(
        "massrl pretrain: error: another process of this run has ended"
    )
    assert f"to continue: massrl pretrain --ckpt_path {both.run}" in line
    done = kept(both.run)["global_step"]
    one = TwoProcesses(folder, "--trainer.max_epochs", str(done // 4 + 2), "--trainer.devices", "1")
    said = one.ended()
    assert one.parent.returncode == 0, said
    assert (
        "trainer.devices is 2 there and 1 here" in said
        and "the checkpoint is of 2 processes and this run has 1" in said
    )
    assert [int(row["step"]) for row in logged(both.run)] == list(range(4 * (done // 4 + 2)))


def test_where_rank_0_refuses_a_rank_that_was_started_by_hand_ends_too(folder):
    (folder / "run").mkdir()
    (folder / "run" / "file of somebody else").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    words = [sys.executable, "-m", "massrl", *words_of_a_run(folder, folder / "run"), "--trainer.devices", "2"]
    started = []
    for rank in ("1", "0"):
        own = {**os.environ, **together, "PYTHONPATH": PATHS, "RANK": rank, "LOCAL_RANK": rank}
        words_of_rank = [*words, "--trainer.max_epochs", "1"]
        started.append(subprocess.Popen(words_of_rank, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    other, first = (process.communicate(timeout=120)[0].decode().strip() for process in started)
    assert [process.returncode for process in started] == [2, 2]
    assert "is not empty; name another folder" in first
    assert "another process of this run has ended" in other.splitlines()[-1] and "Traceback" not in other


@pytest.mark.long
def test_torchrun_starts_a_run_whose_words_stand_after_two_dashes(folder):
    run, images = folder / "run", folder / "sample_images"
    words = f"--data.train {images} --model SimCLR --model.backbone tiny_resnet --data.size 16 --data.batch_size 2 "
    words += f"--run {run} --report false --export false --trainer.max_epochs 1 --trainer.accelerator cpu "
    words += f"--trainer.devices 2 --trainer.strategy ddp --data.cache_dir {folder / 'cache'}"
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*start, "-m", "--", "massrl", "pretrain", *words.split()],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert kept(run)["global_step"] == 4 and len(kept(run)["processes"]) == 2


def test_accuracy_of_fewer_validation_images_than_processes_take_does_not_hang(folder):
    val = folder / "val" / "discs"
    val.mkdir(parents=True)
    for image in sorted((folder / "sample_images" / "discs").iterdir())[:2]:  # all of them in the part of rank 0
        shutil.copy(image, val)
    words = ["--model", "Supervised", "--model.num_classes", "2", "--data.val", str(val.parent)]
    both = TwoProcesses(folder, *words, "--trainer.max_epochs", "1")
    said = both.ended()
    assert both.parent.returncode == 0, said
    assert "val_accuracy" in logged(both.run)[-1]


def seen(folder: Path) -> list[list[int]]:
    """The images of each step of all processes, in order of rank, as killing.Seen has written them."""
    steps: dict[int, list[int]] = collections.defaultdict(list)
    for file in sorted(folder.glob("seen *.txt")):
        for line in file.read_text().splitlines():
            step, _, *index = map(int, line.split())
            steps[step] += index
    return [steps[step] for step in sorted(steps)]


@pytest.mark.long
def test_1_2_and_4_processes_go_on_with_the_images_of_a_run_that_never_changed(folder):
    def go_on(run: str, processes: int, steps: int) -> None:
        (folder / f"images of {run}").mkdir(exist_ok=True)
        words = ["--trainer.devices", str(processes), "--trainer.max_steps", str(steps), "--data.batch_size", "8"]
        words += ["--import", "killing", "--trainer.callbacks", "killing.Seen"]
        words += ["--trainer.callbacks.out", str(folder / f"images of {run}")]
        part = TwoProcesses(folder, *words, run=run)
        said = part.ended()
        assert part.parent.returncode == 0, said

    go_on("unchanged", 1, 8)
    for processes, steps in ((1, 3), (2, 5), (4, 8)):  # 2 steps are an epoch
        go_on("changed", processes, steps)
    found = seen(folder / "images of changed")
    assert [len(step) for step in found] == [8] * 8 and found == seen(folder / "images of unchanged")
    changed = TwoProcesses(folder, "--trainer.devices", "3", "--trainer.max_steps", "20", run="changed")
    said = changed.ended()
    assert changed.parent.returncode == 2
    assert "global batches of 8 images, which 3 processes cannot share evenly; resume with 2 or 4 processes" in said


class Agent:
    """torchrun on one of up to two nodes, here both on this machine; the first hosts the rendezvous."""

    def __init__(self, folder: Path, port: int, *words: str):
        start = "-m torch.distributed.run --nnodes 1:2 --nproc_per_node 1 --rdzv_backend c10d --max_restarts 5 "
        start += f"--rdzv_endpoint 127.0.0.1:{port} --rdzv_id run --rdzv_conf last_call_timeout=2 -m -- massrl"
        alike = {"PYTHONPATH": PATHS, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # docs/runs.md says why
        self.log = folder / f"agent {len(list(folder.glob('agent *')))}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *start.split(), *words_of_a_run(folder, folder / "run"), *words],
                env={**os.environ, **alike},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """As a node that loses its power: the agent and its processes at once."""
        if self.process.poll() is not None:
            return
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        for pid in (self.process.pid, *map(int, listed)):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def said(self) -> str:
        return self.log.read_text()


def wait_until(what, agents: list[Agent], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end and all(agent.process.poll() is None for agent in agents), [
            a.said for a in agents
        ]
        time.sleep(0.1)


@pytest.fixture
def agents():
    """A list of agents, of which those that still run at the end are killed."""
    started: list[Agent] = []
    yield started
    for agent in started:
        agent.kill()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_torchrun_of_two_nodes_goes_on_with_one_when_the_other_is_killed_and_with_both_when_it_is_back(folder, agents):
    run, words = folder / "run", ("--trainer.max_epochs", "300")

    def steps() -> int:
        return len(logged(run)) if (run / "metrics.csv").exists() else 0

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agents += [host := Agent(folder, port, *words)]
    time.sleep(1)
    agents += [other := Agent(folder, port, *words)]
    wait_until(lambda: steps() > 20, [host, other])
    other.kill()
    wait_until(lambda: "the checkpoint is of 2 processes and this run has 1" in host.said, [host])
    before = steps()
    wait_until(lambda: steps() > before + 20, [host])
    agents += [back := Agent(folder, port, *words)]
    wait_until(lambda: "the checkpoint is of 1 processes and this run has 2" in host.said, [host, back])
    assert host.process.wait(600) == back.process.wait(60) == 0, host.said
    assert "another process of this run has ended" in host.said, "and nothing else of the killed one"
    assert [int(row["step"]) for row in logged(run)] == list(range(1200)), "no step is lost, and none done twice"
