"""The loader: the same batches for any number of threads, each sample once an epoch, errors that reach the user."""

import copy
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

from betons import Drawn, contents, same, spoil, write
from data_loading import Batch, DatasetWriter, Loader, ViewSet
from data_loading.beton import layout
from data_loading.errors import BetonError, ConfigError, DecodeError, UserError
from data_loading.fields import BytesField, FloatField, IntField, JSONField, NDArrayField, RGBImageField
from data_loading.loading.threads import Job
from data_loading.loading.worker import Worker
from data_loading.render.numba_renderer import scratch
from helpers import CHECKOUT


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.beton")


@pytest.fixture(scope="module")
def jpg(tmp_path_factory):
    return write(tmp_path_factory.mktemp("jpg") / "jpg.beton", mode="jpg")


@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_batches_are_equal_for_no_one_two_and_eight_threads(mode, request):
    path = request.getfixturevalue(mode)
    made = [contents(Loader(path, 8, ViewSet(["simclr", "byol"], size=16), num_workers=n)) for n in (0, 1, 2, 8)]
    assert all(same(made[0], other) for other in made[1:])


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


def test_a_loader_counts_the_seconds_in_which_it_is_waited_for(raw, monkeypatch):
    loader = Loader(raw, 4, "simclr", num_workers=1)
    assert loader.waited_s == 0
    clock = iter(range(100))
    monkeypatch.setattr("data_loading.loading.epoch_iterator.time.perf_counter", lambda: next(clock))
    batches = iter(loader)
    for asked in (1, 2, 3):
        next(batches)
        assert loader.waited_s == asked  # one second from call to answer by this clock
    batches.close()
    assert loader.waited_s == 3 and copy.deepcopy(loader).waited_s == 0


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_batches_are_the_float_ones_rounded(raw, dtype):
    wide, narrow = (next(iter(Loader(raw, 4, ViewSet(["simclr"], size=16), dtype=d))) for d in ("float32", dtype))
    assert narrow.views[1].dtype == getattr(torch, dtype)
    assert torch.equal(narrow.views[1], wide.views[1].to(narrow.views[1].dtype))


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


def ours(within=0.0):
    """The threads of loaders that are alive, or still are after some seconds."""
    limit = time.monotonic() + within
    while (found := _ours()) and time.monotonic() < limit:
        time.sleep(0.01)
    return found


def _ours():
    return [t.name for t in threading.enumerate() if t.name.startswith("data_loading")]


def test_leaving_an_epoch_early_ends_its_threads(raw):
    for _ in Loader(raw, 2, "eval", size=8, num_workers=3):
        assert len(ours()) == 3
        break
    assert not ours()


def test_an_error_of_the_consumer_ends_the_threads(raw):
    with pytest.raises(ZeroDivisionError):
        for _ in Loader(raw, 2, "eval", size=8, num_workers=3, cache="process"):
            1 / 0  # noqa: B018
    assert not ours()


def test_closing_or_dropping_an_iterator_ends_its_threads(raw):
    one, two = iter(Loader(raw, 2, "eval", size=8)), iter(Loader(raw, 2, "eval", size=8))
    next(one), next(two)
    assert len(ours()) == 4
    one.close()
    assert len(ours()) == 2
    del two
    assert not ours()


@pytest.mark.parametrize("call", [lambda epoch: epoch.close(), next])
def test_while_a_thread_waits_for_a_batch_another_can_neither_close_nor_advance_the_epoch(raw, monkeypatch, call):
    asked, go, work = threading.Event(), threading.Event(), Worker.__call__

    def slow(self, *chunk):
        asked.set()
        go.wait(5)
        work(self, *chunk)

    monkeypatch.setattr(Worker, "__call__", slow)
    epoch, found = iter(Loader(raw, 10, "eval", size=8, num_workers=1)), []
    consumer = threading.Thread(target=lambda: found.extend(epoch), daemon=True)
    consumer.start()
    assert asked.wait(60)
    with pytest.raises(ValueError, match="in use"):
        call(epoch)
    go.set()
    consumer.join(60)
    assert not consumer.is_alive() and len(found) == 5
    epoch.close()
    assert not ours()


