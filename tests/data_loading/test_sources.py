"""Sources: folders, zips and arrays give classes, labels and Pillow's pixels; the cache; ambiguous input is refused."""

import io
import json
import multiprocessing
import os
import pickle
import queue
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps, features
from sklearn.datasets import load_digits

from data_loading import DatasetWriter, Loader, Reader, sources
from data_loading.errors import SourceError
from data_loading.fields import FloatField, IntField, RGBImageField
from data_loading.sources.cached import _exclusive
from data_loading.sources.index import read_index
from helpers import test_data


def random_image(seed=0, height=20, width=30):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def by_pillow(path):
    """Pixels of the file's first image, uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


@pytest.fixture
def classes(tmp_path):
    """ants: 3 JPEG, bees: 2 PNG."""
    root = tmp_path / "images"
    for label, (name, count, suffix) in enumerate((("ants", 3, "jpg"), ("bees", 2, "png"))):
        (root / name).mkdir(parents=True)
        for i in range(count):
            random_image(10 * label + i).save(root / name / f"{i}.{suffix}")
    return root


def test_sub_folders_are_classes_in_the_order_of_their_names(classes):
    source = sources.open(str(classes))
    assert source.classes == ["ants", "bees"] and source.labels.tolist() == [0, 0, 0, 1, 1]
    assert source.paths == ["ants/0.jpg", "ants/1.jpg", "ants/2.jpg", "bees/0.png", "bees/1.png"]
    assert list(source.fields()) == ["image", "label"]
    assert source[0] == ((classes / "ants/0.jpg").read_bytes(), 0)
    image, label = source[4]
    np.testing.assert_array_equal(image, np.asarray(random_image(11)))
    assert label == 1


def test_images_without_sub_folders_have_no_labels(classes):
    source = sources.open(classes / "bees")
    assert source.classes is None and source.labels is None and len(source[0]) == 1
    assert list(source.fields()) == ["image"]


def test_hidden_files_other_files_and_folders_without_images_are_ignored(classes):
    (classes / ".cache").mkdir()
    random_image().save(classes / ".cache" / "x.jpg")
    random_image().save(classes / "ants" / ".hidden.jpg")
    (classes / "ants" / "notes.txt").write_text("no image")
    (classes / "also").mkdir()
    (classes / "readme.md").write_text("no image")
    assert sources.open(classes).paths == [f"ants/{i}.jpg" for i in range(3)] + ["bees/0.png", "bees/1.png"]


def test_images_may_be_nested_deeper_within_a_class(classes):
    (classes / "ants" / "more").mkdir()
    random_image(5).save(classes / "ants" / "more" / "9.PNG")
    assert sources.open(classes).paths[3] == "ants/more/9.PNG"


FORMATS = {"bmp": "RGB", "webp": "RGB", "tif": "RGB", "png": "P", "gif": "P", "tiff": "CMYK", "PNG": "LA"}


@pytest.mark.parametrize(("suffix", "kind"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("jp2", "JPEG2000"), ("avif", "AVIF")])
def test_rarer_suffixes_of_images_are_read(tmp_path, suffix, kind):
    if not features.check({"JPEG2000": "jpg_2000", "AVIF": "avif"}.get(kind, "jpg")):
        pytest.skip(f"this Pillow has no {kind}")
    random_image().save(tmp_path / f"a.{suffix}", kind)
    reader = Reader(sources.as_beton(tmp_path, cache=tmp_path / "cache", progress=False))
    np.testing.assert_array_equal(reader[0]["image"], by_pillow(tmp_path / f"a.{suffix}"))


def test_class_folders_without_an_image_that_is_read_are_named(classes, tmp_path, caplog):
    for name, file in (("cats", "a.heic"), ("dogs", "b.svg")):
        (classes / name).mkdir()
        (classes / name / file).write_bytes(b"x")
    (classes / "empty").mkdir()
    assert sources.open(classes).classes == ["ants", "bees"]
    words = "folders without images that can be read are no classes: cats (.heic), dogs (.svg)"
    assert f"{words}, empty (empty)" in caplog.text
    caplog.clear()
    assert sources.open(zipped(classes, tmp_path / "a.zip")).classes == ["ants", "bees"]
    assert words in caplog.text


def test_links_that_lead_back_are_not_followed_and_each_real_folder_is_read_once(classes):
    (classes / "ants" / "up").symlink_to("..")
    (classes / "ants" / "further_up").symlink_to("../..")
    (classes / "ants" / "here").symlink_to(".")
    (classes / "self").symlink_to(".")
    (classes / "round").symlink_to("round")
    (classes / "bees" / "round").symlink_to("round")
    assert sources.open(classes).paths == [f"ants/{i}.jpg" for i in range(3)] + ["bees/0.png", "bees/1.png"]
    elsewhere = classes.parent / "elsewhere"
    elsewhere.mkdir()
    random_image().save(elsewhere / "9.png")
    for name in ("a", "b"):
        (classes / "bees" / name).symlink_to(elsewhere)
    assert [path for path in sources.open(classes).paths if "9" in path] == ["bees/a/9.png"]


def test_a_name_that_is_no_utf_8_is_shown_escaped(tmp_path):
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / "caf\udce9.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"caf\\xe9\.png: not a readable image"):
        as_beton(folder, tmp_path)


@pytest.mark.parametrize(("suffix", "mode"), FORMATS.items())
def test_other_formats_give_the_pixels_that_pillow_reads(tmp_path, suffix, mode):
    options = {"lossless": True} if suffix == "webp" else {}
    random_image().convert(mode).save(tmp_path / f"a.{suffix}", **options)
    (image,) = sources.open(tmp_path)[0]
    np.testing.assert_array_equal(image, by_pillow(tmp_path / f"a.{suffix}"))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    image = random_image().convert("P")
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    np.testing.assert_array_equal(sources.open(tmp_path)[0][0], np.asarray(image.convert("RGB")))


def test_the_format_is_detected_from_the_content_not_the_name(tmp_path):
    random_image(1).save(tmp_path / "png.jpg", "PNG")
    random_image(2).save(tmp_path / "really.png", "JPEG")
    source = sources.open(tmp_path)
    np.testing.assert_array_equal(source[0][0], np.asarray(random_image(1)))
    assert source[1][0] == (tmp_path / "really.png").read_bytes()


def test_a_jpeg_that_exif_rotates_is_stored_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    random_image().save(tmp_path / "a.jpg", exif=exif)
    (image,) = sources.open(tmp_path)[0]
    turned = np.rot90(by_pillow(tmp_path / "a.jpg"), -1)
    np.testing.assert_array_equal(image, turned)
    reader = Reader(sources.as_beton(tmp_path, cache=tmp_path / "cache", progress=False))
    assert reader.image_table().mode.tolist() == [1] and reader[0]["image"].shape == (30, 20, 3)


def test_a_jpeg_with_harmless_tags_keeps_its_bytes(tmp_path):
    for name, value in (("upright", 1), ("unknown", 0), ("nonsense", 99)):
        exif = Image.Exif()
        exif[0x0112] = value
        random_image().save(tmp_path / f"{name}.jpg", exif=exif)
    assert all(isinstance(image, bytes) for (image,) in sources.open(tmp_path))


def test_a_cmyk_jpeg_is_decoded_and_a_grey_jpeg_keeps_its_bytes(tmp_path):
    random_image().convert("CMYK").save(tmp_path / "cmyk.jpg")
    random_image().convert("L").save(tmp_path / "grey.jpg")
    source = sources.open(tmp_path)
    np.testing.assert_array_equal(source[0][0], by_pillow(tmp_path / "cmyk.jpg"))
    assert isinstance(source[1][0], bytes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "there is no such folder"),
        (lambda root: root.mkdir(), "has no images"),
        (lambda root: root.write_text("x"), "is not a folder of images or a .zip, .npz or .beton file"),
        (lambda root: [(root / "a").mkdir(parents=True), random_image().save(root / "a/1.png"),
                       random_image().save(root / "2.png")],
         "both images .2.png, .* and sub-folders"),
        (lambda root: [(root / "train/a").mkdir(parents=True), random_image().save(root / "train/a/1.png")],
         "has the splits train; give one of them"),
    ],
)  # fmt: skip
def test_ambiguous_or_empty_folders_are_refused(tmp_path, make, words):
    make(tmp_path / "it")
    with pytest.raises(SourceError, match=words):
        sources.open(tmp_path / "it")


def test_digits_are_scikit_learns_split_into_train_and_test():
    digits = load_digits()
    train, test = (sources.open("digits", split) for split in ("train", "test"))
    assert (len(train), len(test), len(sources.open("digits"))) == (1437, 360, 1797)
    image, label = test[0]
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8 and label == digits.target[1437]
    np.testing.assert_array_equal(image[..., 1], np.rint(digits.images[1437] * 255 / 16))
    np.testing.assert_array_equal(train[1436][0][..., 2], np.rint(digits.images[1436] * 255 / 16))
    with pytest.raises(SourceError, match="no split 'val'"):
        sources.open("digits", "val")
    with pytest.raises(SourceError, match="is only for digits"):
        sources.open("folder", "train")


def test_transposed_images_give_pillows_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 5  # mirrored and rotated
    random_image().convert("L").save(tmp_path / "c.png", exif=exif)
    random_image().save(tmp_path / "d.jpg", exif=exif, progressive=True)
    source = sources.open(tmp_path)
    for i, path in enumerate(sorted(tmp_path.iterdir())):
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(source[i][0], expected)
    assert source[1][0].shape == (30, 20, 3)


@pytest.mark.parametrize("options", [{"progressive": True}, {"mode": "L"}, {"subsampling": 0}, {"optimize": True}])
def test_upright_jpegs_of_every_kind_keep_their_bytes_and_decode_as_pillow_does(tmp_path, options):
    image = random_image().convert(options.pop("mode", "RGB"))
    image.save(tmp_path / "a.jpg", **options)
    reader = Reader(sources.as_beton(tmp_path, cache=tmp_path / "cache", progress=False))
    table = reader.image_table()
    stored = reader.memory[table.ptr[0] : table.ptr[0] + table.size[0]].tobytes()
    assert stored == (tmp_path / "a.jpg").read_bytes()
    np.testing.assert_array_equal(reader[0]["image"], by_pillow(tmp_path / "a.jpg"))


# Zips.


def zipped(folder, path, below=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for image in sorted(folder.rglob("*.*")):
            file.write(image, below + str(image.relative_to(folder)))
    return path


def test_a_zip_of_a_folder_gives_the_samples_of_the_folder(classes, tmp_path):
    (classes / ".hidden.png").write_bytes(b"x")
    (classes / "notes.txt").write_text("no image")
    folder = sources.open(classes)
    for below in ("", "images/"):
        source = sources.open(zipped(classes, tmp_path / "a.zip", below))
        assert (source.paths, source.classes, source.labels.tolist()) == (folder.paths, folder.classes, [0, 0, 0, 1, 1])
        for i in range(5):
            found, expected = source[i][0], folder[i][0]
            assert found == expected if isinstance(expected, bytes) else np.array_equal(found, expected)
        assert source.name(3) == f"{tmp_path}/a.zip/{below}bees/0.png"


def test_a_zip_is_read_by_worker_processes_and_its_fingerprint_depends_on_its_content(classes, tmp_path):
    for i in range(40):
        random_image(i).save(classes / "bees" / f"more{i}.png")
    source = sources.open(zipped(classes, tmp_path / "a.zip"))
    files = []
    for workers in (1, 2):
        writer = DatasetWriter(tmp_path / f"{workers}.beton", source.fields(), num_workers=workers)
        files.append(writer.from_indexed_dataset(source, progress=False).read_bytes())
    assert files[0] == files[1]
    os.utime(zipped(classes, tmp_path / "b.zip"), ns=(1, 1))
    assert sources.open(tmp_path / "b.zip").fingerprint() == source.fingerprint()
    random_image(99).save(classes / "bees" / "0.png")
    assert sources.open(zipped(classes, tmp_path / "b.zip")).fingerprint() != source.fingerprint()


def test_a_split_of_a_zip_can_be_chosen(classes, tmp_path):
    (tmp_path / "root").mkdir()
    classes.rename(tmp_path / "root" / "train")
    zipped(tmp_path / "root", tmp_path / "one.zip")
    assert sources.open(tmp_path / "one.zip", "train").classes == ["ants", "bees"]
    (tmp_path / "root" / "test" / "ants").mkdir(parents=True)
    random_image(3).save(tmp_path / "root" / "test" / "ants" / "7.png")
    zipped(tmp_path / "root", tmp_path / "two.zip")
    with pytest.raises(SourceError, match="two.zip has the splits test, train; .*--split test"):
        sources.open(tmp_path / "two.zip")
    assert sources.open(tmp_path / "two.zip", "test").paths == ["ants/7.png"]
    with pytest.raises(SourceError, match="has no folder 'val'"):
        sources.open(tmp_path / "two.zip", "val")


def test_damaged_zips_are_errors_that_name_the_file(classes, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    for name, words in (("bad.zip", "is not a readable .zip file"), ("none.zip", "no such file")):
        with pytest.raises(SourceError, match=words):
            sources.open(tmp_path / name)
    data = bytearray(zipped(classes, tmp_path / "a.zip").read_bytes())
    data[200:260] = bytes(60)  # within the first image
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.zip/ants/0\.jpg: cannot be read"):
        sources.as_beton(tmp_path / "a.zip", cache=tmp_path / "cache", progress=False)


def test_a_zip_with_backslashes_has_class_folders(classes, tmp_path):
    """As some programs of Windows write it."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in sorted(classes.rglob("*.*")):
            entry = zipfile.ZipInfo("x")
            entry.filename = "top\\" + str(path.relative_to(classes)).replace("/", "\\")
            file.writestr(entry, path.read_bytes())
    source, folder = sources.open(tmp_path / "a.zip"), sources.open(classes)
    assert source.classes == ["ants", "bees"] and source.paths == folder.paths
    np.testing.assert_array_equal(source[4][0], folder[4][0])


