"""The writer: the bytes that the format asks for, the same for any number of workers, and nothing half-written."""

import errno
import gc
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from data_loading import DatasetWriter, Reader
from data_loading.beton import output
from data_loading.errors import BetonError, ConfigError, DecodeError, UserError
from data_loading.fields import BytesField, FloatField, IntField, JSONField, NDArrayField, RGBImageField
from helpers import running

FIELDS = {"image": RGBImageField(), "label": IntField()}


def drawn(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def jpeg(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


class Drawn:
    """n images of random sides, labelled i mod 3; sample `bad` does what `fault` says."""

    def __init__(self, n, bad=None, fault=None, side=40):
        self.n, self.bad, self.fault, self.side = n, bad, fault, side

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i == self.bad and self.fault == "raise":
            raise ValueError("no such luck")
        if i == self.bad and self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == self.bad and self.fault == "cut":
            return jpeg(drawn(i, 30, 30))[:200], 0
        if i == self.bad and self.fault == "stop":
            raise KeyboardInterrupt
        return drawn(i, *np.random.default_rng(i).integers(1, self.side, 2)), i % 3


def write(path, dataset, fields=None, **options):
    writer = DatasetWriter(path, fields or FIELDS, **options)
    writer.from_indexed_dataset(dataset, progress=False)
    return writer


def test_the_header_fields_and_pages_are_where_the_format_says(tmp_path):
    file = tmp_path / "a.beton"
    write(file, [(drawn(0, 2, 3), 7), (drawn(1, 4, 5), -1)])
    data = file.read_bytes()
    page = 1 << 21
    assert data[:24] == b"".join(v.to_bytes(n, "little") for v, n in ((2, 2), (2, 2), (page, 4), (2, 8), (2 * page, 8)))
    assert data[24:41] == b"\x02image" + bytes(11) and data[24 + 1041 : 41 + 1041] == b"\x01label" + bytes(11)
    start = 24 + 2 * 1041
    # mode 1 (raw), width, height, pointer; 3 bytes of gap; the label
    first = bytes([1]) + b"\3\0\2\0" + page.to_bytes(8, "little") + bytes(3) + (7).to_bytes(8, "little")
    second = bytes([1]) + b"\5\0\4\0" + (page + 18).to_bytes(8, "little") + bytes(3) + b"\xff" * 8
    assert data[start : start + 48] == first + second
    assert data[page : page + 18 + 60] == drawn(0, 2, 3).tobytes() + drawn(1, 4, 5).tobytes()
    assert not any(data[page + 78 : 2 * page])
    table = [int.from_bytes(data[at : at + 8], "little") for at in range(2 * page, len(data), 8)]
    assert table == [0, page, 18, 1, page + 18, 60]


def test_the_file_is_the_same_for_one_two_and_three_workers(tmp_path):
    files = [tmp_path / f"{n}.beton" for n in (1, 2, 3)]
    for n, file in enumerate(files, 1):
        write(file, Drawn(70), num_workers=n)
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()


def test_written_samples_come_back(tmp_path):
    dataset = Drawn(50)
    write(tmp_path / "a.beton", dataset)
    reader = Reader(tmp_path / "a.beton")
    assert len(reader) == 50 and list(reader.fields) == ["image", "label"]
    for i in range(50):
        np.testing.assert_array_equal(reader[i]["image"], dataset[i][0])
        assert reader[i]["label"] == i % 3


def test_indices_choose_and_repeat_samples(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", FIELDS)
    writer.from_indexed_dataset(Drawn(9), indices=[5, 2, 5], progress=False)
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [2, 2, 2]
    assert writer.rows.tolist() == [5, 2, 5]


def test_a_sample_lies_on_one_page(tmp_path):
    write(tmp_path / "a.beton", Drawn(12, side=900))
    table = Reader(tmp_path / "a.beton").image_table()
    pages = table.ptr >> 21
    assert len(set(pages)) > 2
    assert (pages == (table.ptr + table.size - 1) >> 21).all()


def test_pages_grow_for_a_sample_that_does_not_fit_and_the_file_equals_one_with_such_pages(tmp_path):
    dataset = [(drawn(i, *side), i) for i, side in enumerate([(9, 9), (700, 700), (1000, 1500), (5, 5)])]
    write(tmp_path / "a.beton", dataset)
    write(tmp_path / "b.beton", dataset, page_size=1 << 23)  # 4.5 MB: the next power of two
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    with pytest.raises(BetonError, match="choose a larger page_size"):
        write(tmp_path / "c.beton", dataset, page_size=1 << 21)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.beton", "b.beton"]


def test_bytes_of_a_jpeg_are_stored_unchanged(tmp_path):
    data = jpeg(drawn(0, 30, 20), quality=70, progressive=True)
    for mode in ("jpg", "keep"):
        write(tmp_path / "a.beton", [(data, 0)], FIELDS | {"image": RGBImageField(mode)})
        reader = Reader(tmp_path / "a.beton")
        table = reader.image_table()
        assert reader.memory[table.ptr[0] : table.ptr[0] + table.size[0]].tobytes() == data
        assert (table.mode[0], table.height[0], table.width[0]) == (0, 30, 20)


def test_raw_mode_stores_the_pixels_of_a_jpeg(tmp_path):
    data = jpeg(drawn(0, 30, 20))
    write(tmp_path / "a.beton", [(data, 0)])
    np.testing.assert_array_equal(Reader(tmp_path / "a.beton")[0]["image"], np.asarray(Image.open(io.BytesIO(data))))


def test_jpg_mode_encodes_pixels_and_keep_mode_does_not(tmp_path):
    smooth = np.linspace(0, 255, 40)[:, None, None] * np.ones((1, 50, 3))
    image = smooth.astype(np.uint8)
    fields = {mode: RGBImageField(mode) for mode in ("jpg", "keep")}
    write(tmp_path / "a.beton", [(image, image)], fields)
    reader = Reader(tmp_path / "a.beton")
    assert reader.image_table("jpg").mode[0] == 0 and reader.image_table("keep").mode[0] == 1
    # Quality 90 on a smooth ramp: its coarsest step there is 3 levels, half of it each way, and one for rounding.
    assert np.abs(reader[0]["jpg"].astype(int) - image).max() <= 3
    np.testing.assert_array_equal(reader[0]["keep"], image)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 50), (32, 16)), ((50, 100), (16, 32)), ((98, 3), (32, 1)), ((20, 32), (20, 32))]
)
def test_max_resolution_bounds_the_longer_side_and_never_enlarges(tmp_path, size, expected):
    write(tmp_path / "a.beton", [(drawn(0, *size),)], {"image": RGBImageField(max_resolution=32)})
    assert Reader(tmp_path / "a.beton")[0]["image"].shape[:2] == expected