def test_ctrl_c_ends_an_epoch_and_its_threads(jpg):
    loader = Loader(jpg, 10, ViewSet(["simclr"], size=64), num_workers=3)
    list(loader)  # kernels are compiled or read here, so that the signal meets an epoch and no import
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            list(loader)
    assert not ours(within=10)


@pytest.mark.parametrize("cache", ["page", "process"])
def test_without_workers_a_batch_is_prepared_in_the_caller_when_it_is_asked_for(jpg, cache, monkeypatch):
    called, work = [], Worker.__call__
    monkeypatch.setattr(
        Worker, "__call__", lambda self, *a: called.append(threading.current_thread()) or work(self, *a)
    )
    batches = iter(Loader(jpg, 10, "eval", size=8, num_workers=0, cache=cache))
    for n in range(1, 4):
        next(batches)
        assert not ours() and set(called) == {threading.current_thread()}
        assert len(called) == n  # one chunk a batch, and none ahead


def test_without_workers_errors_and_skipped_samples_are_those_of_threads(tmp_path):
    path = write(tmp_path / "bad.beton", n=12, mode="jpg")
    spoil(path, 5)
    with pytest.raises(DecodeError, match=r"bad\.beton: sample 5"):
        list(Loader(path, 4, "eval", size=8, num_workers=0))
    alone, two = (Loader(path, 4, "eval", size=8, num_workers=n, on_error="skip") for n in (0, 2))
    assert same(contents(alone), contents(two)) and alone.bad == two.bad and list(alone.bad) == [5]


def test_a_program_that_ends_within_an_epoch_ends_at_once(raw):
    program = f"from data_loading import Loader; epoch = iter(Loader({str(raw)!r}, 2, 'eval', size=8)); next(epoch)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


EPOCHS = """
import os, sys, threading
from data_loading import Loader, ViewSet

def epochs(n):
    for _ in range(n):
        for path in sys.argv[1:]:
            for batch in Loader(path, 8, ViewSet(["simclr"], size=64), cache="process"):
                del batch
    pages = int(open("/proc/self/statm").read().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")

epochs(3)
files, held = epochs(1)
files_after, held_after = epochs(20)
ours = [thread for thread in threading.enumerate() if thread.name.startswith("data_loading")]
print(len(ours), files_after - files, held_after - held)
"""


def test_loaders_made_again_each_epoch_leave_no_threads_files_or_memory(raw, jpg):
    # in a process of its own, where no other test's memory comes and goes
    command = [sys.executable, "-W", "error", "-c", EPOCHS, str(raw), str(jpg)]
    told = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout
    threads, files, grown = map(int, told.split())
    assert threads == 0 and files == 0
    assert grown < 8e6  # bytes; 20 loaders' batches would be 50 MB


def test_the_memory_of_batches_is_used_again_once_nobody_holds_it(raw, monkeypatch):
    fresh, empty = [], torch.empty
    monkeypatch.setattr(
        "data_loading.loading.batch_memory.torch.empty", lambda *a, **k: fresh.append(a) or empty(*a, **k)
    )
    loader = Loader(raw, 2, ViewSet(["simclr"], size=64), batches_ahead=2, num_workers=1)
    for batch in loader:
        del batch
    assert len(fresh) - fresh.count((0,)) <= 3  # of 25 batches: two ahead and the one that is handed out


def test_the_loader_keeps_no_batch_that_it_has_handed_out_while_it_waits_for_the_next(raw, monkeypatch):
    handed_out, kept, result = [], [], Job.result

    def waits(job):
        kept.extend(batch for batch in handed_out if batch() is not None)
        return result(job)

    monkeypatch.setattr(Job, "result", waits)
    for batch in Loader(raw, 10, "eval", size=8):
        handed_out.append(weakref.ref(batch))
        del batch
    assert len(handed_out) == 5 and not kept


