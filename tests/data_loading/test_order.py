"""Orders: functions of (seed, epoch) alone; quasi-random draws from a bounded pool of pages."""

import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist

from betons import by_sample, write
from data_loading import Loader, ViewSet
from data_loading.errors import ConfigError
from data_loading.loading.order import batch_positions, epoch_order

VIEWS = ViewSet(["simclr"], size=8)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.beton")


def quasi(n, per_page, pool, seed=0, epoch=0):
    """The quasi-random order of n rows that lie on pages of `per_page` rows each."""
    return epoch_order("quasi_random", np.arange(n), np.arange(n) // per_page, seed, epoch, pool)


def test_golden_orders_never_change():
    # Pinned: another order of an epoch would make runs of an older version unrepeatable.
    rows, page = np.arange(12), np.arange(12) // 3
    assert epoch_order("random", rows, page, 0, 0, 2).tolist() == [3, 4, 10, 7, 9, 11, 2, 6, 0, 1, 5, 8]
    assert epoch_order("quasi_random", rows, page, 0, 0, 2).tolist() == [7, 2, 6, 8, 10, 0, 9, 1, 11, 3, 4, 5]


@pytest.mark.parametrize(
    ("n", "per_page", "pool"), [(100, 7, 3), (100, 7, 1), (10, 10, 4), (9, 1, 4), (1, 1, 1), (50, 3, 99)]
)
def test_a_quasi_random_epoch_holds_every_row_once(n, per_page, pool):
    assert sorted(quasi(n, per_page, pool).tolist()) == list(range(n))


def test_quasi_random_orders_differ_between_epochs_and_seeds_and_repeat_themselves():
    one = quasi(1000, 10, 8)
    assert (one == quasi(1000, 10, 8)).all()
    assert (one != quasi(1000, 10, 8, epoch=1)).any() and (one != quasi(1000, 10, 8, seed=1)).any()


@pytest.mark.parametrize("pool", [1, 2, 5])
def test_no_more_pages_than_the_pool_holds_are_open_at_a_time(pool):
    page = quasi(600, 20, pool) // 20
    first = np.array([np.argmax(page == p) for p in range(30)])
    last = np.array([len(page) - 1 - np.argmax(page[::-1] == p) for p in range(30)])
    assert max(((first <= t) & (last >= t)).sum() for t in range(600)) <= pool


def test_the_next_row_comes_from_any_open_page_with_equal_chance():
    # 64 pages of 512 rows: in the first 64 * 256 draws all stay open; a page's share of them is binomial.
    page = quasi(64 * 512, 512, 64)[: 64 * 256] // 512
    counts = np.bincount(page, minlength=64)
    assert abs(counts - 256).max() < 5 * 16  # 5 standard deviations


def test_rows_within_a_page_come_in_random_order():
    rows = quasi(4000, 2000, 1)
    moves = np.diff(rows[:2000])
    assert 0.45 < (moves > 0).mean() < 0.55


def test_batches_of_a_file_sorted_by_class_mix_as_the_manual_says():
    # 100 classes of 1000 rows, pages of 50, batches of 256: the table in docs/loader.md.
    label = np.arange(100_000) // 1000
    for pool, classes in ((8, 12), (32, 31), (128, 69), (512, 88)):
        order = epoch_order("quasi_random", np.arange(100_000), np.arange(100_000) // 50, 0, 0, pool)
        found = np.median([len(set(batch)) for batch in label[order][:99_840].reshape(-1, 256)])
        assert abs(found - classes) <= 2


@pytest.mark.parametrize("order", ["random", "quasi_random"])
def test_subsets_and_batches_of_one_work_in_every_order(raw, order):
    loader = Loader(raw, 1, VIEWS, order=order, indices=[5, 40, 7], pool_pages=1)
    assert sorted(int(b.index) for b in loader) == [5, 7, 40]


@pytest.mark.parametrize("order", ["random", "sequential", "quasi_random"])
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batches_of_one_process(raw, order, world):
    def made(rank, world):
        return list(Loader(raw, 8 // world, VIEWS, order=order, num_workers=1, rank=rank, world_size=world))

    whole, parts = made(0, 1), [made(rank, world) for rank in range(world)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(batch.index, torch.cat([share.index for share in shares]))
        assert torch.equal(batch.views[0], torch.cat([share.views[0] for share in shares]))


def test_a_part_beyond_the_end_repeats_the_last_row_and_says_so():
    at, valid = batch_positions(1, 10, batch_size=4, rank=1, world_size=2)
    assert at.tolist() == [9] * 4 and not valid.any()
    at, valid = batch_positions(1, 10, batch_size=4, rank=0, world_size=2)
    assert at.tolist() == [8, 9, 9, 9] and valid.tolist() == [True, True, False, False]


def read_part(rank, folder, path, out):
    torch.set_num_threads(1)
    loader = Loader(path, 4, VIEWS, num_workers=1)  # made before the processes know each other
    epoch = iter(loader)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    out.put(by_sample(epoch))
    dist.destroy_process_group()


def test_processes_that_torch_distributed_joins_share_the_work_without_being_told(tmp_path, raw):
    fork = multiprocessing.get_context("fork")
    out = fork.Queue()
    parts = [fork.Process(target=read_part, args=(rank, tmp_path, raw, out)) for rank in range(2)]
    for part in parts:
        part.start()
    found = [out.get(timeout=60) for _ in parts]
    for part in parts:
        part.join(60)
    assert not found[0].keys() & found[1].keys()
    assert found[0] | found[1] == by_sample(Loader(raw, 8, VIEWS, num_workers=1))


def test_the_variables_of_a_launcher_alone_move_nothing(raw, monkeypatch):
    whole = by_sample(Loader(raw, 8, VIEWS))
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert by_sample(Loader(raw, 8, VIEWS)) == whole


def test_a_drawn_seed_is_refused_where_processes_would_disagree(raw):
    with pytest.raises(ConfigError, match="seed is None and 2 processes"):
        Loader(raw, 4, VIEWS, seed=None, rank=0, world_size=2)
