"""Listing: which runs there are in some folders, and whether each is running, finished, stopped, failed or stale."""

from __future__ import annotations

import math
import os
import platform
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError, UserError, one_line
from massrl.runs import heartbeat
from massrl.runs.checkpoint_files import LAST, PREVIOUS
from massrl.runs.folder import CONFIG, LOG, Run, is_run
from massrl.runs.lock import is_held

SILENT = 600.0  # seconds without a heartbeat after which a run of another machine counts as stale
KNOWN = ("epoch", "epochs", "step", "steps", "loss", "knn", "images_per_s", "host", "pid", "line")  # of a heartbeat
GOES_ON = ("stopped", "failed", "stale")  # states from which a run may go on


@dataclass
class Entry:
    """One run.

    state: as of massrl.runs.heartbeat.STATES; "stale" where it says that it runs and does not, as after SIGKILL;
    "damaged" where that cannot be read.  age_s: seconds since it was last heard of.  line: why it failed or was
    stopped, or what is damaged.  next: the command with which it goes on, where it can.  The rest is as in
    heartbeat.json, None where it is not known.
    """

    run: str
    state: str
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    knn: float | None = None
    images_per_s: float | None = None
    age_s: float | None = None
    host: str | None = None
    pid: int | None = None
    line: str | None = None
    next: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def entries(folders: Sequence[str | Path]) -> list[Entry]:
    """The runs in some folders, sorted by name within each: a run folder itself, or those directly in it.

    Also those one level below it, as `massrl quickstart` writes them. ConfigError for a folder that does not exist; one
    that cannot be read is an entry of its own.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; name a run, or a folder of runs")
        found += [_entry(path) for path in _runs(folder)]
    return found


def _runs(folder: Path, depth: int = 2) -> Iterator[Path]:
    """Run folders at most `depth` levels below a folder, and folders that cannot be read."""
    try:
        if is_run(folder):
            yield folder
            return
        if not depth:
            return
        with os.scandir(folder) as files:
            below = sorted(file.path for file in files if not file.name.startswith(".") and file.is_dir())
    except OSError:  # of which nothing is known
        yield folder
        return
    for path in below:
        yield from _runs(Path(path), depth - 1)


def _entry(path: Path) -> Entry:
    try:
        heard = heartbeat.read(path)
        entry = _of_heartbeat(path, heard) if heard else _of_older_run(path)
    except (UserError, OSError, TypeError, ValueError) as error:  # as a metrics.json with something else in it
        return Entry(str(path), "damaged", line=one_line(str(error))[:300])
    if entry.state in GOES_ON:
        entry.next = _next(path)
    return entry


def _of_heartbeat(path: Path, heard: dict[str, Any]) -> Entry:
    age = max(0.0, time.time() - heard["time"])
    known = {name: value for name, value in heard.items() if name in KNOWN}
    return Entry(str(path), _state(path, heard, age), age_s=round(age, 1), **known)


def _state(path: Path, heard: dict[str, Any], age: float) -> str:
    """What a run does: its own word, unless that is of a process that has ended without another one."""
    said, held, here = heard["state"], is_held(path), heard["host"] == platform.node()
    if said not in ("starting", "running"):
        return "starting" if held and said != "finished" else said  # it has just been started again
    if held or (held is None and here and _is_alive(heard["pid"])):
        return said
    # Of another machine on a shared disk a lock may not be seen here.
    return "stale" if here or age > SILENT else said


def _of_older_run(path: Path) -> Entry:
    """A run of massrl 0.3 before it had heartbeats, or one that was killed before its first."""
    run, held = Run(path), is_held(path)
    training = run.metrics.get("training")
    training = training if isinstance(training, dict) else {}
    entry = Entry(str(path), "running" if held else "finished" if "steps" in training else "stale")
    files = [path / name for name in (LOG, CONFIG, LAST) if (path / name).exists()]
    if files:
        entry.age_s = round(max(0.0, time.time() - max(file.stat().st_mtime for file in files)), 1)
    entry.epoch, entry.step = (_whole(training.get(name)) for name in ("epochs", "steps"))
    entry.loss, entry.knn = (_finite(training.get(name)) for name in ("loss", "knn"))
    return entry


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _is_alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    if pid < 1:  # a group of processes
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _next(path: Path) -> str | None:
    """The command with which a run goes on from its checkpoint, is found complete, or starts where it has none."""
    if (path / CONFIG).is_file():
        return f"massrl pretrain --config {shlex.quote(str(path / CONFIG))} --run {shlex.quote(str(path))}"
    if any((path / name).is_file() for name in (LAST, PREVIOUS)):
        return f"massrl pretrain --ckpt_path {shlex.quote(str(path))}"
    return None