def test_a_slice_or_an_array_of_a_batch_holds_its_memory(raw):
    kept = []
    for i, batch in enumerate(Loader(raw, 2, ViewSet(["simclr"], size=64), batches_ahead=1)):
        part = batch.views[1][1, 0]
        kept.append((part if i % 2 else part.numpy(), part.clone()))
        del batch, part
    for part, before in kept:
        assert torch.equal(torch.as_tensor(part), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
def test_a_copy_of_a_loader_continues_where_the_original_is_in_any_folder(raw, tmp_path, monkeypatch, copied):
    monkeypatch.chdir(raw.parent)
    loader = Loader(raw.name, 10, ViewSet(["simclr"], size=8), seed=None, indices=range(3, 50))
    for _ in range(2):  # before anything has run; then in an epoch
        monkeypatch.chdir(raw.parent)
        made = copied(loader)
        assert made.state_dict() == loader.state_dict() and made.epoch == loader.epoch
        monkeypatch.chdir(tmp_path)
        again = copied(made)
        assert same(contents(again), contents(loader))
        next(iter(loader))  # an epoch that is left early is not repeated by the copy either
    assert copied(loader).epoch == loader.epoch == 4
    assert len(pickle.dumps(loader)) < 2000  # bytes: arguments and position, no pixels


def test_copies_and_filters_of_a_loader_do_not_see_what_its_caller_changes_later(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(raw.parent)
    given = {
        "views": {"strategies": ["simclr"], "crops": 2, "size": 8},
        "indices": np.arange(20),
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
    }
    loader = Loader(raw.name, 10, seed=3, order="sequential", **given)
    before = contents(loader)
    monkeypatch.chdir(tmp_path)
    given["views"]["size"], given["indices"][:], given["mean"][0], given["std"][0] = 16, 49, 0.0, 1.0
    everything = loader.filter("label", lambda labels: labels >= 0)
    for made in (copy.deepcopy(loader), pickle.loads(pickle.dumps(loader)), everything):
        made.set_epoch(0)
        assert made.state_dict() == {**loader.state_dict(), "epoch": 0}
        assert same(contents(made), before)


def test_a_copy_of_a_loader_knows_the_bad_samples_that_were_met(tmp_path):
    path = write(tmp_path / "bad.beton", n=12, mode="jpg")
    spoil(path, 5)
    loader = Loader(path, 4, "eval", size=8, on_error="skip")
    list(loader)
    made = copy.deepcopy(loader)
    assert made.bad == loader.bad and list(made.bad) == [5]
    loader.bad.clear()
    assert list(made.bad) == [5]


def test_a_copy_of_a_loader_whose_state_was_loaded_keeps_the_global_batch(raw):
    whole = Loader(raw, 8, "eval", size=8)
    part = Loader(raw, 8, "eval", size=8, rank=1, world_size=2)
    part.load_state_dict(whole.state_dict())
    made = copy.deepcopy(part)
    assert (made.batch_size, made.global_batch) == (part.batch_size, part.global_batch) == (4, 8)


def test_a_loader_is_an_iterable_dataset_whose_batches_torchs_dataloader_hands_on(raw):
    loader, other = (Loader(raw, 10, "eval", size=8, order="random") for _ in range(2))
    assert isinstance(loader, torch.utils.data.IterableDataset)
    dataloader = torch.utils.data.DataLoader(loader, batch_size=None)
    assert len(dataloader) == len(loader) == 5
    for _ in range(2):  # the next epoch, too
        batches = list(dataloader)
        assert all(isinstance(batch, Batch) for batch in batches) and same(contents(batches), contents(other))
    assert loader.epoch == 2


def test_worker_processes_of_torchs_dataloader_are_refused_in_one_line(raw):
    dataloader = torch.utils.data.DataLoader(Loader(raw, 10, "eval", size=8), batch_size=None, num_workers=1)
    with pytest.raises(ConfigError, match="set num_workers=0 in DataLoader"):
        next(iter(dataloader))


@pytest.mark.parametrize(("order", "shuffled"), [("random", True), ("quasi_random", True), ("sequential", False)])
def test_the_sampler_says_whether_the_order_is_shuffled_and_sets_the_epoch(raw, order, shuffled):
    loader = Loader(raw, 10, "eval", size=8, order=order)
    assert isinstance(loader.sampler, torch.utils.data.SequentialSampler) is not shuffled
    loader.sampler.set_epoch(7)
    assert loader.epoch == 7


def test_a_jpeg_that_does_not_decode_is_named(tmp_path):
    path = write(tmp_path / "bad.beton", n=4, mode="jpg")
    spoil(path, 2)
    with pytest.raises(DecodeError, match=r"bad\.beton: sample 2"):
        list(Loader(path, 4, "eval", size=8, order="sequential"))
    assert not ours()


@pytest.mark.parametrize("cache", ["page", "process"])
@pytest.mark.parametrize("order", ["random", "sequential"])
def test_a_bad_sample_that_is_skipped_becomes_the_one_before_it_for_any_threads_and_ranks(
    tmp_path, caplog, cache, order
):
    path = write(tmp_path / "bad.beton", n=24, mode="jpg")
    whole = [int(i) for b in Loader(path, 8, "eval", size=8, order=order, num_workers=1) for i in b.index]
    bad = {whole[0], whole[9], whole[10]}
    for row in bad:
        spoil(path, row)

    def made(rank=0, world=1, workers=1):
        loader = Loader(path, 8 // world, ViewSet(["simclr", "byol"], size=8), order=order, cache=cache, rank=rank,
                        world_size=world, num_workers=workers, on_error="skip", with_plan=True)  # fmt: skip
        return loader, list(loader)

    loader, batches = made()
    assert loader.bad.keys() == bad and all(f"sample {row}:" in why for row, why in loader.bad.items())
    assert sorted(r.getMessage() for r in caplog.records) == sorted(
        f"{why}; it is replaced by another sample" for why in loader.bad.values()
    )
    rows, valid = torch.cat([b.index for b in batches]), torch.cat([b.valid for b in batches])
    views = torch.cat([b.views[3] for b in batches])
    boxes = np.concatenate([b.plan.box[3] for b in batches])
    assert (~valid).nonzero().flatten().tolist() == [0, 9, 10]
    for at, before in ((0, 23), (9, 8), (10, 8)):
        assert rows[at] == rows[before] == whole[before]
        assert torch.equal(views[at], views[before]) and (boxes[at] == boxes[before]).all()
    assert torch.equal(torch.cat([b.labels for b in batches]), rows % 3)
    for workers in (2, 7):
        assert same(contents(made(workers=workers)[1]), contents(batches))
    halves = [made(rank, 2)[1] for rank in range(2)]
    for batch, one, two in zip(batches, *halves, strict=True):
        assert torch.equal(batch.views[3], torch.cat([one.views[3], two.views[3]]))


def test_a_file_of_bad_samples_only_ends_in_an_error(tmp_path):
    path = write(tmp_path / "bad.beton", n=4, mode="jpg")
    for row in range(4):
        spoil(path, row)
    with pytest.raises(DecodeError, match="nor does any of the 3 samples before it"):
        list(Loader(path, 4, "eval", size=8, on_error="skip"))


def test_a_fault_that_no_sample_has_is_not_skipped(raw, monkeypatch):
    def fails(*_):
        raise BetonError("the batch cannot be described")

    monkeypatch.setattr("data_loading.loading.assembly.Assembler.describe", fails)
    with pytest.raises(BetonError, match="cannot be described"):
        list(Loader(raw, 4, "eval", size=8, on_error="skip"))


@pytest.mark.parametrize("mode", ["raw", "jpg"])
@pytest.mark.parametrize("cache", ["page", "process"])
def test_a_sample_whose_other_fields_cannot_be_read_is_named_or_skipped_as_one_whose_image_is_bad(
    tmp_path, mode, cache
):
    path = tmp_path / "fields.beton"
    fields = {"image": RGBImageField(mode), "facts": JSONField(), "word": NDArrayField("<U2", (1,))}
    image = Drawn(1)[0][0]
    samples = [(image + np.uint8(i), {"i": i}, np.array(["ab"])) for i in range(12)]
    DatasetWriter(path, fields).from_indexed_dataset(samples, progress=False)
    data = path.read_bytes()
    data = data.replace(b'{"i": 3}', b'{"i": 3!').replace(b'{"i": 4}', b'{"i": 4!')
    words = [at for at in range(len(data)) if data.startswith("ab".encode("utf-32-le"), at)]
    path.write_bytes(data[: words[8] + 2] + b"\xff" + data[words[8] + 3 :])
    options = {"order": "sequential", "cache": cache, "dtype": "uint8"}

    with pytest.raises(UserError, match=r"fields\.beton: sample 3: field 'facts': its JSON cannot be read"):
        list(Loader(path, 4, "eval", size=8, **options))
    with pytest.raises(UserError, match=r"fields\.beton: sample 8: field 'word': its text has code point"):
        list(Loader(path, 4, "eval", size=8, **options, indices=range(5, 12)))

    loader = Loader(path, 6, "eval", size=8, **options, on_error="skip")
    batches = list(loader)
    rows, valid = (torch.cat([getattr(b, name) for b in batches]).tolist() for name in ("index", "valid"))
    assert rows == [0, 1, 2, 2, 2, 5, 6, 7, 7, 9, 10, 11]
    assert [i for i, ok in enumerate(valid) if not ok] == [3, 4, 8] == sorted(loader.bad)
    assert [facts["i"] for b in batches for facts in b.fields["facts"]] == rows
    views = torch.cat([b.views[0] for b in batches])
    assert torch.equal(views[3], views[2]) and torch.equal(views[8], views[7])


def test_half_decoding_halves_the_boxes_and_leaves_small_crops_alone(tmp_path):
    path = write(tmp_path / "large.beton", n=8, mode="jpg", side=(300, 400))

    def views(size, **options):
        rrc = ViewSet(["simclr"], size=size, crop_scale=(0.5, 1.0))
        return next(iter(Loader(path, 8, rrc, dtype="uint8", with_plan=True, view_seed=1, **options)))

    small, large = ([views(size, decode_scale=scale) for scale in ("full", "half")] for size in (64, 256))
    assert not torch.equal(small[0].views[0], small[1].views[0])
    assert (small[0].views[0].float() - small[1].views[0].float()).abs().mean() < 4  # levels; the images are noise
    assert torch.equal(large[0].views[0], large[1].views[0])
    assert (small[0].plan.box == small[1].plan.box).all()


def test_a_filter_keeps_the_rows_whose_field_satisfies_it(raw):
    twos = Loader(raw, 4, "eval", size=8, seed=5).filter("label", lambda label: label == 2)
    assert {int(x) for b in twos for x in b.labels} == {2} and len(twos) == 4
    assert sorted(i for b in Loader(raw, 4, "eval", size=8, indices=[2, 5, 6, 8, 11], drop_last=False).filter(
        "label", lambda label: label == 2) for i in b.index.tolist()) == [2, 5, 8, 11]  # fmt: skip
    with pytest.raises(ConfigError, match="one bool for each"):
        twos.filter("label", lambda label: label[:3] == 2)
    with pytest.raises(UserError, match="no field 'colour'"):
        twos.filter("colour", lambda x: x)


def test_all_other_fields_of_the_file_come_with_the_batch(tmp_path):
    class Various:
        def __len__(self):
            return 10

        def __getitem__(self, i):
            image = np.full((12, 12, 3), i, np.uint8)
            return image, i % 3, i + 100, i / 4, np.full((2, 3), i, ">f4"), b"x" * i, {"i": i}

    path = tmp_path / "various.beton"
    fields = {
        "image": RGBImageField(write_mode="raw"),
        "label": IntField(),
        "number": IntField(),
        "quarter": FloatField(),
        "array": NDArrayField(np.dtype(">f4"), (2, 3)),
        "text": BytesField(),
        "facts": JSONField(),
    }
    DatasetWriter(path, fields).from_indexed_dataset(Various(), progress=False)
    for batch in Loader(path, 4, "eval", size=8):
        index, found = batch.index.tolist(), batch.to("cpu").fields
        assert list(found) == ["number", "quarter", "array", "text", "facts"]
        assert torch.equal(found["number"], batch.index + 100) and torch.equal(batch.labels, batch.index % 3)
        assert found["quarter"].tolist() == [i / 4 for i in index]
        assert torch.equal(found["array"], batch.index.float()[:, None, None].expand(-1, 2, 3))
        assert found["text"] == [b"x" * i for i in index] and found["facts"] == [{"i": i} for i in index]
    few = Loader(path, 2, "eval", size=8).filter("facts", lambda values: [v["i"] < 5 for v in values])
    assert few.indices.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"order": "shuffled"}, "order is 'shuffled'"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"num_workers": -1}, "num_workers is -1; it must be an integer from 0 to 1,024"),
        ({"num_workers": 100_000}, "num_workers is 100000; it must be an integer from 0 to 1,024"),
        ({"batches_ahead": 10**9}, "batches_ahead is 1000000000; it must be an integer from 1 to 1,024"),
        (
            {"batch_size": 10**12, "order": "sequential"},
            "a batch of 1000000000000 images in .* choose a smaller batch_size",
        ),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"decode_scale": "quarter"}, "decode_scale is 'quarter'"),
        ({"pool_pages": 0}, "pool_pages is 0"),
        pytest.param(
            {"pin_memory": True},
            "pin_memory needs a CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
        ({"indices": []}, "0 samples are fewer"),
        ({"batch_size": 51, "order": "random"}, "choose a smaller batch_size"),
        ({"views": "simclt"}, "Did you mean 'simclr'"),
        ({"rank": 2, "world_size": 2}, "rank is 2"),
        ({"seed": -1}, "seed is -1"),
        ({"views": ViewSet(["simclr"]), "size": 0}, "size is 0"),
    ],
)
def test_impossible_arguments_are_refused_in_a_sentence(raw, arguments, words):
    with pytest.raises(UserError, match=words):
        Loader(raw, **{"batch_size": 4, "views": "eval", **arguments})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"indices": [False, True] * 25}, "np.flatnonzero"),
        ({"indices": [0.9, 3.7]}, "integers"),
        ({"batch_size": 2.5}, "batch_size is 2.5; it must be an integer of at least 1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"num_workers": "2"}, "num_workers is '2'; it must be an integer from 0 to 1,024"),
        ({"batches_ahead": float("inf")}, "batches_ahead is inf"),
        ({"pool_pages": None}, "pool_pages is None"),
        ({"pool_pages": float("nan")}, "pool_pages is nan"),
        ({"dtype": ["float32"]}, r"dtype is \['float32'\]. Did you mean 'float32'\? Choose one of float32, float16, "),
        ({"world_size": 2}, "give this process's rank"),
    ],
)
def test_what_numpy_would_silently_cast_is_refused(raw, arguments, words):
    with pytest.raises(ConfigError, match=words):
        len(Loader(raw, **{"batch_size": 4, "views": "eval", "size": 8, **arguments}))


