"""The writer: files have the bytes that the format prescribes, for any number of workers."""

import gc
import io
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from data_loading import DatasetWriter, Reader
from data_loading.errors import BetonError, ConfigError, SourceError, UserError
from data_loading.fields import BytesField, FloatField, IntField, JSONField, NDArrayField, RGBImageField
from writing import FIELDS, RandomImages, jpeg, random_image, write


def test_header_descriptors_records_and_pages_are_at_the_offsets_of_the_format(tmp_path):
    file = tmp_path / "a.beton"
    write(file, [(random_image(0, 2, 3), 7), (random_image(1, 4, 5), -1)])
    data = file.read_bytes()
    page = 1 << 21
    assert data[:24] == b"".join(v.to_bytes(n, "little") for v, n in ((2, 2), (2, 2), (page, 4), (2, 8), (2 * page, 8)))
    assert data[24:41] == b"\x02image" + bytes(11) and data[24 + 1041 : 41 + 1041] == b"\x01label" + bytes(11)
    start = 24 + 2 * 1041
    # mode 1 (raw), width, height, pointer; 3 bytes of gap; the label
    first = bytes([1]) + b"\3\0\2\0" + page.to_bytes(8, "little") + bytes(3) + (7).to_bytes(8, "little")
    second = bytes([1]) + b"\5\0\4\0" + (page + 18).to_bytes(8, "little") + bytes(3) + b"\xff" * 8
    assert data[start : start + 48] == first + second
    assert data[page : page + 18 + 60] == random_image(0, 2, 3).tobytes() + random_image(1, 4, 5).tobytes()
    assert not any(data[page + 78 : 2 * page])
    table = [int.from_bytes(data[at : at + 8], "little") for at in range(2 * page, len(data), 8)]
    assert table == [0, page, 18, 1, page + 18, 60]


def test_the_file_is_byte_identical_for_one_two_and_three_workers(tmp_path):
    files = [tmp_path / f"{n}.beton" for n in (1, 2, 3)]
    for n, file in enumerate(files, 1):
        write(file, RandomImages(70), num_workers=n)
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()


def test_written_samples_are_read_back(tmp_path):
    dataset = RandomImages(50)
    write(tmp_path / "a.beton", dataset)
    reader = Reader(tmp_path / "a.beton")
    assert len(reader) == 50 and list(reader.fields) == ["image", "label"]
    for i in range(50):
        np.testing.assert_array_equal(reader[i]["image"], dataset[i][0])
        assert reader[i]["label"] == i % 3


