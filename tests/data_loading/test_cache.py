"""Caches: the same batches from the page cache, from bounded memory of the process, and from memory of the node."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from betons import by_sample, write
from data_loading import Loader, Reader, ViewSet
from data_loading.beton.mapping import Part
from data_loading.errors import BetonError, ConfigError
from data_loading.loading.cache import Slots, choose
from data_loading.loading.node_memory import NodeMemory

VIEWS = ViewSet(["simclr"], size=8)
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux's")
pytestmark = pytest.mark.usefixtures("alone_with_shared_memory")


@pytest.fixture(scope="module")
def jpg(tmp_path_factory):
    return write(tmp_path_factory.mktemp("jpg") / "jpg.beton", mode="jpg")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A raw file of about 12 pages."""
    return write(tmp_path_factory.mktemp("wide") / "wide.beton", n=64, side=(360, 361))


@pytest.fixture
def notes():
    """The notes of shared memory that this test has made and not removed; other runs may have theirs."""

    def found():
        return {p.name for p in Path("/dev/shm").glob(f"data_loading-{os.getuid()}-*")}

    before = found()
    return lambda: found() - before


@pytest.mark.parametrize("cache", ["process", pytest.param("shared", marks=linux)])
@pytest.mark.parametrize("order", ["random", "sequential", "quasi_random"])
def test_every_cache_gives_the_same_batches(jpg, wide, cache, order):
    for path in (jpg, wide):
        a, b = (Loader(path, 8, VIEWS, order=order, pool_pages=2, cache=c) for c in ("page", cache))
        alone = Loader(path, 8, VIEWS, order=order, pool_pages=2, cache=cache, num_workers=0)
        for _ in range(2):
            assert by_sample(a) == by_sample(b) == by_sample(alone)


def test_an_epoch_that_is_resumed_reads_only_what_is_left(wide):
    whole = Loader(wide, 8, VIEWS, order="quasi_random", pool_pages=2, cache="process")
    left = by_sample(list(whole)[5:])
    again = Loader(wide, 8, VIEWS, order="quasi_random", pool_pages=2, cache="process")
    again.load_state_dict({**again.state_dict(), "batch": 5})
    assert by_sample(again) == left