def test_whole_numbers_of_any_type_are_those_integers(raw):
    floats = Loader(raw, 4.0, "eval", size=8, order="quasi_random", num_workers=1.0, batches_ahead=2.0, pool_pages=2.0)
    plain = Loader(raw, 4, "eval", size=8, order="quasi_random", num_workers=1, batches_ahead=2, pool_pages=2)
    assert floats.state_dict() == plain.state_dict() and same(contents(floats), contents(plain))


def test_the_rank_and_world_size_of_a_loader_have_their_old_name_too(raw):
    loader = Loader(raw, 4, "eval", size=8, rank=1, world_size=2)
    assert loader.place == loader.rank_and_world_size == (1, 2)


def test_a_jpeg_that_promises_more_than_its_bytes_can_hold_is_refused_before_memory_is_taken(tmp_path):
    path = write(tmp_path / "bomb.beton", n=4, mode="jpg")
    table = Loader(path, 1, "eval", size=8).reader.image_table()
    data = bytearray(path.read_bytes())
    start = int(table.ptr[0])
    frame = data.index(b"\xff\xc0", start)
    data[frame + 5 : frame + 9] = (65000).to_bytes(2, "big") * 2
    record = layout.records_start(2)
    data[record + 1 : record + 5] = (65000).to_bytes(2, "little") * 2  # width and height of sample 0
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"bomb.beton: sample 0: "):
        list(Loader(path, 1, "eval", size=8, order="sequential", num_workers=1))


