"""Heartbeat: RUN/heartbeat.json, by which others know what a run does and how far it is, without its log."""

from __future__ import annotations

import json
import math
import os
import platform
import stat
import time
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError
from massrl.runs.shapes import NUMBER, misfit

HEARTBEAT = "heartbeat.json"  # in a run folder
EVERY = 30.0  # seconds from one to the next while a run trains, at most, unless a step takes longer
STATES = ("starting", "running", "finished", "failed", "stopped")  # what a run says of itself
SHAPE = {
    "state!": str,
    "time!": NUMBER,  # seconds since 1970
    "host!": str,
    "pid!": int,
    "epoch!": int,  # epochs done, of `epochs`
    "epochs": int | None,  # None where steps alone end the run
    "step!": int,  # optimiser steps done, of `steps`
    "steps": int | None,
    **dict.fromkeys(("loss", "knn", "images_per_s"), NUMBER | None),  # of the newest row of the log
    "line": str | None,  # why it failed, or which signal stopped it
}
MOST_BYTES = 1 << 16


def write(run: Path, state: str, **facts: Any) -> None:
    """Replace the heartbeat, the whole file or nothing; UserError where it cannot be written.

    facts: the values that SHAPE lists and this does not set; numbers that are not finite become null, as JSON has none.
    """
    me = {"state": state, "time": round(time.time(), 3), "host": platform.node(), "pid": os.getpid()}
    known = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in facts.items()}
    write_whole(run / HEARTBEAT, json.dumps({**me, **known}, indent=2) + "\n")


def read(run: Path) -> dict[str, Any] | None:
    """The heartbeat of a run folder, None where it has none; ConfigError where it is not one."""
    path = run / HEARTBEAT
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise ConfigError(f"{path}: not a heartbeat of massrl")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    reason = misfit(content, SHAPE)
    if reason is None and content["state"] not in STATES:
        reason = f"its state is {content['state']!r:.40}"
    if reason:
        raise ConfigError(f"{path}: not a heartbeat of massrl: {reason}")
    return content