def test_an_image_that_would_take_a_gibibyte_unpacked_is_refused_by_the_directory_of_the_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("cat/a.bmp", "dog/b.bmp"):
            with file.open(name, "w", force_zip64=True) as entry:
                entry.write(b"BM")
        for entry in file.infolist():
            entry.file_size = 2**30 + 1  # what the directory says
    tracemalloc.start()
    with pytest.raises(SourceError, match=r"cat/a.bmp: takes 1.0 GiB unpacked; an image file may take 1 GiB"):
        as_beton(tmp_path / "a.zip", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_the_zip_of_cifar10_has_its_splits_and_classes():
    source = sources.open(test_data("data", "cifar10", "cifar10_jpeg.zip"), "test")
    assert len(source) == 10_000 and source.classes[0] == "airplane" and (np.bincount(source.labels) == 1000).all()
    assert source[0][0][:2] == b"\xff\xd8"


# Arrays.


def test_npz_arrays_in_grey_or_colour_give_images(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    for name, images in (("colour", colour), ("grey", colour[..., 0]), ("one", colour[..., :1])):
        np.savez(tmp_path / f"{name}.npz", x=images, y=np.arange(4, dtype=np.int16))
        source = sources.open(tmp_path / f"{name}.npz")
        expected = images if name == "colour" else np.repeat(colour[..., :1], 3, axis=3)
        for i in range(4):
            np.testing.assert_array_equal(source[i][0], expected[i])
            assert source[i][1] == i
        assert source.classes == ["0", "1", "2", "3"] and source.name(2) == f"{tmp_path}/{name}.npz: x[2]"
        again = pickle.loads(pickle.dumps(source))
        assert again._images is None and np.array_equal(again[3][0], expected[3])
    assert source.fingerprint() != sources.open(tmp_path / "colour.npz").fingerprint()


def test_npz_splits_and_class_names(tmp_path):
    images = np.zeros((2, 3, 3, 3), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x_train=images, y_train=[0, 1], x_test=images[:1], y_test=[1],
                        classes=np.array(["cat", "dog"]))  # fmt: skip
    assert sources.open(tmp_path / "a.npz", "train").classes == ["cat", "dog"]
    assert sources.open(tmp_path / "a.npz", "test").labels.tolist() == [1]
    with pytest.raises(
        SourceError, match="has no array named images, .*; choose test or train: .*FILE.beton --split test"
    ):
        sources.open(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", data=images)
    assert sources.open(tmp_path / "b.npz").labels is None


@pytest.mark.parametrize(("images", "labels"), [("x_{}", "y_{}"), ("{}_images", "{}_labels")])  # Keras, MedMNIST
def test_npz_files_of_keras_and_medmnist_have_splits_and_labels_in_a_column(tmp_path, images, labels):
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[images.format(split)] = np.full((n, 6, 6), n, np.uint8)
        arrays[labels.format(split)] = np.arange(n)[:, None] % 2
    np.savez(tmp_path / "a.npz", **arrays)
    source = sources.open(tmp_path / "a.npz", "test")
    assert source.labels.tolist() == [0, 1, 0] and source[0][0].shape == (6, 6, 3) and (source[0][0] == 3).all()
    with pytest.raises(SourceError, match="choose test or train or val: massrl data write .* --split test"):
        sources.open(tmp_path / "a.npz")


def test_a_split_of_an_npz_that_lacks_the_last_class_has_the_classes_of_the_others(tmp_path):
    images = np.zeros((3, 6, 6), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=[0, 1, 2], x_test=images[:2], y_test=[0, 1])
    assert [sources.open(tmp_path / "a.npz", split).classes for split in ("train", "test")] == [["0", "1", "2"]] * 2


def test_npz_arrays_that_do_not_fit_into_memory_are_refused_by_the_directory_of_the_file(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((64, 512, 512), np.uint8))  # 16 MiB, 16 KiB in the file
    monkeypatch.setattr("data_loading.sources.arrays.free_memory", lambda: 2**23)
    with pytest.raises(SourceError, match="x takes 0.0 GiB unpacked, and 0.0 GiB of memory are free; save it in"):
        sources.open(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 3, 8, 8), np.uint8)}, r"it is uint8 \(2, 3, 8, 8\); convert it"),
        ({"x": np.zeros((2, 8, 8, 3))}, "it is float64"),
        ({"x": np.zeros((2, 8, 8), np.uint8), "y": np.zeros(3, int)}, "labels must be 2 integers"),
        ({"x": np.zeros((2, 8, 8), np.uint8), "y": np.zeros(2)}, "labels must be 2 integers"),
        ({"x": np.array([None, 1])}, "is not a .npz file of plain arrays"),
        ({"z": np.zeros(2)}, "has no array named images, x, X, data; it has z"),
    ],
)
def test_npz_arrays_that_are_not_images_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SourceError, match=words):
        sources.open(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("word", "options", "words"),
    [
        ("cifar10", {"root": "r"}, "no split was given; choose train or test: .* --split train --root r"),
        ("cifar10", {"root": "r", "split": "val"}, "no split 'val'"),
        (
            "cifar100",
            {"split": "train"},
            "the folder of its files, .*: massrl data write cifar100 FILE.beton --split train --root FOLDER",
        ),
        ("imagenet", {"split": "val", "root": "r"}, "imagenet cannot be read from or downloaded to r: .*archive"),
        ("cifar01", {}, "Did you mean 'cifar10'?"),
        ("fashionmnist", {}, "Did you mean 'fashion_mnist'?"),
        ("digits", {"root": "r"}, "root=r is only for cifar10, cifar100"),
        ("a-000.tar", {}, "DatasetWriter.from_webdataset"),
    ],
)
def test_wrong_names_splits_and_roots_are_refused(word, options, words):
    with pytest.raises(SourceError, match=words):
        sources.open(word, **options)


