"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_loading.errors import UserError


def beside(path: Path) -> Path:
    """A hidden name beside `path` for a file that is not yet whole.

    The host says whose it is on a shared disk; the random part, that no other process has it: containers share host
    names and process numbers.
    """
    return path.with_name(f".{path.name}.{os.uname().nodename}.{secrets.token_hex(8)}.tmp")


@contextmanager
def whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write beside its place, which it takes when the block ends: nobody ever reads half of it.

    Folders that are missing are made. Where the block fails nothing is left; a UserError says why a file cannot be
    written. The block should only write: any OSError of its own is told so, too.
    """
    path = Path(path)
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """The same for what is at hand; text becomes UTF-8, and its ends of lines stay."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)
