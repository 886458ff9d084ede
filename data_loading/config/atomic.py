"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_loading.errors import UserError


def beside(path: Path) -> Path:
    """A hidden, unused name in the folder of `path`, for a file that is still being written.

    The host's name tells whose file it is on a shared disk. The random part makes it unique: containers may share host
    names and process numbers.
    """
    return path.with_name(f".{path.name}.{os.uname().nodename}.{secrets.token_hex(8)}.tmp")


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk, not only in memory; a file that does not exist is left out."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk, not only in memory: a renamed file is safe after that, not before."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot do it for folders
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: str | Path, synced: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary binary file, which is renamed to `path` when the block ends: nobody ever reads half of it.

    Missing folders are made. If the block fails, nothing is left. UserError where the file cannot be written; the block
    should only write, because any OSError in it is reported as that.

    synced: the file is on the disk when the block has ended, so that it outlives the machine's end, too.
    """
    path = Path(path)
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
            if synced:
                sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_whole(path: str | Path, content: bytes | str, synced: bool = False) -> Path:
    """Write bytes, or text as UTF-8 with unchanged line ends, to `path`, completely or not at all; returns the path.

    synced: as of `whole`.
    """
    with whole(path, synced) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)
