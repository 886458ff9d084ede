"""Random numbers are Philox 4x32-10, keyed by (seed, epoch, sample, stream, draw), and identical on every machine."""

import re
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import event

import data_loading
from data_loading.errors import ConfigError
from data_loading.kernel import jit, rng

ONES = 0xFFFFFFFF
# Known answers of the authors' test vectors (Random123, kat_vectors): counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_known_answers(counter, key, words):
    assert list(rng.philox(*map(np.uint32, counter), *map(np.uint32, key))) == words
    assert rng.philox_numpy(np.array(counter, np.uint32), tuple(key)).tolist() == words


def test_words_of_a_state_are_the_words_of_successive_counters():
    state = np.array([7, 3, 11, 0, 5, 0], np.uint32)  # seed, epoch, sample low, high, stream, draw
    words = [int(rng.word(state)) for _ in range(8)]
    counters = np.array([[11, 0, 5, 0], [11, 0, 5, 1]], np.uint32)
    assert words == rng.philox_numpy(counters, (7, 3)).reshape(-1).tolist()


def test_uniform_numbers_fill_their_interval_evenly():
    state = np.array([0, 0, 0, 0, 1, 0], np.uint32)
    numbers = np.array([rng.uniform(state, -2.0, 4.0) for _ in range(20_000)])
    assert -2 <= numbers.min() and numbers.max() < 4
    counts, _ = np.histogram(numbers, bins=20, range=(-2, 4))
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)  # five standard deviations of a count


def test_normal_numbers_have_mean_zero_and_variance_one():
    words = rng.philox_numpy(np.arange(80_000, dtype=np.uint32).reshape(-1, 4), (1, 2)).reshape(-1, 2)
    numbers = np.array([rng.normal(a, b) for a, b in words])
    assert abs(numbers.mean()) < 5 / np.sqrt(numbers.size)
    assert abs(numbers.var() - 1) < 5 * np.sqrt(2 / numbers.size)


def test_the_order_of_an_epoch_is_pinned():
    assert rng.permutation(10, 0, 0).tolist() == [3, 4, 7, 9, 2, 6, 0, 1, 5, 8]
    assert rng.permutation(10, 0, 1).tolist() == [0, 7, 3, 5, 6, 8, 9, 4, 1, 2]


def test_stream_numbers_are_pinned():
    assert rng.stream("simclr.0/ColorJitter#1") == 0x96059D81


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_outside_32_bits_is_refused(seed):
    with pytest.raises(ConfigError, match="it must be an integer from 0 to 4294967295"):
        rng.checked_seed(seed)


def test_without_a_seed_a_random_seed_is_chosen():
    assert 0 <= rng.checked_seed(None) < 2**32


def test_the_cache_of_kernels_is_keyed_by_every_file_with_a_kernel():
    package = Path(data_loading.__file__).parent
    compiled = re.compile(r"^@(jit|intrinsic)\b", re.M)
    files = {path for path in package.rglob("*.py") if compiled.search(path.read_text())}
    folders = {path.parent.relative_to(package).as_posix() for path in files}
    assert folders == {"kernel", "kernel/simd", "loading", "ops", "render", "views"}
    types = {package / "render" / "scratch.py"}  # named tuples that kernels take
    assert files | types <= set(jit._sources())


def test_kernels_are_compiled_at_level_1_and_numbas_global_level_is_restored():
    levels = []

    class Levels(event.RecordingListener):
        def on_start(self, event):
            levels.append(int(numba.config.OPT))

    before = numba.config.OPT
    seven = jit._at_level_1(numba.njit(lambda: 7))
    with event.install_listener("numba:compile", Levels()):
        assert seven() == 7
    assert levels == [1] and numba.config.OPT is before
