"""Resume: the same command goes on with the run that it has begun, as it was begun."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError
from massrl.runs.checkpoint import Checkpoint, newest
from massrl.runs.checkpoint_files import begun_in

CHOICES = ("auto", "never")
MISSING = object()
# Settings, or groups of them, with which a run would not be the same one. Others may differ, as its length, devices,
# loggers and threads; the loader itself refuses other images.
BINDING = (
    "seed_everything",
    "model",
    *(
        f"data.{name}"
        for name in ("views", "size", "batch_size", "seed", "order", "pool_pages", "dtype", "mean", "std")
    ),
    *(f"data.{name}" for name in ("decode_scale", "fast_dct")),
    *(f"trainer.{name}" for name in ("precision", "accumulate_grad_batches", "sync_batchnorm", "limit_train_batches")),
    *(f"trainer.{name}" for name in ("gradient_clip_val", "gradient_clip_algorithm", "overfit_batches")),
)
PROCESSES = ("trainer.devices", "trainer.num_nodes")  # where these differ, so may the images per process
LENGTH = ("max_epochs", "max_steps", "limit_train_batches")  # of the Trainer: what a fitted length has set


def begun(run: Path) -> Path | None:
    """The checkpoint from which a run folder goes on; None where it has none, so that the run starts."""
    return newest(run) if begun_in(run) else None


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """All settings with which the checkpoint's run was started; {} where it does not say."""
    said = checkpoint.content.get("massrl")
    config = said.get("config") if isinstance(said, dict) else None
    return config if isinstance(config, dict) else {}


def length_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The length of the checkpoint's run as arguments of the Trainer: that of a run fitted to minutes is kept."""
    trainer = settings_of(checkpoint).get("trainer") or {}
    return {name: trainer[name] for name in LENGTH if trainer.get(name) is not None}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name with dots, value before, value now) of each setting in which two configs differ.

    Lists, views and sizes by epoch are compared as a whole.
    """
    for name in dict.fromkeys((*before, *now)):
        if not within and name == "minutes":  # which has set the length, or nothing
            continue
        one, other = before.get(name, MISSING), now.get(name, MISSING)
        if isinstance(one, Mapping) and isinstance(other, Mapping) and name not in ("views", "size"):
            yield from differences(one, other, f"{within}{name}.")
        elif one is not MISSING and other is not MISSING and _plain(one) != _plain(other):
            yield f"{within}{name}", one, other


def compare(run: Path, checkpoint: Checkpoint, config: Mapping[str, Any]) -> list[str]:
    """In words, the settings in which a run goes on otherwise than it was begun.

    ConfigError where it would be another run.
    """
    found = list(differences(settings_of(checkpoint), config))
    others = any(name in PROCESSES for name, _, _ in found)
    # Where both have a global batch, the images per process follow from it, which is compared with the checkpoint's.
    others = others or config.get("global_batch") is not None
    binding = [one for one in found if _binds(one[0]) and not (others and one[0] == "data.batch_size")]
    if binding:
        raise ConfigError(
            f"--run {run} was begun with other settings: {'; '.join(_words(*one) for one in binding)}; give the same "
            f"ones, name another folder, or go on with these by --ckpt_path {run}"
        )
    return [_words(*one) for one in found]


def _binds(name: str) -> bool:
    return any(name == group or name.startswith(f"{group}.") for group in BINDING)


def _words(name: str, before: Any, now: Any) -> str:
    if name.endswith("views"):
        return f"{name} differ"
    return f"{name} is {_short(before)} there and {_short(now)} here"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else _plain(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _plain(value: Any) -> str:
    """Equal for values that a file and a command line write differently, as tuples and lists."""
    return json.dumps(value, sort_keys=True, default=str)
