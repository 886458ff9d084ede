"""wandb is imported by nobody who has not asked for it, as by timm, which imports it wherever it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import CHECKOUT
from massrl.cli.samples import sample_folder

STAND_IN = 'import pathlib\npathlib.Path("imported").touch()\n'


@pytest.fixture
def wandb(tmp_path) -> Path:
    """A package wandb in front of any other, which notes that it was imported."""
    (tmp_path / "stand_in" / "wandb").mkdir(parents=True)
    (tmp_path / "stand_in" / "wandb" / "__init__.py").write_text(STAND_IN)
    return tmp_path / "stand_in"


def python(wandb: Path, *words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(wandb), str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def test_a_training_that_needs_timm_imports_no_wandb(wandb, tmp_path):
    images = str(sample_folder(tmp_path))
    words = ["--model", "SimCLR", "--model.optim.name", "lars", "--model.backbone", "timm:resnet10t"]
    words += ["--data.train", images, "--data.size", "32", "--data.batch_size", "8", "--data.num_workers", "1"]
    words += ["--trainer.max_steps", "1", "--trainer.accelerator", "cpu", "--run", "run", "--report", "false"]
    done = python(wandb, "-m", "massrl", "pretrain", *words, "--model.hidden_dim", "8", "--model.out_dim", "8")
    assert "timm" in done.stdout, "the export is a folder of timm"
    assert not Path("imported").exists()


def test_wandb_is_hidden_from_timm_alone(wandb):
    code = "from massrl.timm_package import import_timm; t = import_timm('timm.optim'); import wandb, timm, pathlib\n"
    code += "assert t is timm.optim and pathlib.Path('imported').exists()"
    python(wandb, "-c", code)


def test_who_has_imported_wandb_keeps_it(wandb):
    code = "import wandb, sys; from massrl.timm_package import import_timm; import_timm()\n"
    code += "import timm.utils.summary as s; assert s.wandb is wandb is sys.modules['wandb']"
    python(wandb, "-c", code)
