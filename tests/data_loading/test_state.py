"""State: any position of an epoch resumes with exactly the batches that were left."""

import json

import numpy as np
import pytest

from betons import by_sample, digest, write
from data_loading import Loader, ViewSet
from data_loading.beton import layout
from data_loading.errors import CheckpointError

VIEWS = ViewSet(["simclr", "byol"], size=8)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.beton")


def loader(path, batch_size=8, **options):
    return Loader(path, batch_size, VIEWS, **{"num_workers": 1, **options})


def test_a_state_is_json_that_a_person_can_read(raw):
    ahead = loader(raw, seed=3, view_seed=4)
    epoch = iter(ahead)
    next(epoch), next(epoch)
    state = ahead.state_dict()
    assert json.loads(json.dumps(state)) == state
    fingerprint = state.pop("fingerprint")
    assert state == {
        "version": 1, "order_seed": 3, "view_seed": 4, "epoch": 0, "batch": 2, "global_batch": 8, "samples": 50,
    }  # fmt: skip
    assert fingerprint.endswith(":all:random")


@pytest.mark.parametrize("order", ["random", "sequential", "quasi_random"])
def test_every_position_of_two_epochs_resumes_with_the_batches_that_were_left(raw, order):
    whole = loader(raw, order=order, drop_last=False)
    states, hashes = [whole.state_dict()], []
    for _ in range(2):
        for batch in whole:
            hashes.append(digest(batch))
            states.append(whole.state_dict())
    assert len(hashes) == 14
    for k, state in enumerate(states):
        again = loader(raw, order=order, drop_last=False, num_workers=2, seed=99)
        again.load_state_dict(state)
        found = [digest(batch) for _ in range(3) for batch in again]
        assert found[: 14 - k] == hashes[k:]


def test_only_what_was_handed_out_counts_not_what_was_prepared(raw):
    ahead = loader(raw, batches_ahead=5)
    epoch = iter(ahead)
    assert ahead.state_dict()["batch"] == 0
    next(epoch)
    assert ahead.state_dict()["batch"] == 1


def test_the_position_at_an_epochs_end_is_the_start_of_the_next(raw):
    ahead = loader(raw)
    list(ahead)
    assert (ahead.state_dict()["epoch"], ahead.state_dict()["batch"]) == (1, 0)


def test_numpys_numbers_do_not_get_into_a_state(raw):
    ahead = loader(raw, np.int64(8), seed=np.int64(1))
    ahead.set_epoch(np.int64(3))
    assert json.loads(json.dumps(ahead.state_dict())) == ahead.state_dict()


def test_a_state_is_gone_on_from_once(raw):
    ahead = loader(raw)
    ahead.load_state_dict({**ahead.state_dict(), "batch": 4})
    assert [len(list(ahead)) for _ in range(2)] == [2, 6]


def test_setting_the_epoch_of_a_loaded_state_keeps_its_position_and_another_begins_anew(raw):
    ahead = loader(raw)
    ahead.load_state_dict({**ahead.state_dict(), "epoch": 2, "batch": 4})
    ahead.set_epoch(2)
    assert len(list(ahead)) == 2
    ahead.load_state_dict({**ahead.state_dict(), "epoch": 2, "batch": 4})
    ahead.set_epoch(3)
    assert len(list(ahead)) == 6


def test_another_number_of_ranks_goes_on_with_the_same_global_batches(raw):
    first = loader(raw, 8)
    epoch = iter(first)
    next(epoch), next(epoch)
    state = first.state_dict()
    left = by_sample(epoch)
    parts = [loader(raw, 8, rank=rank, world_size=4) for rank in range(4)]
    for part in parts:
        part.load_state_dict(state)
    assert parts[0].batch_size == 2 and len(parts[0]) == 6
    batches = [list(part) for part in parts]
    assert [len(b) for b in batches] == [4] * 4
    assert {k: v for b in batches for k, v in by_sample(b).items()} == left


def test_a_number_of_ranks_that_does_not_divide_the_global_batch_is_refused(raw):
    state = loader(raw, 8).state_dict()
    other = loader(raw, 8, rank=0, world_size=3)
    other.load_state_dict(state)
    with pytest.raises(CheckpointError, match="global batches of 8 images, which 3 processes cannot share"):
        next(iter(other))


def test_a_state_of_something_else_is_refused_in_a_sentence(tmp_path, raw):
    mine = loader(raw)
    state = mine.state_dict()
    cases = {
        "another file": loader(write(tmp_path / "b.beton", n=49)).state_dict(),
        "choose the same indices": loader(raw, indices=range(1, 50)).state_dict(),
        "the order is sequential": loader(raw, order="sequential", drop_last=True).state_dict(),
        "the order is random with its last batch": loader(raw, drop_last=False).state_dict(),
        "version 2": {**state, "version": 2},
        "epoch is -1": {**state, "epoch": -1},
        "batch is '1'": {**state, "batch": "1"},
        "not a loader's state": {"epoch": 1},
    }
    for words, wrong in cases.items():
        with pytest.raises(CheckpointError, match=words):
            mine.load_state_dict(wrong)


def test_a_file_with_other_pixels_of_the_same_sizes_is_another_file(tmp_path):
    path = write(tmp_path / "a.beton")
    before = loader(path).state_dict()
    start = int(loader(path).reader.image_table().ptr.min())
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(bytes(range(100)))
    with pytest.raises(CheckpointError, match="another version"):
        loader(path).load_state_dict(before)


def test_a_file_with_the_same_pixels_and_other_labels_is_another_file(tmp_path):
    path = write(tmp_path / "a.beton")
    before = loader(path).state_dict()
    at = layout.records_start(2) + layout.record_dtype([2, 1]).fields["1"][1]  # sample 0: an image, then an int
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([2]))
    assert loader(path).reader.column("label")[0] == 2
    with pytest.raises(CheckpointError, match="another version"):
        loader(path).load_state_dict(before)


def test_a_fingerprint_is_the_same_wherever_the_file_lies(tmp_path, raw):
    copy = tmp_path / "copy.beton"
    copy.write_bytes(raw.read_bytes())
    assert loader(copy).state_dict() == loader(raw).state_dict()


@pytest.mark.parametrize(
    ("key", "value"), [("global_batch", 0), ("batch", 1000), ("epoch", 2**40), ("order_seed", 2**32), ("batch", -1)]
)
def test_a_state_that_cannot_be_is_refused_by_name(raw, key, value):
    one = loader(raw)
    with pytest.raises(CheckpointError, match=f"damaged: {key}"):
        one.load_state_dict({**one.state_dict(), key: value})
