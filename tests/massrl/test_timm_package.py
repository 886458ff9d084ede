"""wandb is imported by nobody who has not asked for it, as by timm, which imports it wherever it is installed."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from helpers import CHECKOUT
from massrl.cli.samples import sample_folder
from massrl.timm_package import import_timm, without

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


def test_wandb_is_hidden_meanwhile_and_who_has_imported_it_keeps_it(wandb, monkeypatch):
    monkeypatch.syspath_prepend(wandb)
    monkeypatch.setitem(sys.modules, "wandb", None)  # an entry to be restored
    del sys.modules["wandb"]
    with without("wandb"), pytest.raises(ImportError):
        import_module("wandb")
    assert not Path("imported").exists()
    module = import_module("wandb")
    with without("wandb"):
        assert import_module("wandb") is module
    assert sys.modules["wandb"] is module and Path("imported").exists()


def test_timm_is_imported_by_the_name_of_its_module():
    assert import_timm("timm.optim").Lars.__module__ == "timm.optim.lars" and import_timm().__name__ == "timm"