def test_a_quasi_random_order_holds_few_pages_and_a_random_one_all(wide):
    reader = Loader(wide, 8, VIEWS).reader
    pages = len(np.unique(reader.image_table().ptr // reader.page_size))
    assert pages >= 10

    def held(order):
        loader = Loader(wide, 4, VIEWS, order=order, pool_pages=2, batches_ahead=1, cache="process")
        batches = iter(loader)
        next(batches)
        size = batches._epoch.stored.memory.size
        batches.close()
        return size // reader.page_size

    assert held("sequential") <= 3 and held("quasi_random") <= 6 and held("random") >= pages - 2


def test_an_order_that_needs_more_memory_than_allowed_is_refused_in_a_sentence(wide):
    loader = Loader(wide, 8, VIEWS, cache="process", cache_gib=0.005)
    with pytest.raises(ConfigError, match="cache_gib allows 0.0; choose order='quasi_random'"):
        next(iter(loader))


def test_a_page_is_held_from_its_first_batch_to_its_last(tmp_path):
    path = tmp_path / "pages"
    content = np.repeat(np.arange(6, dtype=np.uint8), 10)
    content.tofile(path)
    batches = np.array([[0, 1], [1, 0], [2, 2], [3, 5], [4, 4]])
    slots = Slots([Part(path, 0, 0, path.stat())], 10, batches, ahead=0, limit=10**6)
    assert slots.memory.size == 2 * 10
    for i, pages in enumerate(batches):
        slots.fetch(i)
        at = slots.place(i, pages * 10 + 3)
        assert slots.memory[at].tolist() == pages.tolist()
        slots.release(i)
    slots.close()


@pytest.mark.parametrize("cache", ["process", pytest.param("shared", marks=linux)])
def test_a_file_that_is_replaced_under_a_loader_is_refused_in_place_of_its_bytes(wide, tmp_path, cache, notes):
    path = tmp_path / "a.beton"
    path.write_bytes(wide.read_bytes())
    batches = iter(Loader(path, 4, VIEWS, order="sequential", batches_ahead=1, cache=cache))
    if cache == "process":  # it reads on during the epoch
        next(batches)
    write(tmp_path / "b.beton", n=64, side=(360, 361)).replace(path)
    with pytest.raises(BetonError, match=r"a\.beton has been replaced or changed since it was opened; open it again"):
        list(batches)
    assert not notes()


@pytest.mark.parametrize("cache", ["process", pytest.param("shared", marks=linux)])
def test_the_folder_may_change_under_a_loader_of_a_relative_path(jpg, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(jpg.parent)
    loader = Loader(jpg.name, 8, VIEWS, cache=cache)
    monkeypatch.chdir(tmp_path)
    assert by_sample(loader) == by_sample(Loader(jpg, 8, VIEWS))


def test_ffcvs_variable_chooses_the_cache(jpg, monkeypatch):
    monkeypatch.delenv("FFCV_DEFAULT_CACHE_PROCESS", raising=False)
    assert choose(None) == "page"
    for value, cache in (("0", "page"), ("1", "process"), ("2", "shared")):
        monkeypatch.setenv("FFCV_DEFAULT_CACHE_PROCESS", value)
        assert choose(None) == cache and choose("page") == "page"
    for value, words in (("3", "redis, which is not offered"), ("yes", "is 'yes'")):
        monkeypatch.setenv("FFCV_DEFAULT_CACHE_PROCESS", value)
        with pytest.raises(ConfigError, match=words):
            Loader(jpg, 8, VIEWS)
    with pytest.raises(ConfigError, match="cache is 'redis'"):
        Loader(jpg, 8, VIEWS, cache="redis")


def hold(path, out, wait):
    memory = NodeMemory(Reader(path).parts)
    held = {p.stat().st_ino for p in Path("/proc/self/fd").iterdir() if "memfd" in _link(p)}
    out.put((memory.filled, bytes(memory.memory[:100]), held))
    wait.wait(60)
    memory.close()


@linux
def test_processes_of_a_node_hold_one_copy_and_leave_nothing(jpg, notes):
    fork = multiprocessing.get_context("fork")
    out, wait = fork.Queue(), fork.Event()
    holders = [fork.Process(target=hold, args=(jpg, out, wait)) for _ in range(4)]
    for holder in holders:
        holder.start()
    found = [out.get(timeout=60) for _ in holders]
    assert [filled for filled, _, _ in found].count(True) == 1
    assert {content for _, content, _ in found} == {jpg.read_bytes()[:100]}
    assert len(set.union(*(held for _, _, held in found))) == 1  # one memory, not four of the same content
    assert len(notes()) == 1
    wait.set()
    for holder in holders:
        holder.join(60)
    assert not notes()


def race(path, out, begin, opened, rounds):
    for _ in range(rounds):
        begin.wait(60)  # the other one may still be closing the last round's
        memory = NodeMemory(Reader(path).parts)
        out.put((memory.filled, memory.memory.tobytes() == path.read_bytes()))
        opened.wait(60)
        memory.close()


@linux
def test_of_two_processes_that_open_at_the_same_moment_one_reads_the_file_in(jpg, notes):
    fork, rounds = multiprocessing.get_context("fork"), 30
    out, begin, opened = fork.Queue(), fork.Barrier(2), fork.Barrier(2)
    racers = [fork.Process(target=race, args=(jpg, out, begin, opened, rounds)) for _ in range(2)]
    for racer in racers:
        racer.start()
    found = [out.get(timeout=60) for _ in range(2 * rounds)]
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert sum(filled for filled, _ in found) == rounds and all(equal for _, equal in found)
    assert not notes()


@linux
def test_a_copy_outlives_the_process_that_made_it_while_another_holds_it(jpg, notes):
    fork = multiprocessing.get_context("fork")
    out, wait = fork.Queue(), fork.Event()
    maker = fork.Process(target=hold, args=(jpg, out, wait))
    maker.start()
    out.get(timeout=60)
    mine = NodeMemory(Reader(jpg).parts)
    wait.set()
    maker.join(60)
    other = NodeMemory(Reader(jpg).parts)
    assert not mine.filled and not other.filled
    assert other.memory.tobytes() == jpg.read_bytes()
    mine.close(), other.close()
    assert not notes()


@linux
def test_the_memory_of_a_process_that_was_killed_is_free_and_the_next_one_reads_the_file_again(jpg, notes):
    program = textwrap.dedent("""
        import sys, time
        from data_loading import Reader
        from data_loading.loading.node_memory import NodeMemory
        held = NodeMemory(Reader(sys.argv[1]).parts)
        print("held", flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program, str(jpg)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "held\n"
        place = next(p for p in Path(f"/proc/{killed.pid}/fd").iterdir() if "memfd" in os.readlink(p))
        inode = place.stat().st_ino
        assert not NodeMemory(Reader(jpg).parts).filled  # it can be shared while its maker lives
        killed.send_signal(signal.SIGKILL)
        killed.wait(60)
    still = [p for p in Path("/proc").glob("[0-9]*/fd/*") if _inode(p) == inode and "memfd" in _link(p)]
    assert not still  # nobody holds it, it has no name: it is gone
    mine = NodeMemory(Reader(jpg).parts)
    assert mine.filled
    mine.close()
    assert not notes()


def _inode(place):
    try:
        return place.stat().st_ino
    except OSError:
        return None


def _link(place):
    try:
        return os.readlink(place)
    except OSError:
        return ""


@linux
def test_a_file_that_changed_is_read_again(tmp_path):
    path = write(tmp_path / "a.beton", n=4)
    first = NodeMemory(Reader(path).parts)
    os.utime(path, (time.time(), time.time() + 10))
    second = NodeMemory(Reader(path).parts)
    assert first.filled and second.filled
    first.close(), second.close()
