"""What fails leaves nothing behind: no thread, no open file, no shared memory, however often it is tried again."""

import gc
import os
import threading
from pathlib import Path

import pytest

from betons import spoil, write
from data_loading import Loader, Reader
from data_loading.errors import UserError

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc"),
    pytest.mark.usefixtures("alone_with_shared_memory"),
]


def held():
    """Open files (mapped ones, too) and threads of this process, and the notes of its shared memory."""
    files = sorted(_target(place) for place in Path("/proc/self/fd").iterdir())
    mapped = {
        line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if ".beton" in line
    }
    notes = {path.name for path in Path("/dev/shm").glob(f"data_loading-{os.getuid()}-*")}
    return files, mapped, sorted(thread.name for thread in threading.enumerate()), notes


def _target(place):
    try:
        return os.readlink(place)
    except OSError:  # the folder itself, which was open while it was read
        return ""


def settled():
    """What is held once Python has collected what other tests have left; what the test leaves must go without."""
    gc.collect()
    return held()


def fails(attempt):
    with pytest.raises((UserError, ZeroDivisionError)):
        attempt()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """good, cut (short), bad (samples 4, 7 and 9 do not decode) and wide (12 pages)."""
    folder = tmp_path_factory.mktemp("leaks")
    for name in ("good", "cut", "bad"):
        write(folder / f"{name}.beton", n=12, mode="jpg")
    write(folder / "wide.beton", n=64, side=(360, 361))
    os.truncate(folder / "cut.beton", (folder / "cut.beton").stat().st_size - 30)
    for row in (4, 7, 9):
        spoil(folder / "bad.beton", row)
    list(Loader(folder / "good.beton", 4, "eval", size=8))  # what is loaded once stays
    return folder


OPENS = {
    "a file cut short": lambda folder: Reader(folder / "cut.beton"),
    "one of several files": lambda folder: Reader([folder / "good.beton", folder / "cut.beton"]),
    "a file that is not there": lambda folder: Reader(folder / "none.beton"),
    "too large a batch": lambda folder: Loader(folder / "good.beton", 100),
    "views that are unknown": lambda folder: Loader(folder / "good.beton", 4, "simclt"),
    "a filter's predicate": lambda folder: Loader(folder / "good.beton", 4).filter("label", lambda label: 1 / 0),
    "a filter of nothing": lambda folder: Loader(folder / "good.beton", 4).filter("label", lambda label: label > 9),
}


@pytest.mark.parametrize("attempt", OPENS.values(), ids=OPENS)
def test_an_open_that_fails_leaves_nothing(folder, attempt):
    before = settled()
    for _ in range(3):
        fails(lambda: attempt(folder))
    assert held() == before


def epoch(folder, name, **options):
    options = {"order": "sequential", **options}  # several batches fail that are prepared at the same time
    return list(Loader(folder / name, 1, "eval", size=8, num_workers=3, **options))


def consumer(folder, cache):
    for _ in Loader(folder / "good.beton", 4, "eval", size=8, num_workers=3, cache=cache):
        1 / 0  # noqa: B018


shared = pytest.param("shared", marks=pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux"))
EPOCHS = {
    "a sample that does not decode": lambda folder, cache: epoch(folder, "bad.beton", cache=cache),
    "the same among several files": lambda folder, cache: epoch(folder, "[bg]*d.beton", cache=cache),
    "the consumer": consumer,
}


@pytest.mark.parametrize("cache", ["page", "process", shared])
@pytest.mark.parametrize("attempt", EPOCHS.values(), ids=EPOCHS)
def test_an_epoch_that_fails_leaves_nothing(folder, attempt, cache):
    before = settled()
    for _ in range(3):
        fails(lambda: attempt(folder, cache))
    assert held() == before


def test_an_order_that_is_refused_leaves_nothing(folder):
    before = settled()
    fails(lambda: epoch(folder, "wide.beton", order="random", cache="process", cache_gib=0.005))
    assert held() == before


def test_a_loader_whose_epoch_failed_draws_the_next_one(folder):
    loader = Loader(folder / "bad.beton", 4, "eval", size=8, order="sequential")
    for _ in range(2):
        fails(lambda: list(loader))
    batches = iter(loader)
    assert next(batches).index.tolist() == [0, 1, 2, 3]
    batches.close()
