"""Shards: merged, they are byte for byte the file and the index of one process that writes the whole data set."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_loading import DatasetWriter, Loader, Reader, sources
from data_loading.errors import BetonError, ConfigError, SourceError
from data_loading.fields import BytesField, FloatField, IntField, JSONField, NDArrayField, RGBImageField
from writing import RandomImages, jpeg, random_image

COUNTS = (1, 2, 3, 7)


def folder(tmp: Path, flat: bool = False, bad: bool = False) -> Path:
    """17 images, JPEG and PNG, in three class folders or in one folder; with `bad`, four of them do not decode."""
    from PIL import Image

    root = tmp / "images"
    for i in range(17):
        file = root / ("" if flat else f"class-{i // 6}") / f"{i:02}{'.png' if i % 5 == 2 else '.jpg'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_image(i, 20 + i, 50 - i)).save(file)
        if bad and i in (0, 7, 8, 16):  # 7 and 8: a whole shard of 17 images in 7 shards
            file.write_bytes(file.read_bytes()[:100])
    return root


def archive(tmp: Path) -> Path:
    root, file = folder(tmp), tmp / "images.zip"
    with zipfile.ZipFile(file, "w") as opened:
        for path in sorted(root.rglob("*.*")):
            opened.write(path, path.relative_to(tmp))
    return file


def arrays(tmp: Path) -> Path:
    images = np.stack([random_image(i, 9, 8) for i in range(17)])
    np.savez(tmp / "arrays.npz", images=images, labels=np.arange(17) // 6, classes=["a", "b", "c"])
    return tmp / "arrays.npz"


SOURCES = {
    "class folders": (folder, {}),
    "flat folder": (lambda tmp: folder(tmp, flat=True), {}),
    "zip": (archive, {}),
    "npz": (arrays, {}),
    "jpg": (folder, {"write_mode": "jpg", "max_resolution": 30}),
    "raw": (folder, {"write_mode": "raw"}),
    "smart": (folder, {"write_mode": "smart", "smart_threshold": 2500}),
    "proportion": (folder, {"write_mode": "proportion"}),
}


def write(source, out, skip_bad=False, **options):
    return DatasetWriter(out, source.fields(**options)), {"progress": False, "skip_bad": skip_bad}


def whole(source, out: Path, **options) -> tuple[bytes, str]:
    """File and index that one process writes."""
    writer, how = write(source, out, **options)
    writer.from_indexed_dataset(source, **how)
    return both(out)


def shards(source, out: Path, count: int, **options) -> list[Path]:
    """The files of all shards, written in another order than theirs."""
    found = {}
    for shard in [*range(1, count), 0]:
        writer, how = write(source, out, **options)
        found[shard] = writer.from_indexed_dataset(source, shard=shard, shards=count, **how)
    return [found[shard] for shard in range(count)]


def both(file: Path) -> tuple[bytes, str]:
    index = file.with_suffix(".index.json")
    return file.read_bytes(), index.read_text() if index.exists() else ""


@pytest.mark.parametrize("name", SOURCES)
def test_merged_shards_are_the_file_and_index_of_one_process(tmp_path, name):
    make, options = SOURCES[name]
    source = sources.open(make(tmp_path))
    expected = whole(source, tmp_path / "one.beton", **options)
    for count in COUNTS:
        files = shards(source, tmp_path / f"{count}.beton", count, **options)
        assert [file.name for file in files] == [f"{count}-{i:05}-of-{count:05}.beton" for i in range(count)]
        merged = sources.merge(tmp_path / "merged.beton", f"{tmp_path}/{count}-*-of-*.beton", progress=False)
        assert both(merged) == expected, count


@pytest.mark.parametrize("flat", [False, True])
def test_images_left_out_are_those_of_one_process_also_where_a_shard_has_no_other(tmp_path, flat):
    source = sources.open(folder(tmp_path, flat, bad=True))
    expected = whole(source, tmp_path / "one.beton", skip_bad=True)
    for count in COUNTS:
        files = shards(source, tmp_path / "s.beton", count, skip_bad=True)
        assert both(sources.merge(tmp_path / "merged.beton", files, progress=False)) == expected, count
    lengths = [len(Reader(file)) for file in files]
    assert sum(lengths) == 13 and lengths[3] == 0  # rows 7 and 8
    loader = Loader(files, 5, "eval", size=8, order="sequential")
    assert [int(i) for batch in loader for i in batch.index[batch.valid]] == [*range(13)]


def test_a_shard_does_not_depend_on_the_number_of_workers(tmp_path):
    def shard(workers):
        writer = DatasetWriter(tmp_path / f"{workers}.beton", FIELDS, num_workers=workers)
        return writer.from_indexed_dataset(Samples(40), progress=False, shard=1, shards=2)

    assert shard(1).read_bytes() == shard(2).read_bytes()


FIELDS = {
    "a": NDArrayField("<f4", (2, 3)),
    "image": RGBImageField("proportion"),
    "label": IntField(),
    "x": FloatField(),
    "j": JSONField(),
    "b": BytesField(),
    "text": NDArrayField("<U3", (2,)),
    "other": RGBImageField("jpg"),
    "none": NDArrayField("u1", (0, 4)),
}


class Samples(RandomImages):
    """A value of each type of field; empty bytes, NaN with a payload, and sample 9 larger than a page of 2 MiB."""

    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        x = np.array([0x7FF8000000000000 + i], "<u8").view("<f8")[0] if i % 4 == 0 else i / 3
        return (
            np.full((2, 3), i, "<f4"),
            random_image(i, 900, 1000) if i == 9 else image,
            label - 1,
            x,
            {"i": [i, None, "é" * i]},
            bytes(i % 3),
            np.array(["ab", "c"]).astype("<U3"),
            image,
            np.zeros((0, 4), "u1"),
        )


@pytest.mark.parametrize("page_size", [None, 1 << 23])
def test_every_type_of_field_and_pages_that_only_one_part_needs(tmp_path, page_size):
    def writer(name):
        return DatasetWriter(tmp_path / name, FIELDS, page_size)

    order = {"progress": False, "shuffle_indices": True, "seed": 3, "indices": [*range(30), 4, 4]}
    writer("one.beton").from_indexed_dataset(Samples(30), **order)
    expected = both(tmp_path / "one.beton")
    for count in COUNTS:
        parts = [{"shard": shard, "shards": count} for shard in range(count)]
        files = [writer("s.beton").from_indexed_dataset(Samples(30), **part, **order) for part in parts]
        pages = {Reader(file).page_size for file in files}
        assert pages == {1 << 23} if page_size else pages <= {1 << 21, 1 << 22}
        assert both(sources.merge(tmp_path / "merged.beton", files, progress=False)) == expected
    assert expected[1] == ""  # a data set without names of classes has no index, and neither has the merged file


def test_a_shard_keeps_all_classes_and_their_numbers(tmp_path):
    files = shards(sources.open(folder(tmp_path)), tmp_path / "s.beton", 7)
    index = json.loads(files[6].with_suffix(".index.json").read_text())
    assert index["classes"] == ["class-0", "class-1", "class-2"] and set(index["labels"]) == {2}
    assert Reader(files[6]).column("label").tolist() == index["labels"]
    assert [path.rpartition("/")[2] for path in index["paths"]] == ["14.jpg", "15.jpg", "16.jpg"]


def test_a_shard_that_is_written_again_changes_no_other_file_and_has_the_bytes_it_had(tmp_path):
    def state():
        return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.glob("s-*")}

    source = sources.open(folder(tmp_path))
    shards(source, tmp_path / "s.beton", 3)
    before = state()
    writer, how = write(source, tmp_path / "s.beton")
    again = writer.from_indexed_dataset(source, shard=1, shards=3, **how)
    after = state()
    written = {name for name in before if before[name][1] != after[name][1]}
    assert written == {again.name, again.with_suffix(".index.json").name}
    assert {name: data for name, (data, _) in before.items()} == {name: data for name, (data, _) in after.items()}


@pytest.mark.parametrize(
    ("shard", "shards", "words"),
    [
        (3, 3, "shard is 3; with 3 shards it must be an integer from 0 to 2"),
        (-1, 3, "shard is -1"),
        (0, 0, "shards is 0; it must be an integer from 1 to 99,999"),
        (0, 100_000, "shards is 100000"),
        (0, None, "shard is given without shards"),
        (None, 2, "shards is given without shard"),
        (0, 10, "shards is 10, but there are only 9 samples; choose fewer shards"),
    ],
)
def test_numbers_that_no_shard_has_are_refused_before_anything_is_written(tmp_path, shard, shards, words):
    writer = DatasetWriter(tmp_path / "new" / "a.beton", {"image": RGBImageField(), "label": IntField()})
    with pytest.raises(ConfigError, match=words):
        writer.from_indexed_dataset(RandomImages(9), shard=shard, shards=shards)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def four(tmp_path):
    """(folder of images, four shards of it)."""
    root = folder(tmp_path)
    return root, shards(sources.open(root), tmp_path / "s.beton", 4)


def refused(files, words: str, out: Path, error=BetonError) -> None:
    """Merging raises an error that says `words` in one line, and leaves the folder of `out` as it was."""
    before = {file: file.read_bytes() for file in out.parent.rglob("*") if file.is_file()}
    with pytest.raises(error, match=words) as raised:
        sources.merge(out, files, progress=False)
    assert "\n" not in str(raised.value)
    assert {file: file.read_bytes() for file in out.parent.rglob("*") if file.is_file()} == before


def test_a_set_that_is_not_whole_is_refused(four, tmp_path):
    root, files = four
    out = tmp_path / "out.beton"
    refused(files[:2] + files[3:], r"s-00000-of-00004.beton is one of 4 shards, of which 1 is missing: number 2", out)
    refused(files[1:2], "of which 3 are missing: number 0, 2, 3, counted from 0", out)
    refused([*files, files[1]], "s-00001-of-00004.beton is named twice", out)
    copy = tmp_path / "copy.beton"
    copy.write_bytes(files[1].read_bytes())
    copy.with_suffix(".index.json").write_bytes(files[1].with_suffix(".index.json").read_bytes())
    refused([*files, copy], "copy.beton: shard 1 of 4 is named twice", out)
    refused(files[::-1], "s-00002-of-00004.beton is shard 2, but comes after shard 3", out)
    two = shards(sources.open(root), tmp_path / "s.beton", 2)
    refused(f"{tmp_path}/s-*.beton", "one of 2 shards, but .* one of 4; remove those of the earlier write", out)
    for file in (*files, *two):
        file.with_suffix(".index.json").unlink()  # then the names say it
    refused(f"{tmp_path}/s-*.beton", "one of 2 shards, but .* one of 4", out)
    refused(files[1:], "of which 1 is missing: number 0", out)


def test_shards_of_other_data_or_settings_are_refused(four, tmp_path):
    root, files = four
    again, out = sources.open(root), tmp_path / "out.beton"
    how = {"progress": False, "shard": 2, "shards": 4}
    DatasetWriter(tmp_path / "s.beton", again.fields("raw")).from_indexed_dataset(again, **how)
    refused(files, "s-00002-of-00004.beton was written by other settings than .*write_mode='raw'.*'keep'", out)
    (root / "class-0" / "new.jpg").write_bytes(jpeg(random_image(0, 9, 9)))
    again = sources.open(root)
    DatasetWriter(tmp_path / "s.beton", again.fields()).from_indexed_dataset(again, **how)
    refused(files, "s-00002-of-00004.beton was written from another data set than .*s-00000", out)


def test_parts_with_other_fields_or_classes_are_refused(tmp_path):
    image, out = random_image(0, 4, 4), tmp_path / "out.beton"

    def part(name, fields, values, **facts):
        data = type("Data", (list,), facts)([values] * 2)
        DatasetWriter(tmp_path / name, fields).from_indexed_dataset(data, progress=False)
        return tmp_path / name

    two = {"image": RGBImageField(), "label": IntField()}
    a = part("a.beton", two, (image, 0), classes=["ant", "bee"])
    b = part("b.beton", two, (image, 0), classes=["ant", "cow"])
    refused([a, b], r"a.beton and .*b.beton have other classes, bee, cow in one only", out, SourceError)
    c = part("c.beton", two, (image, 0), classes=["bee", "ant"])
    refused([a, c], "have other classes, in another order", out, SourceError)
    d = part("d.beton", two, (image, 0))
    refused([a, d], "a.beton has an index, a.index.json, but .*d.beton has none", out, SourceError)
    e = part("e.beton", {"image": RGBImageField(), "label": FloatField()}, (image, 0))
    refused([d, e], r"e.beton: field 'label': FloatField\(\), but in .*d.beton: IntField\(\)", out)
    f = part("f.beton", {"image": RGBImageField()}, (image,))
    refused([d, f], "f.beton: field 'label': is missing", out)


def test_fields_in_another_order_are_written_in_that_of_the_first_part(tmp_path):
    image, out = random_image(0, 4, 4), tmp_path / "c.beton"
    a = DatasetWriter(tmp_path / "a.beton", {"image": RGBImageField(), "label": IntField()})
    b = DatasetWriter(tmp_path / "b.beton", {"label": IntField(), "image": RGBImageField()})
    files = [a.from_indexed_dataset([(image, 7)]), b.from_indexed_dataset([(8, image)])]
    merged = Reader(sources.merge(out, files))
    assert list(merged.fields) == ["image", "label"] and merged.column("label").tolist() == [7, 8]
    np.testing.assert_array_equal(merged[1]["image"], image)


def test_damaged_parts_and_indexes_of_other_files_are_refused(four, tmp_path):
    _, files = four
    out = tmp_path / "out.beton"
    out.write_bytes(b"kept")
    content, table = files[2].read_bytes(), Reader(files[2]).image_table()
    files[2].write_bytes(content[:-10])
    refused(
        files, "s-00002-of-00004.index.json is not the index of .*s-00002-of-00004.beton as it is now", out, SourceError
    )
    index = files[2].with_suffix(".index.json")
    kept = index.read_bytes()
    for file in files:
        file.with_suffix(".index.json").unlink()
    refused(files, "s-00002-of-00004.beton was cut short", out)
    row = int(np.flatnonzero(table.mode == 0)[0])
    at = int(table.ptr[row])
    files[2].write_bytes(content[:at] + bytes(200) + content[at + 200 :])  # as a disk that lost a block
    refused(files, rf"s-00002-of-00004.beton: sample {row}: field 'image': not a readable JPEG image", out)
    files[2].write_bytes(b"")
    refused(files, "s-00002-of-00004.beton is empty: 0 bytes", out)
    files[2].unlink()
    refused(files, "s-00002-of-00004.beton cannot be opened: No such file", out)
    refused(f"{tmp_path}/t-*.beton", "no file matches this pattern", out)
    refused([tmp_path], "is no file", out)
    os.mkfifo(tmp_path / "pipe.beton")
    refused([tmp_path / "pipe.beton"], "pipe.beton is no file", out)
    files[2].write_bytes(content)
    index.write_bytes(kept.replace(b'"shard": 2', b'"shard": "2"'))  # a note that is no number is no note
    files[0].with_suffix(".index.json").unlink(missing_ok=True)
    refused(files, "has an index, s-00002-of-00004.index.json, but .*s-00000-of-00004.beton has none", out, SourceError)


def test_the_result_never_replaces_one_of_the_parts(four, tmp_path):
    _, files = four
    refused(files, "s-00001-of-00004.beton is one of the files to merge", files[1])
    (tmp_path / "link.beton").symlink_to(files[1])
    refused(files, "link.beton is one of the files to merge", tmp_path / "link.beton")
    refused(files, r"would replace .*s-00000-of-00004.index.json, the names of", files[0].with_suffix(".ffcv"))
    (tmp_path / "hard.beton").hardlink_to(files[1])
    twice = [*files, tmp_path / "hard.beton"]
    refused(twice, "hard.beton is named twice, also as .*s-00001-of-00004.beton", tmp_path / "out.beton")


FULL = """
import resource, signal, sys
from data_loading import DatasetWriter, sources
from data_loading.errors import UserError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[2])
source = sources.open("images")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # a write beyond it fails, as on a full disk
try:
    if sys.argv[1] == "merge":
        sources.merge("out.beton", "s-*.beton", progress=False)
    else:
        DatasetWriter("out.beton", source.fields()).from_indexed_dataset(source, progress=False)
