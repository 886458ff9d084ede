"""The writer when a sample, a worker or the process fails: the error names the sample, and no partial file is left."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from data_loading import DatasetWriter, Reader
from data_loading.beton import output
from data_loading.errors import BetonError, DecodeError
from helpers import running
from writing import FIELDS, RandomImages, jpeg, random_image, write


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [("raise", BetonError, "sample 33: ValueError: no such luck"), ("cut", DecodeError, "sample 33: .*JPEG.*skip-bad")],
)
def test_a_sample_that_fails_is_named_and_no_file_is_left(tmp_path, fault, kind, words, workers):
    with pytest.raises(kind, match=words):
        write(tmp_path / "a.beton", RandomImages(60, 33, fault), num_workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_does_not_change_the_existing_file(tmp_path):
    write(tmp_path / "a.beton", RandomImages(3))
    before = (tmp_path / "a.beton").read_bytes()
    with pytest.raises(BetonError):
        write(tmp_path / "a.beton", RandomImages(3, 2, "raise"))
    assert (tmp_path / "a.beton").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("row", "group"), [(17, "sample 16 to sample 31"), (33, "sample 32 to sample 47")])
def test_a_worker_that_dies_is_an_error_that_names_its_samples(tmp_path, row, group):
    started = time.monotonic()
    with pytest.raises(BetonError, match=rf"a worker process died \(exit code -9\) .* {group}"):
        write(tmp_path / "a.beton", RandomImages(60, row, "die"), num_workers=2)  # the second worker, the first
    assert time.monotonic() - started < 60  # starting two processes takes a second or two
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.beton", RandomImages(60, 33, "stop"))
    assert list(tmp_path.iterdir()) == []


SLOW = """
import os, time, numpy as np
from data_loading import DatasetWriter
from data_loading.fields import RGBImageField

class Slow:
    def __len__(self): return 10000
    def __getitem__(self, i):
        open(f"worker-{os.getpid()}", "w").close()
        time.sleep(0.05)
        return (np.zeros((8, 8, 3), np.uint8),)

if __name__ == "__main__":
    DatasetWriter("a.beton", {"image": RGBImageField()}, num_workers=2).from_indexed_dataset(Slow(), progress=False)
"""


def test_ctrl_c_ends_the_workers_and_leaves_no_file(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    while len(list(tmp_path.glob("worker-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    assert list(tmp_path.glob(".a.beton*"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to every process of the group
    _, words = process.communicate(timeout=60)
    assert process.returncode != 0 and b"KeyboardInterrupt" in words
    assert words.count(b"Traceback") == 1  # the parent's only; its workers print nothing
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("worker-")] == ["slow.py"]
    deadline = time.monotonic() + 20
    while (
        running(process.pid) and time.monotonic() < deadline
    ):  # multiprocessing's resource tracker ends a moment later
        time.sleep(0.05)
    assert not running(process.pid)


@pytest.fixture
def slow_writer(tmp_path):
    """A process with two workers that is writing a.beton, and its unfinished file."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    process = subprocess.Popen([sys.executable, "slow.py"], cwd=folder, start_new_session=True)
    while len(list(folder.glob("worker-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    (beside,) = folder.glob(".a.beton.*.tmp")
    yield process, beside, folder / "a.beton"
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_a_writer_removes_the_temporary_file_of_a_killed_writer_but_not_of_a_running_one(slow_writer):
    process, beside, target = slow_writer
    write(target, RandomImages(3))
    assert beside.exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    other = beside.with_name(beside.name.replace("a.beton", "b.beton"))
    other.touch()  # of another target
    assert beside.exists()
    write(target, RandomImages(3))
    assert not beside.exists() and other.exists() and len(Reader(target)) == 3


def test_a_temporary_file_that_is_removed_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    lock, calls = output.fcntl.flock, []

    def late(file, how):
        if not calls:
            output.os.unlink(file.name)  # as another writer could at this moment
        calls.append(how)
        lock(file, how)

    monkeypatch.setattr(output.fcntl, "flock", late)
    write(tmp_path / "a.beton", RandomImages(3))
    assert len(calls) == 2 and len(Reader(tmp_path / "a.beton")) == 3


def test_a_second_writer_that_starts_while_the_first_closes_does_not_remove_its_file(tmp_path, monkeypatch):
    target, locked = tmp_path / "a.beton", output._create_locked

    class Closing:
        """The first writer's file. When it is closed, which releases the lock, a second writer runs completely."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def close(self):
            if not self.file.closed:
                self.file.close()
                write(target, RandomImages(5))

    files = iter([Closing, lambda file: file])
    monkeypatch.setattr(output, "_create_locked", lambda path: next(files)(locked(path)))
    write(target, RandomImages(3))
    assert len(Reader(target)) == 5 and list(tmp_path.iterdir()) == [target]


def test_without_file_locks_the_file_of_a_killed_writer_does_not_block_the_next_writer(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(output.fcntl, "flock", unsupported)
    left = output.Output(tmp_path / "a.beton", FIELDS, 3, 1 << 21)  # same host, process and page size
    write(tmp_path / "a.beton", RandomImages(3))
    assert len(Reader(tmp_path / "a.beton")) == 3 and left.temporary.exists()
    left.discard()


def test_skip_bad_leaves_out_images_that_do_not_decode(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", FIELDS)
    writer.from_indexed_dataset(RandomImages(20, 7, "cut"), progress=False, skip_bad=True)
    assert writer.rows.tolist() == [i for i in range(20) if i != 7]
    assert len(writer.skipped) == 1 and writer.skipped[0].startswith("sample 7: ")
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [i % 3 for i in range(20) if i != 7]


def test_an_image_whose_header_is_too_large_is_named_and_can_be_skipped(tmp_path):
    data = bytearray(jpeg(random_image(0, 20, 30)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (60000).to_bytes(2, "big") * 2
    samples = [(random_image(1, 8, 8), 0), (bytes(data), 1)]
    with pytest.raises(
        DecodeError, match=r"sample 1: not a readable JPEG image: 60000 x 60000 pixels cannot come from"
    ):
        write(tmp_path / "a.beton", samples)
    DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(samples, progress=False, skip_bad=True)
    assert len(Reader(tmp_path / "a.beton")) == 1


def test_skip_bad_does_not_skip_exceptions_of_the_data_set(tmp_path):
    with pytest.raises(BetonError, match="no such luck"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(RandomImages(9, 2, "raise"), skip_bad=True)
