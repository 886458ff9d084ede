"""The zoo: checkpoints that come with the package, by name wherever a checkpoint is asked for.

>>> encoder = massrl.load("zoo:cifar10-simclr").encoder

NAME.ckpt has the method's weights without the state of its optimiser; NAME.json is its card: hash, data, settings,
figures, and the commands that make it again. `massrl.exporting.to_zoo` writes both.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from data_loading.errors import CheckpointError, UnknownName, near_miss

PREFIX = "zoo:"
FOLDER = Path(__file__).parent


def is_zoo(where: str | os.PathLike) -> bool:
    """Whether a checkpoint is named as one of the zoo."""
    return os.fspath(where).startswith(PREFIX)


def names() -> list[str]:
    """The names of the zoo's checkpoints, sorted, without "zoo:"."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def card(name: str) -> dict[str, Any]:
    """What is known of a checkpoint, as JSON values; UnknownName, with the nearest one, where there is none."""
    plain = name.removeprefix(PREFIX)
    known = names()
    if plain not in known:
        hint = near_miss(PREFIX + plain, [PREFIX + one for one in known])
        raise UnknownName(f"no checkpoint {PREFIX}{plain}.{hint} `massrl list zoo` shows all")
    return json.loads((FOLDER / f"{plain}.json").read_text(encoding="utf-8"))


def path(name: str) -> Path:
    """The file of a checkpoint; CheckpointError unless it has the hash that its card says."""
    of = card(name)
    file = FOLDER / of["file"]
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{name}: {file}: {error.strerror or error}; install massrl again") from None
    if found != of["sha256"]:
        raise CheckpointError(f"{name}: {file} is not the file that its card describes; install massrl again")
    return file