except UserError as error:
    print(error)
"""


# The second limit is met by values that are still buffered when the file is closed.
@pytest.mark.parametrize("limit", [3 << 20, (2 << 20) + 5000])
@pytest.mark.parametrize("action", ["merge", "write"])
def test_a_disk_that_fills_leaves_the_file_that_was_there(four, tmp_path, action, limit):
    (tmp_path / "out.beton").write_bytes(b"kept")
    before = sorted(tmp_path.iterdir())
    words = [sys.executable, "-c", FULL, action, str(limit)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "out.beton cannot be written: File too large\n" and done.stderr == ""
    assert (tmp_path / "out.beton").read_bytes() == b"kept" and sorted(tmp_path.iterdir()) == before


MEMORY = """
from data_loading import sources

def peak():
    with open("/proc/self/status") as file:  # not ru_maxrss, in which a child begins at the memory of its parent
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))

sources.merge("small.beton", ["a.beton"], progress=False)
before = peak()
sources.merge("large.beton", ["b.beton", "c.beton"], progress=False)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_size_of_the_values(tmp_path):
    for name, n in (("a", 1), ("b", 60), ("c", 60)):  # 1 MiB each
        fields = {"b": BytesField()}
        DatasetWriter(tmp_path / f"{name}.beton", fields).from_indexed_dataset([(bytes(1 << 20),)] * n, progress=False)
    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30  # MiB, of 120 that are merged


def test_files_of_no_samples_alone_are_refused(tmp_path):
    source = sources.open(folder(tmp_path, flat=True))
    for file in (tmp_path / "images").iterdir():
        file.write_bytes(b"\xff\xd8")
    files = shards(source, tmp_path / "s.beton", 3, skip_bad=True)
    assert [len(Reader(file)) for file in files] == [0, 0, 0]
    refused(files, "s-00000-of-00003.beton and all others: no samples", tmp_path / "out.beton")