# The cache.


def as_beton(root, tmp_path, **options):
    return sources.as_beton(root, cache=tmp_path / "cache", progress=False, **options)


def test_a_folder_is_written_once_and_reused_until_it_changes(classes, tmp_path):
    file = as_beton(classes, tmp_path)
    inode = file.stat().st_ino
    assert as_beton(classes, tmp_path) == file and file.stat().st_ino == inode
    random_image(7).save(classes / "bees" / "new.png")
    assert as_beton(classes, tmp_path) == file and file.stat().st_ino != inode
    reader = Reader(file)
    assert reader.column("label").tolist() == [0, 0, 0, 1, 1, 1]
    index = read_index(file)
    assert index["classes"] == ["ants", "bees"] and index["labels"] == reader.column("label").tolist()
    assert index["paths"][-1] == "bees/new.png"
    np.testing.assert_array_equal(reader[5]["image"], np.asarray(random_image(7)))


def test_an_image_changed_in_place_is_noticed(classes, tmp_path):
    file = as_beton(classes, tmp_path)
    random_image(50).save(classes / "bees" / "0.png")
    os.utime(classes / "bees" / "0.png", ns=(1, 1))  # only the modification time is sure to differ
    np.testing.assert_array_equal(Reader(as_beton(classes, tmp_path))[3]["image"], np.asarray(random_image(50)))
    assert as_beton(classes, tmp_path) == file


