"""What is written beside a number, so that it can be trusted: hashes, protocol, versions, revision."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from data_loading.config.atomic import write_whole
from data_loading.errors import CheckpointError
from massrl._version import __version__

PACKAGES = ("torch", "pytorch-lightning", "numpy", "scipy", "scikit-learn", "timm")
METRICS = ("linear_1_per_class", "linear_10pct", "linear_all", "knn", "rank", "alignment", "seconds")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that an accuracy depends on."""
    return {
        "python": platform.python_version(),
        "massrl": __version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }


def git() -> dict | None:
    """{"revision", "dirty"} of the repository that this code runs from; None when it is no repository."""
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


def data_config(checkpoint: str | Path, size: int | None = None) -> dict:
    """{"size", "mean", "std", "view_set"} that the checkpoint's encoder was trained with, at another `size` if given.

    A checkpoint that does not say is taken with `size` and ImageNet's mean and std (None); without it, or when the file
    is missing or no checkpoint, CheckpointError.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; `massrl pretrain` writes one to RUN/checkpoints/last.ckpt")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a file that is none of its own
        raise CheckpointError(f"{path}: not a checkpoint that torch can read ({type(error).__name__})") from None
    found = content.get("massrl") if isinstance(content, dict) else None
    if not isinstance(found, dict) or "size" not in found:
        if size is None:
            raise CheckpointError(f"{path}: does not say which image size its encoder was trained with; give --size")
        found = {"mean": None, "std": None, "view_set": None}
    return {**found, "size": size or found["size"]}


def write_json(path: str | Path, content: dict) -> Path:
    """Write indented JSON, whole or not at all."""
    return write_whole(path, json.dumps(content, indent=2) + "\n")


def save_metrics(run: str | Path, result: dict, seconds: dict | None = None, **facts) -> Path:
    """Write run/metrics.json: the accuracies of `compare` (or rank and alignment) and the seconds spent.

    Paired differences, protocols and `facts` (hashes, split, seed), with versions and revision, go to evaluation.json.
    """
    content = {**result, **({"seconds": seconds} if seconds is not None else {})}
    rest = {key: value for key, value in content.items() if key not in METRICS}
    write_json(Path(run) / "evaluation.json", {**rest, **facts, "versions": versions(), "git": git()})
    return write_json(Path(run) / "metrics.json", {key: content[key] for key in METRICS if key in content})
