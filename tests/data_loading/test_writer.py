"""The writer: the bytes that the format asks for, the same for any number of workers, and nothing half-written."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from data_loading import DatasetWriter, Reader
from data_loading.errors import BetonError, ConfigError, DecodeError
from data_loading.fields import IntField, RGBImageField
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


def test_unreadable_images_are_left_out_on_request(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", FIELDS)
    writer.from_indexed_dataset(Drawn(20, 7, "cut"), progress=False, skip_bad=True)
    assert writer.rows.tolist() == [i for i in range(20) if i != 7]
    assert len(writer.skipped) == 1 and writer.skipped[0].startswith("sample 7: ")
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [i % 3 for i in range(20) if i != 7]


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
    with pytest.raises(ConfigError, match="write_mode is 'png'"):
        RGBImageField("png")
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