def test_indices_select_and_repeat_samples(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", FIELDS)
    writer.from_indexed_dataset(RandomImages(9), indices=[5, 2, 5], progress=False)
    assert Reader(tmp_path / "a.beton").column("label").tolist() == [2, 2, 2]
    assert writer.rows.tolist() == [5, 2, 5]


def test_each_sample_is_stored_on_one_page(tmp_path):
    write(tmp_path / "a.beton", RandomImages(12, side=900))
    table = Reader(tmp_path / "a.beton").image_table()
    pages = table.ptr >> 21
    assert len(set(pages)) > 2
    assert (pages == (table.ptr + table.size - 1) >> 21).all()


def test_pages_grow_for_a_large_sample_and_the_file_equals_one_written_with_that_page_size(tmp_path):
    dataset = [(random_image(i, *side), i) for i, side in enumerate([(9, 9), (700, 700), (1000, 1500), (5, 5)])]
    write(tmp_path / "a.beton", dataset)
    write(tmp_path / "b.beton", dataset, page_size=1 << 23)  # 4.5 MB: the next power of two
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    with pytest.raises(BetonError, match="choose a larger page_size"):
        write(tmp_path / "c.beton", dataset, page_size=1 << 21)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.beton", "b.beton"]


def test_bytes_of_a_jpeg_are_stored_unchanged(tmp_path):
    data = jpeg(random_image(0, 30, 20), quality=70, progressive=True)
    for mode in ("jpg", "keep"):
        write(tmp_path / "a.beton", [(data, 0)], FIELDS | {"image": RGBImageField(mode)})
        reader = Reader(tmp_path / "a.beton")
        table = reader.image_table()
        assert reader.memory[table.ptr[0] : table.ptr[0] + table.size[0]].tobytes() == data
        assert (table.mode[0], table.height[0], table.width[0]) == (0, 30, 20)


def test_raw_mode_stores_the_pixels_of_a_jpeg(tmp_path):
    data = jpeg(random_image(0, 30, 20))
    write(tmp_path / "a.beton", [(data, 0)])
    np.testing.assert_array_equal(Reader(tmp_path / "a.beton")[0]["image"], np.asarray(Image.open(io.BytesIO(data))))


def test_jpg_mode_encodes_pixels_and_keep_mode_does_not(tmp_path):
    smooth = np.linspace(0, 255, 40)[:, None, None] * np.ones((1, 50, 3))
    image = smooth.astype(np.uint8)
    fields = {mode: RGBImageField(mode) for mode in ("jpg", "keep")}
    write(tmp_path / "a.beton", [(image, image)], fields)
    reader = Reader(tmp_path / "a.beton")
    assert reader.image_table("jpg").mode[0] == 0 and reader.image_table("keep").mode[0] == 1
    # At quality 90 the quantisation step of a smooth ramp is at most 3 levels: an error of 1.5, and 1 for rounding.
    assert np.abs(reader[0]["jpg"].astype(int) - image).max() <= 3
    np.testing.assert_array_equal(reader[0]["keep"], image)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 50), (32, 16)), ((50, 100), (16, 32)), ((98, 3), (32, 1)), ((20, 32), (20, 32))]
)
def test_max_resolution_bounds_the_longer_side_and_never_enlarges(tmp_path, size, expected):
    write(tmp_path / "a.beton", [(random_image(0, *size),)], {"image": RGBImageField(max_resolution=32)})
    assert Reader(tmp_path / "a.beton")[0]["image"].shape[:2] == expected


def test_pillow_images_of_any_mode_become_rgb(tmp_path):
    grey = Image.fromarray(random_image(0, 8, 9)).convert("L")
    write(tmp_path / "a.beton", [(grey, 0), (grey.convert("RGBA"), 1)])
    reader = Reader(tmp_path / "a.beton")
    for i in (0, 1):
        np.testing.assert_array_equal(reader[i]["image"], np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ((random_image(0, 2, 2),), "expected a tuple of 2"),
        (random_image(0, 2, 2), "got a single ndarray"),
        ((random_image(0, 2, 2), 3.9), "field 'label': IntField takes integers"),
        ((random_image(0, 2, 2), 1 << 63), "does not fit into a signed 64-bit integer"),
        ((random_image(0, 2, 2).astype(float), 0), "field 'image': an image array must be uint8"),
        ((random_image(0, 2, 2)[..., :2], 0), r"got uint8 \(2, 2, 2\)"),
        (("cat.jpg", 0), "got str"),
        ((np.zeros((1, 65536, 3), np.uint8), 0), "sides up to 65535"),
    ],
)
def test_values_that_do_not_fit_their_field_are_refused(tmp_path, sample, words):
    with pytest.raises(BetonError, match=words):
        write(tmp_path / "a.beton", [sample])
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_of_writers_are_refused(tmp_path):
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
    with pytest.raises(ConfigError, match="they are the same option"):
        RGBImageField("jpg", mode="png")
    with pytest.raises(BetonError, match="is empty"):
        write(tmp_path / "a.beton", [])
    with pytest.raises(BetonError, match="is a folder"):
        write(tmp_path, RandomImages(1))


def test_a_data_set_that_cannot_be_pickled_is_refused_with_several_workers(tmp_path):
    class Local(RandomImages):
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
    image = random_image(0, 9, 7)
    for field in (RGBImageField(write_mode="png"), RGBImageField(mode="png")):
        assert modes(tmp_path / "a.beton", field, [image]) == [2]
        reader = Reader(tmp_path / "a.beton")
        np.testing.assert_array_equal(reader[0]["image"], image)
        ptr, size = reader.image_table().ptr[0], reader.image_table().size[0]
        stream = Image.open(io.BytesIO(reader.memory[ptr : ptr + size].tobytes()))
        np.testing.assert_array_equal(np.asarray(stream), image[..., ::-1])


