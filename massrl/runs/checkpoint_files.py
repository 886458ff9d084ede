"""Checkpoint files: written whole and checked when read, with the one before kept.

RUN/checkpoints/last.ckpt      the newest checkpoint
RUN/checkpoints/previous.ckpt  the one before it, which is used where the newest is damaged
RUN/checkpoints/next.ckpt      one whose step is not yet in metrics.csv; a run that ends meanwhile does not count it
"""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import torch

from data_loading.config.atomic import beside, sync_folder, whole
from data_loading.config.lightning_package import pl
from data_loading.errors import UserError

FOLDER = Path("checkpoints")  # in a run folder
LAST, PREVIOUS, NEXT = (FOLDER / name for name in ("last.ckpt", "previous.ckpt", "next.ckpt"))


class WholeCheckpoints(pl.plugins.TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, where a file is complete, and on the disk, or not there at all.

    Lightning's own writes to the system's folder of temporary files and moves the file from there, which between two
    file systems is a copy that a kill or a full disk cuts short, over the checkpoint that was there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` as torch.save does; UserError, with the file that was there unchanged, where it fails."""
        if storage_options is not None or "://" in os.fspath(path):  # no path of this machine
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        try:
            self._write(checkpoint, Path(path))
        except UserError as error:
            if self._failed is None:
                raise
            self._failed.append(error)

    _failed: list[UserError] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[list[UserError]]:
        """Keep errors of writing in the list that this gives, for a caller that raises them when all processes can."""
        self._failed = []
        try:
            yield self._failed
        finally:
            self._failed = None

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        with whole(path, synced=True) as file:
            stream = _Stream(file)
            try:
                torch.save(checkpoint, cast(IO[bytes], stream))
            except RuntimeError:  # torch's word for any error of the stream
                if stream.error is None:
                    raise
                raise stream.error from None


class _Stream:
    """What torch.save writes to; keeps the error of a write, which torch does not hand on."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.error: BaseException | None = None

    def write(self, part: bytes) -> int:
        try:
            return self.file.write(part)
        except BaseException as error:  # a second Ctrl-C, too
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def begun_in(run: Path) -> bool:
    """Whether a run folder has a checkpoint, whole or damaged."""
    return any((run / name).is_file() for name in (LAST, PREVIOUS))


def promote(run: Path) -> None:
    """Make NEXT the newest checkpoint, and the newest one PREVIOUS. At no moment is there none."""
    following, last, previous = run / NEXT, run / LAST, run / PREVIOUS
    if last.exists():
        second = beside(previous)
        try:
            os.link(last, second)
        except OSError:  # a file system without links
            last.replace(previous)
        else:
            second.replace(previous)
            second.unlink(missing_ok=True)  # both are names of one file where a kill came between these two lines
    following.replace(last)
    sync_folder(last.parent)


def damage(path: Path) -> str:
    """What is wrong with a file that torch.save wrote, "" if nothing: each part is compared with its checksum (CRC-32).

    Reads the whole file. torch.load itself ignores the checksums.
    """
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
        torch._C.PyTorchFileReader(os.fspath(path))  # which refuses other damage to the list of parts
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError):
        return "not a checkpoint, or cut short"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return f"damaged: its part {part} is not what was written" if part else ""


def remove_unfinished(run: Path) -> None:
    """Remove what a killed run was still writing. Only for who holds the run's lock."""
    for path in (run / NEXT, *run.iterdir(), *(run / FOLDER).iterdir()):
        if path == run / NEXT or is_unfinished(path):
            path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a file is one of data_loading.config.atomic that was being written when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")
