"""docs/byol_in_one_page.py: a whole run from losses, heads and loader alone, which learns."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_loading import DatasetWriter, sources

PAGE = Path(__file__).parents[1] / "docs" / "byol_in_one_page.py"
ACCURACY = r"kNN accuracy (before|after) training: ([\d.]+) % with 100 labels, ([\d.]+) % with all"


def run(*words):
    """What the page prints when it is run with these words."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PAGE), *map(str, words)], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed():
    return run("--epochs", 3)


def test_the_page_prints_a_finite_loss_per_epoch_and_the_accuracy_before_and_after(printed):
    losses = [float(value) for value in re.findall(r"^epoch \d+: loss ([\d.]+), ", printed, re.M)]
    assert len(losses) == 3 and all(0 < loss < 8 for loss in losses)  # two distances in 0..4 each
    accuracies = re.findall(ACCURACY, printed)
    assert [when for when, *_ in accuracies] == ["before", "after"]


def test_three_epochs_of_the_page_raise_the_accuracy(printed):
    (_, *before), (_, *after) = re.findall(ACCURACY, printed)
    assert (
        sum(map(float, after)) > sum(map(float, before)) + 5
    )  # of 360 images; 12 percentage points where it was written


def test_the_page_runs_on_files_that_are_given(tmp_path):
    files = []
    for split in ("train", "test"):
        source = sources.open("digits", split=split)
        files.append(tmp_path / f"{split}.beton")
        rows = [source[i] for i in range(128)]
        DatasetWriter(files[-1], source.fields()).from_indexed_dataset(rows, progress=False)
    assert len(re.findall(ACCURACY, run(*files, "--epochs", 1))) == 2


def test_the_page_uses_only_the_losses_the_parts_of_networks_and_the_loader():
    modules = {n.module for n in ast.walk(ast.parse(PAGE.read_text())) if isinstance(n, ast.ImportFrom)}
    assert {m for m in modules if m.partition(".")[0] in ("massrl", "data_loading", "pytorch_lightning")} == {
        "data_loading",
        "massrl.losses",
        "massrl.nn",
    }


def test_the_page_is_one_page():
    tree = ast.parse(PAGE.read_text())
    lines = {n.lineno for n in ast.walk(tree) if isinstance(n, ast.stmt)}
    assert len(lines) <= 70  # statements; the docstring and comments come on top