def test_the_only_field_of_images_is_loaded_whatever_its_name(tmp_path):
    path = tmp_path / "named.beton"
    DatasetWriter(path, {"img": RGBImageField("raw"), "label": IntField()}).from_indexed_dataset(
        Drawn(6), progress=False
    )
    assert next(iter(Loader(path, 6, "eval", size=8))).labels.sort().values.tolist() == [0, 0, 1, 1, 2, 2]


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


def test_the_memory_of_a_worker_is_what_the_manual_says():
    page = (CHECKOUT / "docs" / "loader.md").read_text()
    sides, sizes = (
        [float(word) for word in re.search(rf"^\| {row}[^|]*\|(.*)\|$", page, re.M)[1].split("|")]
        for row in ("side S", "memory to render in")
    )
    for side, size in zip(map(int, sides), sizes, strict=True):
        parts = scratch(side, max(500, side), np.zeros(256, np.int64))
        held = sum(array.nbytes for part in parts for array in (part if isinstance(part, tuple) else (part,)))
        assert held / 1e6 == pytest.approx(size, rel=0.05)
        assert held == pytest.approx(48 * side**2 + 1300 * side + 25_000, rel=0.05)


def test_the_blocks_of_the_manual_run_one_after_the_other(tmp_path):
    for name in ("train", "val"):
        write(tmp_path / f"{name}.beton", n=64)  # each test runs in a folder of its own
    page = (CHECKOUT / "docs" / "loader.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(compile(block, "docs/loader.md", "exec"), names)
    assert len(names["data"].train_dataloader()) == len(names["data"].val_dataloader()) == 4


@pytest.mark.parametrize("change", ["cut short", "overwritten", "replaced", "removed"])
def test_a_file_that_changes_under_a_loader_is_an_error_in_one_line_with_its_next_batch(tmp_path, change):
    path = write(tmp_path / "a.beton")
    batches = iter(Loader(path, 8, "simclr32", num_workers=0))
    next(batches)
    content = path.read_bytes()
    if change == "cut short":
        os.truncate(path, len(content) - 5000)
    elif change == "overwritten":  # with other content of the same size, as cp does
        path.write_bytes(content[::-1])
    elif change == "replaced":
        (tmp_path / "b.beton").write_bytes(content)
        (tmp_path / "b.beton").replace(path)
    else:
        path.unlink()
    with pytest.raises(
        BetonError, match=r"a\.beton (has been replaced or changed since it was opened|is no longer there)"
    ):
        next(batches)


CUT_SHORT = """
import os, sys
from data_loading import Loader
from data_loading.beton.mapping import Part
Part.check = lambda *_: None  # as between two checks
batches = iter(Loader(sys.argv[1], 8, "simclr32", num_workers=int(sys.argv[2]), batches_ahead=1, order="sequential"))
next(batches)
os.truncate(sys.argv[1], 4096)
list(batches)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_is_cut_short_while_it_is_read_ends_the_process_with_a_line(tmp_path, workers):
    path = write(tmp_path / "a.beton", n=64)
    paths = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, str(path), str(workers)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stderr.startswith("massrl: error: a .beton file was cut short"), done.stderr
    assert done.stderr.count("\n") == 1
