"""Sizes that grow by epochs: each epoch's batches are those of a loader of that size, from any position."""

import pickle

import pytest

from betons import digest, write
from data_loading import BetonDataModule, Loader, ViewSet, replay_views
from data_loading.errors import ConfigError, ViewError
from data_loading.views.growing import at, last

VIEWS = ViewSet(["simclr", "byol"], crops=1, size=8, local=1, local_size=4)
GROWS = {0: 6, 2: 8, 3: 12}
BAD = [{}, {1: 8}, {0: 8.5}, {0: 8, -1: 9}, {0: "8"}, {0: 8, "x": 9}, {0: 0}, {0: 5000}, {0: True}, {0.5: 8, 0: 8}]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.beton")


def loader(path, size, **options):
    return Loader(path, 8, VIEWS, size=size, **{"num_workers": 1, **options})


def epochs(loader, first, stop):
    for number in range(first, stop):
        loader.set_epoch(number)
        yield [digest(batch) for batch in loader]


def test_the_size_of_an_epoch_is_that_of_the_newest_step():
    assert [at(GROWS, epoch) for epoch in (0, 1, 2, 3, 90)] == [6, 6, 8, 12, 12] and last(GROWS) == 12
    assert [at({3: 12, 0: 6}, epoch) for epoch in (2, 3)] == [6, 12]
    assert at({"0": 6, "2": 8}, 2) == 8, "JSON has no whole numbers as keys"
    assert at(7, 5) == last(7) == 7 and at(None, 5) is None


@pytest.mark.parametrize("size", BAD, ids=str)
def test_what_is_no_size_is_refused_in_one_line(raw, size):
    for make in (lambda: loader(raw, size), lambda: BetonDataModule(str(raw), size=size)):
        with pytest.raises(ViewError, match=r"^size is .*\{0: 160, 12: 192\}"):
            make()


def test_each_epoch_has_the_batches_of_a_loader_of_its_size(raw):
    fixed = {side: list(epochs(loader(raw, side), 0, 4)) for side in (6, 8, 12)}
    for workers in (0, 1, 3):
        found = list(epochs(loader(raw, GROWS, num_workers=workers), 0, 4))
        assert found == [fixed[6][0], fixed[6][1], fixed[8][2], fixed[12][3]]


def test_batches_name_their_own_size_and_the_loader_that_of_the_end(raw):
    grows = loader(raw, GROWS)
    sides = []
    for _ in range(4):
        batch = next(iter(grows))
        sides.append((batch.view_set.size, batch.global_views[0].shape[-1], batch.local_views[0].shape[-1]))
    assert sides == [(6, 6, 4), (6, 6, 4), (8, 8, 4), (12, 12, 4)] and grows.view_set.size == 12


@pytest.mark.parametrize("done", range(3, 20, 4))
def test_a_state_from_within_any_epoch_goes_on_with_the_batches_that_were_left(raw, done):
    whole = loader(raw, GROWS)
    batches = (batch for _ in range(4) for batch in whole)
    for _ in range(done):
        next(batches)
    state = whole.state_dict()
    left = [digest(batch) for batch in batches]
    again = loader(raw, GROWS, num_workers=2, seed=99)
    again.load_state_dict(state)
    assert [digest(batch) for _ in range(4) for batch in again][: len(left)] == left


def test_an_epoch_that_is_still_read_keeps_its_size_when_the_next_one_begins(raw):
    grows = loader(raw, {0: 6, 1: 8})
    first = iter(grows)
    batches = [next(first)]
    second = iter(grows)
    assert next(second).view_set.size == 8
    batches += list(first)
    assert [digest(batch) for batch in batches] == next(epochs(loader(raw, 6), 0, 1))


def test_copies_and_filtered_loaders_grow_too(raw):
    grows = loader(raw, GROWS)
    copy = pickle.loads(pickle.dumps(grows))
    assert list(epochs(copy, 1, 3)) == list(epochs(grows, 1, 3))
    some = grows.filter("label", lambda labels: labels >= 0)
    assert some.sizes == grows.sizes


def test_replay_renders_an_epoch_at_its_size(raw):
    grows = loader(raw, GROWS, dtype="uint8", seed=5)
    for epoch, side in ((1, 6), (2, 8)):
        grows.set_epoch(epoch)
        batch = next(iter(grows))
        again = replay_views(raw, VIEWS, seed=5, epoch=epoch, index=int(batch.index[3]), size=GROWS)
        assert again.view_set.size == side
        for seen, drawn in zip(batch.views, again.views, strict=True):
            assert (seen[3].permute(1, 2, 0).numpy() == drawn).all()


def test_evaluation_has_the_size_of_the_end_or_a_size_of_its_own(raw):
    path = str(raw)
    assert BetonDataModule(path, val=path, views=VIEWS, size=GROWS, batch_size=8).val_dataloader().view_set.size == 12
    own = BetonDataModule(path, val=path, views=VIEWS, size=GROWS, eval_size=10, batch_size=8)
    assert own.val_dataloader().view_set.size == 10 and own.train_dataloader().sizes == GROWS
    for wrong in (0, 8.5, "big"):
        with pytest.raises((ViewError, ConfigError), match="eval_size is"):
            BetonDataModule(path, eval_size=wrong)