def test_pillow_images_of_any_mode_become_rgb(tmp_path):
    grey = Image.fromarray(drawn(0, 8, 9)).convert("L")
    write(tmp_path / "a.beton", [(grey, 0), (grey.convert("RGBA"), 1)])
    reader = Reader(tmp_path / "a.beton")
    for i in (0, 1):
        np.testing.assert_array_equal(reader[i]["image"], np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [("raise", BetonError, "sample 33: ValueError: no such luck"), ("cut", DecodeError, "sample 33: .*JPEG.*skip-bad")],
)
def test_a_sample_that_fails_is_named_and_nothing_is_left(tmp_path, fault, kind, words, workers):
    with pytest.raises(kind, match=words):
        write(tmp_path / "a.beton", Drawn(60, 33, fault), num_workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path):
    write(tmp_path / "a.beton", Drawn(3))
    before = (tmp_path / "a.beton").read_bytes()
    with pytest.raises(BetonError):
        write(tmp_path / "a.beton", Drawn(3, 2, "raise"))
    assert (tmp_path / "a.beton").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("row", "group"), [(17, "sample 16 to sample 31"), (33, "sample 32 to sample 47")])
def test_a_worker_that_dies_is_noticed(tmp_path, row, group):
    started = time.monotonic()
    with pytest.raises(BetonError, match=rf"a worker process died \(exit code -9\) .* {group}"):
        write(tmp_path / "a.beton", Drawn(60, row, "die"), num_workers=2)  # the second worker, the first
    assert time.monotonic() - started < 60  # starting two processes takes a second or two; a hang would go on
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.beton", Drawn(60, 33, "stop"))
    assert list(tmp_path.iterdir()) == []


