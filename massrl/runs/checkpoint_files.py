"""Checkpoint files: written whole and checked when read, with the one before kept.

RUN/checkpoints/last.ckpt      the newest checkpoint
RUN/checkpoints/previous.ckpt  the one before it, which is used where the newest is damaged
RUN/checkpoints/next.ckpt      one whose step is not yet in metrics.csv; a run that ends meanwhile does not count it
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

import torch

from data_loading.config.atomic import beside, sync_folder, whole
from data_loading.config.lightning_package import pl

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
        self.error: OSError | None = None

    def write(self, part: bytes) -> int:
        try:
            return self.file.write(part)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


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
    following.replace(last)
    sync_folder(last.parent)


def damage(path: Path) -> str:
    """What is wrong with a file that torch.save wrote, "" if nothing: each part is compared with its checksum (CRC-32).

    Reads the whole file. torch.load itself ignores the checksums.
    """
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        return "not a checkpoint, or cut short"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return f"damaged: its part {part} is not what was written" if part else ""


def remove_unfinished(run: Path) -> None:
    """Remove what a killed run was still writing. Only for who holds the run's lock."""
    for path in (run / NEXT, *run.glob(".*.tmp"), *(run / FOLDER).glob(".*.tmp")):
        path.unlink(missing_ok=True)
