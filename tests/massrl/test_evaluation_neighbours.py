import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from data_loading.errors import ConfigError
from massrl.evaluation.neighbours import SPARE, nearest

BLOCKS = [(1024, 8192), (7, 64), (33, 100), (1, 50), (80, 400)]


def clouds(n=400, test=80, width=24, seed=0, offset=3.0):
    draw = np.random.default_rng(seed)
    return tuple((draw.normal(size=(rows, width)) + offset).astype(np.float32) for rows in (n, test))


def found(bank, queries, k, distance="cosine", query_block=1024, bank_block=8192):
    parts = list(nearest(bank, queries, k, distance, query_block=query_block, bank_block=bank_block))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 20, 400])
def test_neighbours_are_scikit_learns_in_float64(distance, k):
    bank, queries = clouds()
    judge = NearestNeighbors(n_neighbors=k, metric=distance, algorithm="brute").fit(bank.astype(np.float64))
    expected, rows = judge.kneighbors(queries.astype(np.float64))
    similarity, near = found(bank, queries, k, distance)
    np.testing.assert_array_equal(near, rows)
    # scikit-learn expands (a - b)^2, which loses half of the digits of a small distance
    np.testing.assert_allclose(1 - similarity if distance == "cosine" else -similarity, expected, atol=1e-6)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(("query_block", "bank_block"), BLOCKS[1:])
def test_neighbours_do_not_depend_on_the_sizes_of_the_blocks(distance, query_block, bank_block):
    bank, queries = clouds(width=67)
    bank[200:250] = bank[100:150]  # equally near rows in other blocks
    whole = found(bank, queries, 30, distance)
    blocks = found(bank, queries, 30, distance, query_block, bank_block)
    for a, b in zip(whole, blocks, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("query_block", "bank_block"), BLOCKS)
def test_of_equally_near_rows_the_first_are_taken(query_block, bank_block):
    bank = np.ones((400, 5), np.float32)  # a collapsed encoder: far more equal rows than SPARE
    _, near = found(bank, bank[:80], 25, "cosine", query_block, bank_block)
    np.testing.assert_array_equal(near, np.tile(np.arange(25), (80, 1)))


def test_a_difference_that_float32_products_lose_decides():
    # Distances of 1e-3 about a point of norm 1e4: float32 has |q|^2 = 1e8 within 8 only.
    draw = np.random.default_rng(0)
    bank = (np.float32(1e4) + draw.normal(size=(10, 4)).astype(np.float32)).astype(np.float32)
    query = np.nextafter(bank[7:8], np.float32(2e4))
    assert found(bank, query, 1, "euclidean")[1].item() == 7


def test_cosines_that_are_equal_in_float32_are_told_apart():
    # Rows at angles of 1e-5: their cosines with each other differ by 1e-10 and are 1 in float32.
    draw = np.random.default_rng(0)
    bank = (1 + 1e-5 * draw.normal(size=(10, 40))).astype(np.float32)
    assert found(bank, bank, 1)[1][:, 0].tolist() == list(range(10))


def test_a_row_of_zeros_is_orthogonal_to_all():
    bank = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    similarity, near = found(bank, np.array([[2, 0], [0, 0]], np.float32), 3)
    np.testing.assert_array_equal(near, [[1, 0, 2], [0, 1, 2]])
    np.testing.assert_allclose(similarity, [[1, 0, -1], [0, 0, 0]])


def test_large_and_small_features_neither_overflow_nor_vanish():
    bank, queries = clouds()
    near = found(bank, queries, 5)[1]
    for scale in (1e30, 1e-30):
        np.testing.assert_array_equal(found(bank * np.float32(scale), queries, 5)[1], near)


def test_k_above_the_number_of_rows_gives_all_of_them():
    bank, queries = clouds(n=SPARE)
    assert found(bank, queries, 10**9)[1].shape == (80, SPARE)


def test_a_distance_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="no distance 'manhattan'; it is one of cosine, euclidean"):
        next(nearest(*clouds(), 3, "manhattan"))


MEASURED = """
    import resource, sys, numpy as np
    from massrl.evaluation.neighbours import nearest
    bank = np.load(sys.argv[1], mmap_mode="r")
    queries = np.array(bank[:1024])
    for _ in nearest(np.array(bank[:64]), queries, 20): pass       # what the libraries themselves take
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = np.concatenate([near for _, near in nearest(bank, queries, 20, query_block=256, bank_block=2048)])
    assert (rows[:, 0] == np.arange(1024)).all()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux alone")
def test_a_bank_on_disk_is_searched_within_the_stated_memory(tmp_path):
    n, width = 196_608, 32  # 24 MiB on disk; the similarities of all pairs would be 768 MiB
    bank = np.lib.format.open_memmap(tmp_path / "bank.npy", "w+", np.float32, (n, width))
    draw = np.random.default_rng(0)
    for start in range(0, n, 8192):
        bank[start : start + 8192] = draw.normal(size=(8192, width))
    bank.flush()
    del bank
    words = [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path / "bank.npy")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    stated = 4 * (256 * 2048 + 3 * width * 2048 + 3 * width * 256) / 2**20 + 64  # 67 MiB
    mapped = 4 * n * width / 2**20  # pages of the file that the system keeps count as resident, and may be dropped
    assert float(done.stdout) < stated + mapped
