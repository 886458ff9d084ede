"""Compiled kernels on disk: files that are damaged or cannot be written cost a compilation and a line."""

import os
import resource
import subprocess
import sys

import pytest

from data_loading import Loader
from data_loading.kernel.jit import cache_root
from data_loading.loading import epoch_iterator
from writing import RandomImages, write

KERNEL = """
import logging
from data_loading.kernel.jit import jit

logging.basicConfig(format="%(message)s")

@jit
def double(x):
    return 2 * x

@jit
def triple(x):
    return 3 * x

print(double(21), triple(14), sum(sum(f.stats.cache_hits.values()) for f in (double, triple)))
"""


@pytest.fixture
def run(tmp_path):
    """run(): what a process that calls two kernels prints, and what it says; the files of its cache are in tmp_path."""
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL)

    def run(**options):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, text=True, capture_output=True, check=True, **options
        )
        return done.stdout.split(), done.stderr.splitlines()

    return run


def test_the_second_process_loads_what_the_first_compiled(run):
    assert run() == (["42", "42", "0"], [])
    assert run() == (["42", "42", "2"], [])


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "one byte"])
def test_a_damaged_file_is_compiled_again_and_replaced_which_is_said_once(run, tmp_path, suffix, damage):
    run()
    for file in (tmp_path / "cache").rglob(f"*{suffix}"):
        data = bytearray(file.read_bytes())
        if damage == "one byte":
            data[len(data) // 2] ^= 0x55
        changed = {"cut": data[: len(data) // 2], "empty": b"", "zeros": bytes(len(data)), "one byte": data}
        file.write_bytes(changed[damage])
    printed, said = run()
    assert printed == ["42", "42", "0"]
    assert len(said) == 1 and "compiled kernels there are damaged or cannot be read" in said[0]
    assert run() == (["42", "42", "2"], [])


def test_an_index_that_names_the_code_of_another_signature_is_not_followed(run, tmp_path):
    script = tmp_path / "kernel.py"
    script.write_text(script.read_text() + "\nprint(double(1.5))\n")
    run()
    (file,) = (tmp_path / "cache").rglob("*double*.nbi")
    data = file.read_bytes()
    assert b".2.nbc" in data
    file.write_bytes(data.replace(b".2.nbc", b".1.nbc"))
    printed, said = run()
    assert printed[-1] == "3.0" and "damaged" in said[0], "machine code for integers would give 2"


def test_a_disk_without_room_costs_a_line(run):
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    printed, said = run(preexec_fn=full)
    assert printed == ["42", "42", "0"]
    assert len(said) == 1 and "compiled kernels cannot be written there (File too large)" in said[0]
    assert run() == (["42", "42", "0"], []), "nothing of the attempt is in the way"


def test_a_folder_that_cannot_be_made_is_done_without(run, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert run() == (["42", "42", "0"], [])


def test_the_loader_says_that_kernels_cannot_be_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(epoch_iterator, "cache_folder", lambda: None)  # of this process it is chosen already
    data = write(tmp_path / "data.beton", RandomImages(8)).path
    next(iter(Loader(data, 8, size=8)))
    assert f"they cannot be kept in {cache_root()}; set NUMBA_CACHE_DIR" in caplog.text
