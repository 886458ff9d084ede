"""The loader: the same batches for any number of threads, each sample once an epoch, errors that reach the user."""

import threading

import pytest
import torch

from betons import contents, same, write
from data_loading import Batch, Loader, ViewSet
from data_loading.errors import ConfigError, DecodeError, UserError


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.beton")


@pytest.fixture(scope="module")
def jpg(tmp_path_factory):
    return write(tmp_path_factory.mktemp("jpg") / "jpg.beton", mode="jpg")


@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_batches_are_the_same_for_one_two_and_seven_threads(mode, request):
    path = request.getfixturevalue(mode)
    made = [contents(Loader(path, 8, ViewSet(["simclr", "byol"], size=16), num_workers=n)) for n in (1, 2, 7)]
    assert same(made[0], made[1]) and same(made[0], made[2])


def test_a_sample_is_drawn_alike_whatever_the_batch_size(raw):
    def by_sample(batch_size):
        loader = Loader(raw, batch_size, ViewSet(["simclr"], size=16), drop_last=False)
        return {int(i): v for b in loader for i, v, ok in zip(b.index, b.views[0], b.valid, strict=True) if ok}

    a, b = by_sample(8), by_sample(13)
    assert a.keys() == b.keys() and all(torch.equal(a[i], b[i]) for i in a)


