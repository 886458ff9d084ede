"""Runs of two processes (gloo, CPU): a signal to one ends both with a checkpoint; one that is killed ends the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import ROOT
from killing import kept, logged
from massrl.cli.samples import sample_folder


class TwoProcesses:
    """A run of `massrl pretrain` on two processes: `parent` is rank 0, which starts rank 1."""

    def __init__(self, folder: Path, *words: str):
        images = folder / "sample_images"
        self.run = folder / "run"
        usual = f"--data.train {images} --model BYOL --model.backbone tiny_resnet --data.size 16 --data.batch_size 2 "
        usual += f"--data.num_workers 1 --trainer.accelerator cpu --trainer.log_every_n_steps 1 --run {self.run} "
        usual += "--report false --export false --trainer.enable_progress_bar false --save_minutes 0.001 "
        usual += f"--data.cache_dir {folder / 'cache'} --trainer.devices 2 --trainer.strategy ddp"
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "massrl", "pretrain", *usual.split(), *words],
            env={**os.environ, "PYTHONPATH": paths},
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