def test_smart_stores_a_jpeg_above_the_threshold_and_never_without_one(tmp_path):
    images = [random_image(i, 10, width) for i, width in enumerate((9, 10, 11))]  # 270, 300 and 330 bytes
    assert modes(tmp_path / "a.beton", RGBImageField("smart", smart_threshold=300), images) == [1, 1, 0]
    assert modes(tmp_path / "a.beton", RGBImageField("smart"), images) == [1, 1, 1]
    reduced = RGBImageField(
        "smart", smart_threshold=300, max_resolution=10
    )  # the threshold applies to the downscaled image, 10 x 9
    assert modes(tmp_path / "a.beton", reduced, images) == [1, 1, 1]


def test_smart_does_not_encode_a_jpeg_that_it_does_not_store(tmp_path, monkeypatch):
    monkeypatch.setattr("data_loading.beton.images.encode_jpeg", lambda *_: pytest.fail("encoded for nothing"))
    assert modes(tmp_path / "a.beton", RGBImageField("smart", smart_threshold=10**6), [random_image(0, 9, 9)]) == [1]


def test_proportion_samples_by_row_so_that_the_number_of_workers_does_not_matter(tmp_path):
    images = [random_image(i, 4, 4) for i in range(400)]
    field = RGBImageField("proportion", compress_probability=0.25)
    one = modes(tmp_path / "1.beton", field, images)
    assert modes(tmp_path / "2.beton", field, images, workers=2) == one
    assert (tmp_path / "1.beton").read_bytes() == (tmp_path / "2.beton").read_bytes()
    assert 65 <= one.count(0) <= 135  # 100 expected, 4 standard deviations of 8.7
    assert modes(tmp_path / "1.beton", RGBImageField("proportion", seed=1), images) != one
    for probability, mode in ((0, 1), (1, 0)):
        field = RGBImageField("proportion", compress_probability=probability)
        assert set(modes(tmp_path / "1.beton", field, images)) == {mode}


def test_a_jpeg_that_exif_rotates_is_stored_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(
        tmp_path / "a.beton", [(jpeg(random_image(0, 20, 30), exif=exif), 0)], FIELDS | {"image": RGBImageField("jpg")}
    )
    assert Reader(tmp_path / "a.beton")[0]["image"].shape == (30, 20, 3)


# Other entry points: shuffled indices, streams, folders, webdataset.


def test_shuffling_depends_on_the_seed_and_does_not_modify_the_callers_indices(tmp_path):
    orders, indices = [], list(range(30))
    for seed in (0, 0, 1):
        writer = DatasetWriter(tmp_path / "a.beton", {"n": IntField()})
        writer.from_indexed_dataset([(i,) for i in range(30)], indices, shuffle_indices=True, seed=seed)
        orders.append(Reader(tmp_path / "a.beton").column("n").tolist())
        assert orders[-1] == writer.rows.tolist()
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2]) == indices == list(range(30))


@pytest.mark.parametrize("n", [1, 3, 1024, 2500])
def test_a_stream_of_unknown_length_gives_the_file_of_the_indexed_data_set(tmp_path, n):
    fields = {"image": RGBImageField(), "blob": BytesField(), "array": NDArrayField("<u8", (2,)), "n": IntField()}
    samples = [(random_image(i, 9, 9), bytes(i % 3), np.full(2, i, "<u8"), i) for i in range(n)]
    write(tmp_path / "a.beton", samples, fields)
    named = ((f"sample {i}", sample) for i, sample in enumerate(samples))
    DatasetWriter(tmp_path / "b.beton", fields, num_workers=2).from_samples(named, progress=False)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_pages_move_if_more_samples_were_added_than_expected(tmp_path):
    fields = {f"n{k}": IntField() for k in range(100)} | {
        "image": RGBImageField()
    }  # 1,024 records of 816 bytes fill a page
    samples = [(*range(100), random_image(i, 30, 40)) for i in range(6000)]
    write(tmp_path / "a.beton", samples, fields)
    DatasetWriter(tmp_path / "b.beton", fields).from_samples((("", sample) for sample in samples), progress=False)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    np.testing.assert_array_equal(Reader(tmp_path / "b.beton").value("image", 5999), samples[5999][-1])


