"""The SLURM scripts with stand-ins of srun and scontrol.

pretrain.sh saves on the notice, is queued again, and goes on. write.sh writes a shard in each job of an array.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import ROOT
from data_loading import DatasetWriter, sources
from killing import logged
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint import Checkpoint

SCRIPT = ROOT / "bash_files" / "slurm" / "pretrain.sh"
WRITE = ROOT / "bash_files" / "slurm" / "write.sh"
MASSRL = f'#!/bin/sh\nexec {sys.executable} -m massrl "$@"\n'
SRUN = """#!/bin/sh
shift 2  # --wait 120
"$@" &
task=$!
trap "kill -USR1 $task" USR1  # as srun hands it on
wait $task
code=$?
while kill -0 $task 2>/dev/null; do wait $task; code=$?; done
exit $code
"""
SCONTROL = '#!/bin/sh\necho "$@" > requeued\n'


@pytest.fixture
def cluster(tmp_path):
    for name, text in (("massrl", MASSRL), ("srun", SRUN), ("scontrol", SCONTROL)):
        program = tmp_path / "venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    chosen = {"VENV": str(tmp_path / "venv"), "SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "7"}
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, **chosen, "PYTHONPATH": paths}


def job(cluster, folder, *words, script=SCRIPT):
    return subprocess.Popen(
        ["bash", str(script), *words],
        env=cluster,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_job_whose_time_is_up_saves_is_queued_again_and_goes_on(cluster, tmp_path):
    images, run = sample_folder(tmp_path), tmp_path / "run"
    words = ["--run", str(run), "--data.train", str(images), "--model", "SimCLR", "--model.backbone", "tiny_resnet"]
    words += ["--data.size", "16", "--data.batch_size", "4", "--trainer.log_every_n_steps", "1", "--report", "false"]
    words += ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu", "--export", "false"]
    first = job(cluster, tmp_path, *words, "--trainer.max_epochs", "100000")
    while not (run / "metrics.csv").exists() or len((run / "metrics.csv").read_text().splitlines()) < 4:
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    first.send_signal(signal.SIGUSR1)
    said = first.communicate(timeout=120)[0]
    assert first.returncode == 0 and "SIGUSR1: saving after this step" in said and "queued again" in said
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    done = Checkpoint.read(run).steps
    assert done == len(logged(run)) >= 3
    epochs = str(done // 4 + 2)
    again = job({**cluster, "SLURM_RESTART_COUNT": "1"}, tmp_path, *words, "--trainer.max_epochs", epochs)
    said = again.communicate(timeout=120)[0]
    assert again.returncode == 0 and "start 1" in said and f"steps {done}" in said, said
    assert [int(row["step"]) for row in logged(run)] == list(range(4 * int(epochs)))


def test_a_job_without_a_run_folder_or_outside_the_checkout_is_refused(cluster, tmp_path):
    said = job(cluster, tmp_path, "--data.train", "x").communicate()[0]
    assert said == "pretrain.sh: error: --run is missing; name a folder, in which the job goes on\n"
    said = job({**cluster, "SLURM_SUBMIT_DIR": str(tmp_path)}, tmp_path, "--run", "x").communicate()[0]
    assert "is not massrl's checkout; run sbatch there" in said


def test_a_mistake_ends_the_job_and_is_not_queued_again(cluster, tmp_path):
    failed = job(cluster, tmp_path, "--run", "r", "--data.train", "none")
    assert "massrl pretrain: error:" in failed.communicate()[0] and failed.returncode == 2
    assert not (tmp_path / "requeued").exists()


def test_the_jobs_of_an_array_write_a_shard_each_at_once_which_merge_to_the_file_of_one_process(cluster, tmp_path):
    images = sample_folder(tmp_path)
    words = [str(images), "s.beton", "--shards", "3"]
    jobs = [job({**cluster, "SLURM_ARRAY_TASK_ID": str(i)}, tmp_path, *words, script=WRITE) for i in range(3)]
    for i, one in enumerate(jobs):
        said = one.communicate(timeout=120)[0]
        assert one.returncode == 0 and f"s-0000{i}-of-00003.beton: {(5, 5, 6)[i]} images of 2 classes" in said, said
        assert f"shard {i}, start 0" in said and "massrl data merge" in said
    shards = sorted(tmp_path.glob("s-*.beton"))
    assert len(shards) == 3
    source = sources.open(images)
    DatasetWriter("one.beton", source.fields()).from_indexed_dataset(source, progress=False)
    assert sources.merge("merged.beton", shards, progress=False).read_bytes() == Path("one.beton").read_bytes()


def test_a_job_that_is_none_of_an_array_or_does_not_say_how_many_shards_there_are_is_refused(cluster, tmp_path):
    def said(environment, *words):
        ended = job({**cluster, **environment}, tmp_path, "images", "s.beton", *words, script=WRITE)
        text = ended.communicate(timeout=60)[0]
        assert ended.returncode == 2 and text.count("\n") == 1
        return text

    one = {"SLURM_ARRAY_TASK_ID": "1"}
    assert "write.sh: error: this is no job of an array" in said({}, "--shards", "3")
    assert "write.sh: error: --shards is missing" in said(one)
    assert "write.sh: error: --shard is the number of the job" in said(one, "--shards", "3", "--shard", "0")
    assert "is not massrl's checkout" in said({**one, "SLURM_SUBMIT_DIR": str(tmp_path)}, "--shards", "3")
