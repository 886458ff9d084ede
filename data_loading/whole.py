"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_loading.errors import UserError


@contextmanager
def whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write beside its place, which it takes when the block ends: nobody ever reads half of it.

    Folders that are missing are made. Where the block fails nothing is left; a UserError says why a file cannot be
    written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                yield file
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """The same for what is at hand; text becomes UTF-8, and its ends of lines stay."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)
