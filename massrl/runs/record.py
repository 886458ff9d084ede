"""What is written beside a number so that it can be trusted: hashes, versions, machine, git revision."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from data_loading.config.atomic import write_whole
from massrl._version import __version__

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "scikit-learn", "timm")


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that an accuracy depends on."""
    return {
        "python": platform.python_version(),
        "massrl": __version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }


def git() -> dict[str, Any] | None:
    """{"revision", "dirty"} of the repository that this code runs from; None where it is not in a repository."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    revision, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--untracked-files=no")
    return None if revision is None else {"revision": revision, "dirty": bool(changes)}


def processor() -> str:
    """The processor's name as Linux has it, else what `platform` says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # macOS, Windows
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def environment(command: str) -> dict[str, Any]:
    """Where, when and by which command a run was started."""
    return {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "versions": versions(),
        "git": git(),
        "python": sys.version.split()[0],
    }


def write_json(path: str | Path, content: dict[str, Any]) -> Path:
    """Write indented JSON, the whole file or nothing."""
    return write_whole(path, json.dumps(content, indent=2) + "\n")
