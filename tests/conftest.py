"""Shared set-up of the tests; setup.cfg puts this folder on the path, so that they can import `helpers`."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

# Before anything heavy is imported, as the front of the `massrl` command does it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path, monkeypatch):
    """Each test runs in an empty folder: what a command writes to `runs/` stays out of the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def alone_with_shared_memory():
    """No other process of these tests (pytest-xdist has several) makes or counts notes of shared memory meanwhile."""
    with open(Path(tempfile.gettempdir()) / f"massrl-tests-{os.getuid()}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