def test_a_file_that_skips_bad_samples_equals_a_file_of_the_good_samples(tmp_path):
    DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(RandomImages(20, 7, "cut"), skip_bad=True)
    good = [i for i in range(20) if i != 7]
    DatasetWriter(tmp_path / "b.beton", FIELDS).from_indexed_dataset(RandomImages(20), good)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_an_image_folder_is_written_in_one_call(tmp_path):
    for i, name in enumerate(("ants", "bees")):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "0.jpg").write_bytes(jpeg(random_image(i, 20, 30)))
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
                facts = {"jpg": jpeg(random_image(i, 20, 30)), "cls": str(i % 2).encode(), "json": b'{"n": %d}' % i}
                for suffix, data in facts.items():
                    info = tarfile.TarInfo(f"{i}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    pytest.importorskip("webdataset")
    yield [str(tmp_path / f"{s}.tar") for s in range(2)]
    gc.collect()  # while the filter for its warning is active


@webdataset_leaves_files_open
def test_webdataset_shards_are_written_by_extension_or_through_a_pipeline(tmp_path, shards):
    fields = {"image": RGBImageField("jpg"), "label": IntField(), "facts": JSONField()}
    DatasetWriter(tmp_path / "a.beton", fields).from_webdataset(shards, progress=False)
    reader = Reader(tmp_path / "a.beton")
    assert reader.column("label").tolist() == [0, 1, 0, 1]
    assert reader.values("facts", range(4)) == [{"n": i} for i in range(4)]
    ptr, size = reader.image_table().ptr[3], reader.image_table().size[3]
    assert reader.memory[ptr : ptr + size].tobytes() == jpeg(random_image(3, 20, 30))

    def pipeline(dataset):
        return dataset.decode("pil").to_tuple("jpg", "cls")

    writer = DatasetWriter(tmp_path / "b.beton", FIELDS)
    writer.from_webdataset(shards, pipeline, progress=False)
    assert Reader(tmp_path / "b.beton").column("label").tolist() == [0, 1, 0, 1]


@webdataset_leaves_files_open
def test_errors_in_shards_name_the_shard_and_the_field(tmp_path, shards):
    fields = {"image": RGBImageField(), "score": FloatField()}
    with pytest.raises(UserError, match=r"0\.tar: 0 has jpg, cls, json, none for field 'score' of type float"):
        DatasetWriter(tmp_path / "a.beton", fields).from_webdataset(shards, progress=False)
    with pytest.raises(UserError, match="missing.tar"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset([str(tmp_path / "missing.tar")], progress=False)
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match="bad.tar"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset(str(tmp_path / "bad.tar"), progress=False)
    assert not (tmp_path / "a.beton").exists()


def test_without_webdataset_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(UserError, match="pip install webdataset"):
        DatasetWriter(tmp_path / "a.beton", FIELDS).from_webdataset(["a.tar"])


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_shard_with_a_file_that_is_too_large_unpacked_is_refused_before_it_is_read(
    tmp_path, monkeypatch, kind
):
    pytest.importorskip("webdataset")
    monkeypatch.setattr("data_loading.sources.dataset_writer.MOST_BYTES", 2**20)
    shard = tmp_path / f"a.tar.{kind}"
    with tarfile.open(shard, f"w:{kind}") as tar:
        large = tarfile.TarInfo("0.jpg")
        large.size = 2**20 + 1
        tar.addfile(large, io.BytesIO(bytes(large.size)))
    writer = DatasetWriter(tmp_path / "a.beton", {"image": RGBImageField()})
    with pytest.raises(SourceError, match=r"0\.jpg takes 0\.0 GiB unpacked; a file of a shard may take 1 GiB"):
        writer.from_webdataset([str(shard)], progress=False)
    assert not (tmp_path / "a.beton").exists()
