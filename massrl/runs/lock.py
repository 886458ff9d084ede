"""Lock: one process at a time works in a run folder; the operating system ends the lock with the process."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from data_loading.errors import ConfigError

LOCK = ".lock"  # in a run folder, while a run works in it
ASKING = 0.1  # seconds for which a lock that another process holds is asked for again
log = logging.getLogger(__name__)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the lock of an existing run folder. ConfigError, with the holder's process and host, where another has it.

    A process that is killed loses its lock. On a file system without locks the run goes on, with a warning.
    """
    path = run / LOCK
    descriptor = _acquired(path)
    try:
        me = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(me).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still held
        os.close(descriptor)


def is_held(run: Path) -> bool | None:
    """Whether a process works in a run folder; None where that cannot be known, as on a file system without locks."""
    try:
        descriptor = os.open(run / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _acquired(path: Path) -> int:
    """An open file of `path` that is locked."""
    until = time.monotonic() + ASKING
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"--run {path.parent} cannot be used: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            if time.monotonic() < until:  # it may be one that only asks, as `is_held`
                time.sleep(0.01)
                continue
            raise ConfigError(
                f"--run {path.parent} is in use by {holder}; wait for it, stop it, or name another folder"
            ) from None
        except OSError as error:
            log.warning("%s: no locks here (%s); a second run in this folder would not be refused", path, error)
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # its holder has removed it in between


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {held['pid']} on {held['host']}, since {held['since']}"
    except (ValueError, KeyError, TypeError):  # it has not written yet
        return "another process"