def test_a_damaged_cache_is_written_again(classes, tmp_path):
    file = as_beton(classes, tmp_path)
    for damage in (lambda: file.unlink(), lambda: file.write_bytes(b"x"), lambda: (file.parent / "index.json").unlink(),
                   lambda: (file.parent / "index.json").write_text("{")):  # fmt: skip
        damage()
        assert len(Reader(as_beton(classes, tmp_path))) == 5


def test_a_beton_file_is_returned_unchanged(classes, tmp_path):
    file = as_beton(classes, tmp_path)
    assert as_beton(file, tmp_path) == file
    with pytest.raises(SourceError, match="no such file"):
        as_beton(tmp_path / "not.beton", tmp_path)


def test_subsets_of_a_folder_are_cached_in_separate_files(classes, tmp_path):
    train, test = as_beton(classes, tmp_path, subset="train", indices=[0, 2, 4]), as_beton(
        classes, tmp_path, subset="test", indices=[1, 3])  # fmt: skip
    assert train != test
    assert Reader(train).column("label").tolist() == [0, 0, 1] and Reader(test).column("label").tolist() == [0, 1]
    assert read_index(test)["paths"] == ["ants/1.jpg", "bees/0.png"]


def test_an_unreadable_image_is_named_or_skipped_and_counted(classes, tmp_path, caplog):
    data = (classes / "ants" / "1.jpg").read_bytes()
    (classes / "ants" / "1.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"ants/1\.jpg: not a readable .*after 1 of 5 samples.*--skip-bad"):
        as_beton(classes, tmp_path)
    assert not list((tmp_path / "cache").rglob("*beton*"))
    file = as_beton(classes, tmp_path, skip_bad=True)
    assert Reader(file).column("label").tolist() == [0, 0, 1, 1]
    assert read_index(file)["paths"] == ["ants/0.jpg", "ants/2.jpg", "bees/0.png", "bees/1.png"]
    assert "left out 1 unreadable" in caplog.text and "ants/1.jpg" in caplog.text
    with pytest.raises(
        SourceError, match=r"ants/1\.jpg"
    ):  # a cached file with skipped images is not used without skip_bad
        as_beton(classes, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_files_that_are_not_images_are_named(tmp_path, content):
    root = tmp_path / "it"
    root.mkdir()
    random_image().save(root / "a.png")
    (root / "b.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"it/b\.png: (the file is empty|not a readable (PNG )?image)"):
        as_beton(root, tmp_path)


def _ask(root, cache, results):
    results.put("started")
    results.put(str(sources.as_beton(root, cache=cache, progress=False)))


def test_processes_wait_for_the_one_that_writes(classes, tmp_path):
    file = as_beton(classes, tmp_path)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_ask, args=(classes, tmp_path / "cache", results)) for _ in range(2)]
    with _exclusive(file.parent / "lock"):  # as the process that writes does
        for process in processes:
            process.start()
        assert [results.get(timeout=60) for _ in processes] == ["started"] * 2
        with pytest.raises(queue.Empty):
            results.get(timeout=0.5)
    assert [results.get(timeout=60) for _ in processes] == [str(file)] * 2
    for process in processes:
        process.join()
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(left) == ["data.beton", "index.json", "lock"]


def test_the_cache_is_readable_json(classes, tmp_path):
    text = as_beton(classes, tmp_path).with_name("index.json").read_text()
    assert set(json.loads(text)) == {"fingerprint", "bytes", "table", "classes", "skipped", "paths", "labels"}


# The index beside a written file.


class Kinds:
    """A data set as torchvision's: images, labels and `classes`."""

    classes = ("cat", "dog")

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return random_image(i), i % 2


def written(path, dataset=None):
    DatasetWriter(path, {"image": RGBImageField(), "label": IntField()}).from_indexed_dataset(dataset or Kinds())
    return path


@pytest.mark.parametrize("name", ["train.beton", "data.beton"])  # the second is also the name in the cache
def test_a_written_file_keeps_the_class_names_of_its_data_set(tmp_path, name):
    assert read_index(written(tmp_path / name))["classes"] == ["cat", "dog"]


def test_a_data_set_without_class_names_has_no_index(tmp_path):
    assert read_index(written(tmp_path / "a.beton", [Kinds()[i] for i in range(4)])) is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.beton"]


@pytest.mark.parametrize(
    "content", ["[]", "1", "{", "[" * 100_000, "{}", '{"classes": "ab"}', "\xff", '{"classes": ["a", "b"], "bytes": 1}']
)
def test_an_index_that_is_not_ours_is_not_read(tmp_path, content):
    file = written(tmp_path / "data.beton")
    size = file.stat().st_size
    ours = {"bytes": size, "classes": ["a", "b"], "paths": None, "labels": None}
    for name in ("data.index.json", "index.json"):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert read_index(file) is None
    for wrong in ({"classes": "ab"}, {"classes": [0, 1]}, {"paths": 3}, {"labels": ["a"]}, {"bytes": size + 1}):
        (tmp_path / "index.json").write_text(json.dumps({**ours, **wrong}))
        assert read_index(file) is None
    (tmp_path / "index.json").write_text(json.dumps(ours))
    assert read_index(file)["classes"] == ["a", "b"]  # as massrl 0.2 wrote it


def test_an_index_of_another_file_of_the_same_size_is_not_read(tmp_path):
    file = written(tmp_path / "a.beton")
    size = file.stat().st_size
    DatasetWriter(file, {"image": RGBImageField(), "label": IntField()}).from_indexed_dataset(
        [(image, 1 - label) for image, label in (Kinds()[i] for i in range(4))]
    )
    assert file.stat().st_size == size and read_index(file) is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [({"y": IntField()}, 1, "its int field y is not read as labels"),
     ({"label": FloatField()}, 1.0, "its field label is of type float, not int")],
)  # fmt: skip
def test_a_field_that_is_meant_as_labels_and_is_not_read_so_is_said_once(tmp_path, caplog, field, value, says):
    file = tmp_path / "a.beton"
    DatasetWriter(file, {"image": RGBImageField(), **field}).from_indexed_dataset([(random_image(), value)] * 2)
    for _ in range(2):
        assert next(iter(Loader(file, 2, size=8, order="sequential"))).labels.tolist() == [-1, -1]
    assert caplog.text.count(says) == 1