def test_an_epoch_holds_every_sample_once_and_the_next_has_another_order(raw):
    loader = Loader(raw, 10, "eval", size=8, order="random")
    first, second = ([int(i) for b in loader for i in b.index] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_an_epoch_that_was_left_early_is_not_drawn_again(raw):
    loader = Loader(raw, 10, ViewSet(["simclr"], size=8))
    first, second = next(iter(loader)), next(iter(loader))
    assert not torch.equal(first.index, second.index)


def test_set_epoch_repeats_an_epoch(raw):
    loader = Loader(raw, 10, ViewSet(["simclr"], size=8))
    first = contents(loader)
    loader.set_epoch(0)
    assert same(first, contents(loader))


def test_order_and_views_have_seeds_of_their_own(raw):
    def one(**seeds):
        return contents(Loader(raw, 50, ViewSet(["simclr"], size=8), **seeds))[0]

    base, order, view = one(seed=0), one(seed=0, order_seed=1), one(seed=0, view_seed=1)
    assert not torch.equal(base[0], order[0]) and torch.equal(base[0], view[0])
    assert torch.equal(base[2][0][base[0].argsort()], order[2][0][order[0].argsort()])
    assert not torch.equal(base[2][0], view[2][0])


def test_the_last_partial_batch_is_dropped_in_training_and_marked_in_evaluation(raw):
    assert len(Loader(raw, 8, "eval", size=8, order="random")) == 6
    loader = Loader(raw, 8, "eval", size=8, order="sequential")
    batches = list(loader)
    assert len(batches) == len(loader) == 7
    assert [int(b.valid.sum()) for b in batches] == [8] * 6 + [2]
    assert batches[-1].index.tolist() == [48, 49] + [49] * 6


def test_two_ranks_share_the_global_batches_of_one(raw):
    def rows(rank, world_size):
        return [b.index.tolist() for b in Loader(raw, 8 // world_size, "eval", size=8, order="random", rank=rank,
                                                 world_size=world_size)]  # fmt: skip

    together = [a + b for a, b in zip(rows(0, 2), rows(1, 2), strict=True)]
    assert together == rows(0, 1)


def test_labels_follow_their_samples(raw):
    for batch in Loader(raw, 10, "eval", size=8, order="random"):
        assert torch.equal(batch.labels, batch.index % 3)


def test_a_file_without_labels_gives_minus_one(tmp_path):
    path = write(tmp_path / "flat.beton", n=6, flat=True)
    assert next(iter(Loader(path, 6, "eval", size=8))).labels.tolist() == [-1] * 6


def test_indices_choose_rows(raw):
    loader = Loader(raw, 3, "eval", size=8, order="sequential", indices=[7, 3, 40])
    assert next(iter(loader)).index.tolist() == [7, 3, 40]
    with pytest.raises(ConfigError, match="the file has 50 rows"):
        Loader(raw, 3, "eval", indices=[50])


def test_float_and_byte_batches_hold_the_same_view(raw):
    floats = next(iter(Loader(raw, 4, "eval", size=16, order="sequential", mean=(0.0,) * 3, std=(1.0,) * 3)))
    bytes_ = next(iter(Loader(raw, 4, "eval", size=16, order="sequential", dtype="uint8")))
    assert bytes_.views[0].dtype == torch.uint8
    assert (floats.views[0] * 255 - bytes_.views[0]).abs().max() <= 0.5 + 1e-3  # one rounding


def test_views_are_slices_of_one_block_per_size(raw):
    batch = next(iter(Loader(raw, 4, ViewSet(["byol"], crops=2, size=16, local=3, local_size=8))))
    assert [tuple(b.shape) for b in batch.blocks] == [(2, 4, 3, 16, 16), (3, 4, 3, 8, 8)]
    moved = batch.to("cpu", non_blocking=True)
    assert len(moved.views) == 5 and len(moved.global_views) == 2 and len(moved.local_views) == 3
    for view in moved.global_views:
        assert view.untyped_storage().data_ptr() == moved.blocks[0].untyped_storage().data_ptr()


def test_a_batch_stays_as_it_is_while_the_next_ones_are_made(raw):
    loader = iter(Loader(raw, 5, ViewSet(["simclr"], size=8)))
    first = next(loader)
    before = first.views[0].clone()
    list(loader)
    assert torch.equal(first.views[0], before)


def test_leaving_an_epoch_early_ends_its_threads(raw):
    for _ in Loader(raw, 2, "eval", size=8, num_workers=3):
        break
    assert not [t for t in threading.enumerate() if t.name.startswith("data_loading")]


def test_a_jpeg_that_does_not_decode_is_named(tmp_path):
    path = write(tmp_path / "bad.beton", n=4, mode="jpg")
    loader = Loader(path, 4, "eval", size=8, order="sequential")
    table = loader.reader.image_table()
    start, size = int(table.ptr[2]), int(table.size[2])
    loader.reader.close()
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\xff\xd8" + b"\x00" * (size - 2))
    with pytest.raises(DecodeError, match=r"bad\.beton: sample 2"):
        list(Loader(path, 4, "eval", size=8, order="sequential"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"order": "shuffled"}, "order is 'shuffled'"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"num_workers": 0}, "num_workers is 0"),
        ({"batch_size": 51, "order": "random"}, "choose a smaller batch_size"),
        ({"views": "simclt"}, "Did you mean 'simclr'"),
        ({"rank": 2, "world_size": 2}, "rank is 2"),
        ({"seed": -1}, "seed -1"),
        ({"views": ViewSet(["simclr"]), "size": 0}, "size is 0"),
    ],
)
def test_impossible_arguments_are_refused_in_a_sentence(raw, arguments, words):
    with pytest.raises(UserError, match=words):
        Loader(raw, **{"batch_size": 4, "views": "eval", **arguments})


def test_the_plan_of_a_batch_is_given_when_asked_for(raw):
    loader = Loader(raw, 4, ViewSet(["simclr", "byol"], size=8), with_plan=True)
    assert next(iter(loader)).plan.box.shape == (4, 4, 4)
    assert next(iter(Loader(raw, 4, "eval", size=8))).plan is None


def test_a_batch_is_made_from_the_views_of_any_loader():
    x1, x2 = torch.zeros(5, 3, 8, 8), torch.ones(5, 3, 8, 8)
    batch = Batch.from_views([x1, x2])
    assert len(batch) == 5 and [v.crop for v in batch.layout] == [0, 1]
    assert torch.equal(batch.global_views[1], x2) and batch.labels.tolist() == [-1] * 5
    assert Batch.from_views([x1], labels=torch.arange(5)).labels.tolist() == [0, 1, 2, 3, 4]