SLOW = """
import os, time, numpy as np
from data_loading import DatasetWriter
from data_loading.fields import RGBImageField

class Slow:
    def __len__(self): return 10000
    def __getitem__(self, i):
        open(f"worker-{os.getpid()}", "w").close()
        time.sleep(0.05)
        return (np.zeros((8, 8, 3), np.uint8),)

if __name__ == "__main__":
    DatasetWriter("a.beton", {"image": RGBImageField()}, num_workers=2).from_indexed_dataset(Slow(), progress=False)
"""


def test_ctrl_c_ends_the_workers_and_leaves_nothing(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    while len(list(tmp_path.glob("worker-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    assert list(tmp_path.glob(".a.beton*"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, words = process.communicate(timeout=60)
    assert process.returncode != 0 and b"KeyboardInterrupt" in words
    assert words.count(b"Traceback") == 1  # the parent's; its workers say nothing
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("worker-")] == ["slow.py"]
    deadline = time.monotonic() + 20
    while running(process.pid) and time.monotonic() < deadline:  # multiprocessing's own helper ends a moment later
        time.sleep(0.05)
    assert not running(process.pid)


@pytest.fixture
def slow_writer(tmp_path):
    """A process with two workers that is writing a.beton, and its unfinished file."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    process = subprocess.Popen([sys.executable, "slow.py"], cwd=folder, start_new_session=True)
    while len(list(folder.glob("worker-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    (beside,) = folder.glob(".a.beton.*.tmp")
    yield process, beside, folder / "a.beton"
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_the_next_writer_removes_what_a_killed_one_has_left_and_nothing_of_one_that_lives(slow_writer):
    process, beside, target = slow_writer
    write(target, Drawn(3))
    assert beside.exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    other = beside.with_name(beside.name.replace("a.beton", "b.beton"))
    other.touch()  # of another target
    assert beside.exists()
    write(target, Drawn(3))
    assert not beside.exists() and other.exists() and len(Reader(target)) == 3


def test_a_file_that_is_taken_for_an_orphan_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, calls = output.fcntl.flock, []

    def late(file, how):
        if not calls:
            output.os.unlink(file.name)  # what another writer does at this moment
        calls.append(how)
        lock(file, how)

    monkeypatch.setattr(output.fcntl, "flock", late)
    write(tmp_path / "a.beton", Drawn(3))
    assert len(calls) == 2 and len(Reader(tmp_path / "a.beton")) == 3


def test_a_second_writer_that_begins_as_the_first_one_closes_takes_nothing_from_it(tmp_path, monkeypatch):
    target, locked = tmp_path / "a.beton", output._locked

    class Closing:
        """The first writer's file; as it is closed, which drops the lock, a second writer does all of its work."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def close(self):
            if not self.file.closed:
                self.file.close()
                write(target, Drawn(5))

    files = iter([Closing, lambda file: file])
    monkeypatch.setattr(output, "_locked", lambda path: next(files)(locked(path)))
    write(target, Drawn(3))
    assert len(Reader(target)) == 5 and list(tmp_path.iterdir()) == [target]


def test_where_there_are_no_locks_what_a_killed_writer_has_left_blocks_nobody(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(output.fcntl, "flock", unsupported)
    left = output.Output(tmp_path / "a.beton", FIELDS, 3, 1 << 21)  # of the same host, process and page size
    write(tmp_path / "a.beton", Drawn(3))
    assert len(Reader(tmp_path / "a.beton")) == 3 and left.beside.exists()
    left.discard()


def test_unreadable_images_are_left_out_on_request(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", FIELDS)
    writer.from_indexed_dataset(Drawn(20, 7, "cut"), progress=False, skip_bad=True)
    assert writer.rows.tolist() == [i for i in range(20) if i != 7]
    assert len(writer.skipped) == 1 and writer.skipped[0].startswith("sample 7: ")
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [i % 3 for i in range(20) if i != 7]


def test_an_image_that_promises_too_much_is_named_and_may_be_left_out(tmp_path):
    data = bytearray(jpeg(drawn(0, 20, 30)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (60000).to_bytes(2, "big") * 2
    samples = [(drawn(1, 8, 8), 0), (bytes(data), 1)]
    with pytest.raises(
        DecodeError, match=r"sample 1: not a readable JPEG image: 60000 x 60000 pixels cannot come from"
    ):
        write(tmp_path / "a.beton", samples)
    DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(samples, progress=False, skip_bad=True)
    assert len(Reader(tmp_path / "a.beton")) == 1


def test_a_fault_of_the_data_set_is_never_left_out(tmp_path):
    with pytest.raises(BetonError, match="no such luck"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(Drawn(9, 2, "raise"), skip_bad=True)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ((drawn(0, 2, 2),), "expected a tuple of 2"),
        (drawn(0, 2, 2), "got one ndarray"),
        ((drawn(0, 2, 2), 3.9), "field 'label': an IntField takes whole numbers"),
        ((drawn(0, 2, 2), 1 << 63), "does not fit into 64 bits"),
        ((drawn(0, 2, 2).astype(float), 0), "field 'image': an image array is uint8"),
        ((drawn(0, 2, 2)[..., :2], 0), r"got uint8 \(2, 2, 2\)"),
        (("cat.jpg", 0), "got str"),
        ((np.zeros((1, 65536, 3), np.uint8), 0), "sides up to 65535"),
    ],
)
def test_values_that_do_not_fit_their_field_are_refused(tmp_path, sample, words):
    with pytest.raises(BetonError, match=words):
        write(tmp_path / "a.beton", [sample])
    assert list(tmp_path.iterdir()) == []


def test_impossible_writers_are_refused(tmp_path):
    for fields, options, words in [
        ({}, {}, "at least one field"),
        ({"ü": IntField()}, {}, "ASCII"),
        ({"a" * 17: IntField()}, {}, "1 to 16"),
        (FIELDS, {"page_size": 1 << 20}, "page_size is 1048576"),
        (FIELDS, {"page_size": 3 << 20}, "power of two"),
    ]:
        with pytest.raises(ConfigError, match=words):
            DatasetWriter(tmp_path / "a.beton", fields, **options)
    with pytest.raises(ConfigError, match="write_mode is 'bmp'; choose one of raw, jpg, png, smart"):
        RGBImageField("bmp")
    with pytest.raises(ConfigError, match="two words for one thing"):
        RGBImageField("jpg", mode="png")
    with pytest.raises(BetonError, match="is empty"):
        write(tmp_path / "a.beton", [])
    with pytest.raises(BetonError, match="is a folder"):
        write(tmp_path, Drawn(1))


def test_a_data_set_that_cannot_be_sent_to_workers_says_so(tmp_path):
    class Local(Drawn):
        pass

    with pytest.raises(BetonError, match="use num_workers=1"):
        write(tmp_path / "a.beton", Local(40), num_workers=2)
    assert list(tmp_path.iterdir()) == []


def test_ints_alone_need_no_page(tmp_path):
    write(tmp_path / "a.beton", [(1,), (-2,)], {"n": IntField()})
    assert (tmp_path / "a.beton").stat().st_size == 24 + 1041 + 2 * 8
    assert Reader(tmp_path / "a.beton").column("n").tolist() == [1, -2]


# Image modes.


def modes(path, field, images, workers=1):
    write(path, [(image,) for image in images], {"image": field}, num_workers=workers)
    return Reader(path).image_table().mode.tolist()


def test_png_is_lossless_under_both_spellings_with_red_and_blue_exchanged_in_the_file(tmp_path):
    image = drawn(0, 9, 7)
    for field in (RGBImageField(write_mode="png"), RGBImageField(mode="png")):
        assert modes(tmp_path / "a.beton", field, [image]) == [2]
        reader = Reader(tmp_path / "a.beton")
        np.testing.assert_array_equal(reader[0]["image"], image)
        ptr, size = reader.image_table().ptr[0], reader.image_table().size[0]
        stream = Image.open(io.BytesIO(reader.memory[ptr : ptr + size].tobytes()))
        np.testing.assert_array_equal(np.asarray(stream), image[..., ::-1])


def test_smart_stores_a_jpeg_above_the_threshold_and_never_without_one(tmp_path):
    images = [drawn(i, 10, width) for i, width in enumerate((9, 10, 11))]  # 270, 300 and 330 bytes
    assert modes(tmp_path / "a.beton", RGBImageField("smart", smart_threshold=300), images) == [1, 1, 0]
    assert modes(tmp_path / "a.beton", RGBImageField("smart"), images) == [1, 1, 1]
    reduced = RGBImageField(
        "smart", smart_threshold=300, max_resolution=10
    )  # what is stored counts: 10 x 9, not 11 x 10
    assert modes(tmp_path / "a.beton", reduced, images) == [1, 1, 1]


def test_smart_encodes_no_jpeg_that_it_does_not_store(tmp_path, monkeypatch):
    monkeypatch.setattr("data_loading.beton.images.encode_jpeg", lambda *_: pytest.fail("encoded for nothing"))
    assert modes(tmp_path / "a.beton", RGBImageField("smart", smart_threshold=10**6), [drawn(0, 9, 9)]) == [1]


def test_proportion_draws_by_row_so_that_workers_do_not_matter(tmp_path):
    images = [drawn(i, 4, 4) for i in range(400)]
    field = RGBImageField("proportion", compress_probability=0.25)
    one = modes(tmp_path / "1.beton", field, images)
    assert modes(tmp_path / "2.beton", field, images, workers=2) == one
    assert (tmp_path / "1.beton").read_bytes() == (tmp_path / "2.beton").read_bytes()
    assert 65 <= one.count(0) <= 135  # 100 expected, 4 standard deviations of 8.7
    assert modes(tmp_path / "1.beton", RGBImageField("proportion", seed=1), images) != one
    for probability, mode in ((0, 1), (1, 0)):
        field = RGBImageField("proportion", compress_probability=probability)
        assert set(modes(tmp_path / "1.beton", field, images)) == {mode}


def test_a_jpeg_that_exif_turns_is_stored_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a.beton", [(jpeg(drawn(0, 20, 30), exif=exif), 0)], FIELDS | {"image": RGBImageField("jpg")})
    assert Reader(tmp_path / "a.beton")[0]["image"].shape == (30, 20, 3)


# Other ways in.


def test_indices_are_shuffled_by_a_seed_and_the_callers_stay_as_they_are(tmp_path):
    orders, indices = [], list(range(30))
    for seed in (0, 0, 1):
        writer = DatasetWriter(tmp_path / "a.beton", {"n": IntField()})
        writer.from_indexed_dataset([(i,) for i in range(30)], indices, shuffle_indices=True, seed=seed)
        orders.append(Reader(tmp_path / "a.beton").column("n").tolist())
        assert orders[-1] == writer.rows.tolist()
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2]) == indices == list(range(30))


@pytest.mark.parametrize("n", [1, 3, 1024, 2500])
def test_a_data_set_of_unknown_length_gives_the_same_file(tmp_path, n):
    fields = {"image": RGBImageField(), "blob": BytesField(), "array": NDArrayField("<u8", (2,)), "n": IntField()}
    samples = [(drawn(i, 9, 9), bytes(i % 3), np.full(2, i, "<u8"), i) for i in range(n)]
    write(tmp_path / "a.beton", samples, fields)
    named = ((f"sample {i}", sample) for i, sample in enumerate(samples))
    DatasetWriter(tmp_path / "b.beton", fields, num_workers=2).from_samples(named, progress=False)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_pages_move_up_where_more_samples_came_than_expected(tmp_path):
    fields = {f"n{k}": IntField() for k in range(100)} | {
        "image": RGBImageField()
    }  # 1,024 records of 816 bytes: a page
    samples = [(*range(100), drawn(i, 30, 40)) for i in range(6000)]
    write(tmp_path / "a.beton", samples, fields)
    DatasetWriter(tmp_path / "b.beton", fields).from_samples((("", sample) for sample in samples), progress=False)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    np.testing.assert_array_equal(Reader(tmp_path / "b.beton").value("image", 5999), samples[5999][-1])


def test_a_file_without_its_bad_samples_equals_that_of_the_good_ones(tmp_path):
    DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(Drawn(20, 7, "cut"), skip_bad=True)
    good = [i for i in range(20) if i != 7]
    DatasetWriter(tmp_path / "b.beton", FIELDS).from_indexed_dataset(Drawn(20), good)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_an_image_folder_is_written_in_one_call(tmp_path):
    for i, name in enumerate(("ants", "bees")):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "0.jpg").write_bytes(jpeg(drawn(i, 20, 30)))
    fields = {"image": RGBImageField("jpg"), "label": IntField()}
    DatasetWriter(tmp_path / "a.beton", fields).from_image_folder(tmp_path / "images", progress=False)
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [0, 1]


webdataset_leaves_files_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def shards(tmp_path):
    """Two shards of two samples: 0.jpg with its cls and json, and so on."""
    for s in range(2):
        with tarfile.open(tmp_path / f"{s}.tar", "w") as tar:
            for i in (2 * s, 2 * s + 1):
                facts = {"jpg": jpeg(drawn(i, 20, 30)), "cls": str(i % 2).encode(), "json": b'{"n": %d}' % i}
                for suffix, data in facts.items():
                    info = tarfile.TarInfo(f"{i}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    pytest.importorskip("webdataset")
    yield [str(tmp_path / f"{s}.tar") for s in range(2)]
    gc.collect()  # while the warning is expected


@webdataset_leaves_files_open
def test_webdataset_shards_are_written_by_extension_or_through_a_pipeline(tmp_path, shards):
    fields = {"image": RGBImageField("jpg"), "label": IntField(), "facts": JSONField()}
    DatasetWriter(tmp_path / "a.beton", fields).from_webdataset(shards, progress=False)
    reader = Reader(tmp_path / "a.beton")
    assert reader.column("label").tolist() == [0, 1, 0, 1]
    assert reader.values("facts", range(4)) == [{"n": i} for i in range(4)]
    ptr, size = reader.image_table().ptr[3], reader.image_table().size[3]
    assert reader.memory[ptr : ptr + size].tobytes() == jpeg(drawn(3, 20, 30))

    def pipeline(dataset):
        return dataset.decode("pil").to_tuple("jpg", "cls")

    writer = DatasetWriter(tmp_path / "b.beton", FIELDS)
    writer.from_webdataset(shards, pipeline, progress=False)
    assert Reader(tmp_path / "b.beton").column("label").tolist() == [0, 1, 0, 1]


@webdataset_leaves_files_open
def test_faults_of_shards_are_named(tmp_path, shards):
    fields = {"image": RGBImageField(), "score": FloatField()}
    with pytest.raises(UserError, match=r"0\.tar: 0 has jpg, cls, json, none for field 'score' of type float"):
        DatasetWriter(tmp_path / "a.beton", fields).from_webdataset(shards, progress=False)
    with pytest.raises(UserError, match="missing.tar"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset([str(tmp_path / "missing.tar")], progress=False)
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match="bad.tar"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset(str(tmp_path / "bad.tar"), progress=False)
    assert not (tmp_path / "a.beton").exists()


def test_without_webdataset_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(UserError, match="pip install webdataset"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset(["a.tar"])