# The split.


def test_the_split_takes_a_fifth_of_each_class_and_is_pinned():
    labels = np.repeat([0, 1, 2], [10, 5, 2])
    train, test = sources.split_indices(labels)
    assert sorted([*train, *test]) == list(range(17))
    assert np.bincount(labels[test]).tolist() == [2, 1, 1] and (np.diff(train) > 0).all()
    assert test.tolist() == GOLDEN
    assert sources.split_indices(labels, seed=1)[1].tolist() != GOLDEN


GOLDEN = [0, 2, 11, 16]  # pinned: a changed split would put test images of earlier runs into training


def test_the_split_of_a_flat_folder_takes_a_tenth():
    train, test = sources.split_indices(50)
    assert len(test) == 5 and len(train) == 45
    assert [len(part) for part in sources.split_indices(2, 0.9)] == [1, 1]


def test_a_class_of_one_image_cannot_be_split():
    with pytest.raises(SourceError, match="class 1 has only one image"):
        sources.split_indices(np.array([0, 0, 1]))
    with pytest.raises(SourceError, match="between 0 and 1"):
        sources.split_indices(10, 1.0)


def test_mpo_files_of_cameras_keep_their_bytes(tmp_path):
    file = io.BytesIO()
    random_image(0).save(file, "MPO", save_all=True, append_images=[random_image(1)])
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert sources.open(tmp_path)[0][0] == file.getvalue()
    np.testing.assert_array_equal(
        Reader(sources.as_beton(tmp_path, cache=tmp_path / "cache", progress=False))[0]["image"],
        by_pillow(tmp_path / "a.jpg"),
    )


def test_an_empty_name_is_not_the_current_folder(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("a.png")
    for call in (sources.as_beton, sources.open):
        with pytest.raises(SourceError, match="is empty; name a folder"):
            call("")
    assert not (tmp_path / "runs").exists()
