"""Several .beton files as one data set: every batch equals that of the one file with the same samples."""

import json
import os

import numpy as np
import pytest
import torch

from betons import Drawn, contents, same, spoil
from data_loading import BetonDataModule, DatasetWriter, Loader, Reader, ViewSet, replay_views
from data_loading.errors import BetonError, CheckpointError, DecodeError, SourceError
from data_loading.fields import BytesField, IntField, JSONField, NDArrayField, RGBImageField
from massrl.cli.main import main

VIEWS = ViewSet(["simclr"], size=8)
N = 30
PARTS = ((0, 8), (8, 9), (9, 30))  # rows of the files
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux's")
pytestmark = pytest.mark.usefixtures("alone_with_shared_memory")


def fields(mode):
    array = NDArrayField("<f4", (2,))
    return {"image": RGBImageField(mode), "label": IntField(), "a": array, "b": BytesField(), "j": JSONField()}


class Samples(Drawn):
    def __getitem__(self, i):
        return *super().__getitem__(i), np.array([i, -i], "<f4"), b"x" * (i % 3), {"i": i}


@pytest.fixture(scope="module", params=["raw", "jpg"])
def files(request, tmp_path_factory):
    """(one file, the pattern of three of different page sizes with the same samples)."""
    folder = tmp_path_factory.mktemp(request.param)
    samples = Samples(N, side=(200, 260))
    for name, rows, page in [("one", (0, N), 21), *zip(("p-0", "p-1", "p-2"), PARTS, (21, 22, 21), strict=True)]:
        writer = DatasetWriter(folder / f"{name}.beton", fields(request.param), page_size=1 << page)
        writer.from_indexed_dataset(samples, range(*rows), progress=False)
    return folder / "one.beton", str(folder / "p-*.beton")


def test_every_value_is_that_of_the_one_file(files):
    one, several = Reader(files[0]), Reader(files[1])
    assert len(several) == N and [part.row for part in several.parts] == [0, 8, 9]
    for i in range(N):
        for name, value in one[i].items():
            np.testing.assert_array_equal(several[i][name], value)
    rows = [29, 0, 8, 8, 9]
    for name in ("label", "a", "b", "j"):
        np.testing.assert_array_equal(several.values(name, rows), one.values(name, rows))
    assert several.column("label").tolist() == one.column("label").tolist()
    assert (several.stored_sizes("b") == one.stored_sizes("b")).all()


@pytest.mark.parametrize("cache", ["page", "process", pytest.param("shared", marks=linux)])
@pytest.mark.parametrize("order", ["random", "sequential"])
def test_every_batch_is_that_of_the_one_file(files, order, cache):
    one, several = (Loader(path, 7, VIEWS, order=order, cache=cache) for path in files)
    batches = contents(one)
    assert same(contents(several), batches)
    assert batches and same(contents(several), contents(one))  # the second epoch, too


def test_a_quasi_random_epoch_holds_every_sample_once_with_the_views_of_the_one_file(files):
    def views(path, order):
        loader = Loader(path, 5, VIEWS, order=order, pool_pages=2, cache="process")
        return {int(i): v for batch in loader for i, v in zip(batch.index, batch.views[0], strict=True)}

    one, several = views(files[0], "random"), views(files[1], "quasi_random")
    assert one.keys() == several.keys() and all(torch.equal(one[i], several[i]) for i in one)


def test_a_list_is_taken_in_its_order_and_a_pattern_by_name(files):
    folder = files[0].parent
    turned = Reader([folder / "p-2.beton", str(folder / "p-[01].beton")])
    assert [values["i"] for values in turned.values("j", range(N))] == [*range(9, 30), *range(9)]


def test_one_state_goes_on_and_other_files_are_refused(files):
    loader = Loader(files[1], 7, VIEWS)
    epoch = iter(loader)
    next(epoch)
    state = json.loads(json.dumps(loader.state_dict()))
    again = Loader(files[1], 7, VIEWS)
    again.load_state_dict(state)
    assert same(contents(again), contents(epoch))
    folder = files[0].parent
    with pytest.raises(CheckpointError, match="another file"):
        Loader([folder / f"p-{i}.beton" for i in (1, 0, 2)], 7, VIEWS).load_state_dict(state)


def test_filter_replay_and_the_data_module_take_them_too(files):
    assert {int(y) for b in Loader(files[1], 2, VIEWS).filter("label", lambda y: y == 2) for y in b.labels} == {2}
    one, several = (replay_views(path, "simclr", seed=1, epoch=2, index=20, size=8) for path in files)
    assert all((a == b).all() for a, b in zip(one.views, several.views, strict=True))
    folder = files[0].parent
    module = BetonDataModule([str(folder / f"p-{i}.beton") for i in range(3)], views=VIEWS, batch_size=7)
    assert same(contents(module.train_dataloader()), contents(Loader(files[0], 7, VIEWS)))


def test_the_command_line_takes_a_pattern(files, capsys):
    main(["data", "info", files[1], "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["samples"] == N and facts["bytes"] == sum(p.size for p in Reader(files[1]).parts)
    assert main(["data", "verify", files[1]]) == 0 and f"no faults; {N} samples" in capsys.readouterr().out


def test_a_sample_that_does_not_decode_is_named_by_its_own_file_and_row(tmp_path):
    for name in ("a", "b"):
        fields = {"image": RGBImageField("jpg"), "label": IntField()}
        DatasetWriter(tmp_path / f"{name}.beton", fields).from_indexed_dataset(Drawn(4), progress=False)
    spoil(tmp_path / "b.beton", 1)
    with pytest.raises(DecodeError, match=r"b\.beton: sample 1: field 'image'"):
        list(Loader(tmp_path / "?.beton", 4, "eval", size=8))
    loader = Loader(tmp_path / "?.beton", 8, "eval", size=8, order="sequential", on_error="skip")
    assert [b.index.tolist() for b in loader] == [[0, 1, 2, 3, 4, 4, 6, 7]] and list(loader.bad) == [5]


def test_files_that_do_not_belong_together_and_patterns_that_fit_nothing_are_refused(tmp_path):
    def write(name, fields, values):
        DatasetWriter(tmp_path / name, fields).from_indexed_dataset([values] * 2, progress=False)

    image = np.zeros((4, 4, 3), np.uint8)
    write("a.beton", {"image": RGBImageField("raw"), "x": NDArrayField("<f4", (1,))}, (image, np.zeros(1, "<f4")))
    write("b.beton", {"image": RGBImageField("raw"), "x": NDArrayField("<f4", (2,))}, (image, np.zeros(2, "<f4")))
    with pytest.raises(BetonError, match=r"b\.beton: field 'x': NDArrayField.*\(2,\).* but in .*a\.beton: .*\(1,\)"):
        Reader(tmp_path / "*.beton")
    write("b.beton", {"image": RGBImageField("raw")}, (image,))
    with pytest.raises(BetonError, match=r"b\.beton: field 'x': is missing, but in"):
        Reader(tmp_path / "*.beton")
    with pytest.raises(BetonError, match="no file matches this pattern"):
        Loader(tmp_path / "none-*.beton", 2)
    with pytest.raises(BetonError, match="list of .beton files is empty"):
        Loader([], 2)
    with pytest.raises(SourceError, match="in a list each must be one"):
        Loader([tmp_path / "a.beton", tmp_path], 2)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="reads /proc")
def test_opening_and_closing_leaves_no_file_open(files):
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(3):
        with Reader(files[1]) as reader:
            assert reader.memory.size and count() == before
    assert count() == before
