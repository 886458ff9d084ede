"""NodeMemory: the bytes of a file, or of several, once in the memory of a node, mapped by all processes that read them.

The memory has no name in any file system (memfd_create), so the kernel frees it with the last process that holds it,
however that process ends. A small file, the note, lists the processes that hold it:
`/dev/shm/data_loading-USER-FILE`, a line "pid fd" for each. A process that finds none of them alive reads the data in,
while the others wait for the note's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from data_loading.beton.mapping import Part, called
from data_loading.config.memory import free_memory
from data_loading.errors import BetonError, ConfigError

PIECE = 1 << 26  # bytes copied at once


class NodeMemory:
    """The bytes of a Reader's `parts`: `memory`, uint8 (n,), laid out as in the Reader's own memory, read-only.

    `memory` stays valid as long as anyone refers to it. ConfigError where the bytes do not fit into the free memory.
    """

    def __init__(self, parts: Sequence[Part]):
        size, found = parts[-1].start + parts[-1].size, [part.found for part in parts]
        key = " ".join(f"{one.st_dev} {one.st_ino} {one.st_size} {one.st_mtime_ns}" for one in found)
        name = f"data_loading-{os.getuid()}-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"
        note = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()) / name
        with _locked(note) as file:
            holders = [line.split() for line in file.read().decode().splitlines()]
            living = [h for h in holders if _holds(h, name, size)]
            fd = next((fd for h in living if (fd := _joined(h, name, size)) is not None), None)
            if fd is None:
                try:
                    living, fd = [], _filled(parts, name, size)
                except BaseException:
                    note.unlink(missing_ok=True)
                    raise
            _write(file, [*living, [str(os.getpid()), str(fd)]])
        self.filled = not living  # by this process
        self.memory = np.frombuffer(mmap.mmap(fd, size, prot=mmap.PROT_READ), np.uint8)
        self.close = weakref.finalize(self, _let_go, note, os.getpid(), fd)


def _holds(holder: list[str], name: str, size: int) -> bool:
    """Whether the process of a note's line still holds the memory; another process may have its number by now."""
    try:
        pid, fd = (int(word) for word in holder)
        link = f"/proc/{pid}/fd/{fd}"
        return os.readlink(link) == f"/memfd:{name} (deleted)" and os.stat(link).st_size == size
    except (ValueError, OSError):
        return False


def _joined(holder: list[str], name: str, size: int) -> int | None:
    """A descriptor of the memory that another process holds; None where that process has ended meanwhile."""
    try:
        fd = os.open(f"/proc/{holder[0]}/fd/{holder[1]}", os.O_RDONLY)
    except OSError:
        return None
    if _holds([str(os.getpid()), str(fd)], name, size):
        return fd
    os.close(fd)
    return None


def _filled(parts: Sequence[Part], name: str, size: int) -> int:
    """A descriptor of new memory that holds the files."""
    free = free_memory()
    if free is not None and size > free:
        raise ConfigError(
            f"cache='shared': {size / 2**30:.1f} GiB of {called([p.path for p in parts])} do not fit into the "
            f"{free / 2**30:.1f} GiB of memory that are free; choose cache='page'"
        )
    fd = os.memfd_create(name)
    try:
        os.truncate(fd, size)  # what lies between files is zero, and takes no memory
        for part in parts:
            os.lseek(fd, part.start, os.SEEK_SET)
            with part.open() as source:
                done = 0
                while done < part.size:
                    n = os.sendfile(fd, source.fileno(), done, min(PIECE, part.size - done))
                    if n == 0:
                        raise BetonError(f"{part.path} became shorter while it was read: {done} of {part.size} bytes")
                    done += n
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def _locked(note: Path) -> Iterator[IO[bytes]]:
    """The note, created where it is missing, open and locked by this process alone."""
    while True:
        fd = os.open(note, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "r+b") as file:
            if os.fstat(fd).st_uid != os.getuid():
                raise ConfigError(f"{note} belongs to another user; remove it, or choose cache='page'")
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                current = os.stat(note).st_ino == os.fstat(fd).st_ino
            except FileNotFoundError:
                current = False
            if current:  # else its last holder removed it while this process waited
                yield file
                return


def _write(file: IO[bytes], holders: list[list[str]]) -> None:
    file.seek(0)
    file.write("".join(f"{' '.join(h)}\n" for h in holders).encode())
    file.truncate()  # last: a process that is killed here leaves a note that can be read
    file.flush()


def _let_go(note: Path, pid: int, fd: int) -> None:
    """Close the descriptor and take its line out of the note; the last one removes the note."""
    if os.getpid() != pid:  # a fork of the process that opened it
        return
    with _locked(note) as file:
        mine = [str(pid), str(fd)]
        others = [h for line in file.read().decode().splitlines() if (h := line.split()) != mine]
        if others:
            _write(file, others)
        else:
            note.unlink()
        os.close(fd)
