"""What cannot be evaluated is refused in one line before the work that would take long: features and trainings."""

import numpy as np
import pytest
import torch
from PIL import Image

import massrl
from data_loading import DatasetWriter
from data_loading.errors import CheckpointError, ConfigError, SourceError
from data_loading.fields import IntField, RGBImageField
from data_loading.sources.folder import Folder
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.options import check_ending, check_options


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A folder of 16 generated images in two classes, and a checkpoint of two steps on it."""
    folder = tmp_path_factory.mktemp("sample")
    images = sample_folder(folder)
    return images, sample_checkpoint(folder, images)


@pytest.fixture
def no_features(monkeypatch):
    """Extracting features, or a step of a classifier, is an error."""

    def work(*args, **kwargs):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("massrl.evaluation.rows.extract_layers", work)
    monkeypatch.setattr("massrl.evaluation.classify.running.Job.fit", work)


def part_of(images, folder, classes):
    """A folder with some class folders of `images`."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for file in (images / name).iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    return folder


def test_more_neighbours_than_images(sample, tmp_path, no_features):
    images, checkpoint = sample
    for call in (massrl.knn, lambda c, *rest, **options: massrl.compare([c, "zoo:cifar10-simclr"], *rest, **options)):
        with pytest.raises(ConfigError, match="k is 17, and there are 16 training images; give at most 16"):
            call(checkpoint, images, images, k=17, size=16, cache_dir=tmp_path)


def test_one_class(sample, tmp_path, no_features):
    images, checkpoint = sample
    alone = part_of(images, tmp_path / "alone", ["discs"])
    for call in (massrl.knn, massrl.linear):
        with pytest.raises(ConfigError, match="alone: all 8 images are of one class"):
            call(checkpoint, alone, alone, cache_dir=tmp_path)


@pytest.mark.parametrize("label", [-1, 2**31, 2**40])
def test_labels_that_are_none(sample, tmp_path, no_features, label):
    images = [(np.full((16, 16, 3), i, np.uint8), label if i == 3 else i % 2) for i in range(8)]
    DatasetWriter(tmp_path / "a.beton", {"image": RGBImageField(), "label": IntField()}).from_indexed_dataset(images)
    with pytest.raises(SourceError, match=f"a.beton: image 3 has the label {label}"):
        massrl.knn(sample[1], tmp_path / "a.beton", tmp_path / "a.beton", cache_dir=tmp_path)


def test_nothing_to_hold_out(sample, tmp_path, no_features):
    images, checkpoint = sample
    with pytest.raises(ConfigError, match="no class has two labelled training images"):
        massrl.linear(checkpoint, images, images, protocol="dinov2-logreg", labels="one", cache_dir=tmp_path)


def test_leaks_of_other_images(sample, tmp_path, no_features):
    images, checkpoint = sample
    other = part_of(images, tmp_path / "other", ["discs"])
    argv = ["data", "check", str(images), "--against", str(other), "--json", str(tmp_path / "leaks.json")]
    assert main([*argv, "--out", str(tmp_path / "leaks.html"), "--cache_dir", str(tmp_path / "cache")]) == 0
    with pytest.raises(ConfigError, match="is of other test images"):
        massrl.knn(checkpoint, images, images, leaks=tmp_path / "leaks.json", cache_dir=tmp_path / "cache")


def test_a_checkpoint_that_is_none_before_folders_are_read(sample, tmp_path):
    images, missing, cache = sample[0], tmp_path / "none.ckpt", tmp_path / "cache"
    calls = (
        lambda: massrl.knn(missing, images, images, cache_dir=cache),
        lambda: massrl.linear(missing, images, images, cache_dir=cache),
        lambda: massrl.semi(missing, images, images, cache_dir=cache),
        lambda: massrl.embed(images, missing, cache_dir=cache),
        lambda: massrl.measure(missing, images, cache_dir=cache),
        lambda: massrl.transfer(missing, {"a": {"train": images, "test": images}}, cache_dir=cache),
        lambda: massrl.compare([sample[1], missing], images, images, cache_dir=cache),
    )
    for call in calls:
        with pytest.raises(CheckpointError, match="none.ckpt"):
            call()
    assert not cache.exists()


def test_draws_without_end_and_lists_without_a_place(sample, tmp_path, no_features, monkeypatch):
    images, checkpoint = sample
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="draws is 1000000000; it must be an integer from 1 to 10000"):
        massrl.semi(checkpoint, images, images, per_class=2, draws=10**9)
    with pytest.raises(ConfigError, match="subsets_out is ''; name a folder"):
        massrl.semi(checkpoint, images, images, subsets_out="")
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_at_the_end(sample, tmp_path, no_features, capsys):
    images, checkpoint = sample
    words = ["--checkpoint", str(checkpoint), "--train", str(images), "--test", str(images)]
    (tmp_path / "file").touch()
    for command in ("knn", "linear", "semi"):
        for where, says in (
            (tmp_path, "is a folder"),
            (tmp_path / "file" / "a.json", "Not a directory; name another place"),
        ):
            assert main([command, *words, "--json", str(where)]) == 2
            assert says in capsys.readouterr().err


@pytest.mark.parametrize("where", ["/proc/a.json", "a" * 300 + ".json"])
def test_places_that_cannot_be_written(where):
    with pytest.raises(ConfigError, match="json is .*; name another place"):
        check_options(json=where)


def test_files_that_are_in_order():
    check_options(json="a/b/c.json", out="b", k=None, draws=10_000)
    check_ending(".png", picture="a.PNG", out=None)
    with pytest.raises(ConfigError, match="out is 'a.txt'; give a name that ends in .html or .htm"):
        check_ending(".html", ".htm", out="a.txt")


def colours(folder, names):
    """A folder of plain colours, four images a class."""
    for i, name in enumerate(("blue", "green", "red", "yellow")):
        if name in names:
            (folder / name).mkdir(parents=True)
            for j in range(4):
                Image.new("RGB", (16, 16), (60 * i, 20 * j, 200 - 60 * i)).save(folder / name / f"{j}.png")
    return folder


ALL, THREE = ("blue", "green", "red", "yellow"), ("green", "red", "yellow")


def test_a_written_file_keeps_its_class_names_so_that_a_folder_without_one_of_them_is_refused(
    sample, tmp_path, no_features
):
    """Labels number the folders in sorted order: green is 1 in the file of four classes, 0 in the folder of three."""
    written, test = tmp_path / "train.beton", colours(tmp_path / "test", THREE)
    assert main(["data", "write", str(colours(tmp_path / "train", ALL)), str(written)]) == 0
    with pytest.raises(SourceError, match="other class folders: blue is in one only"):
        massrl.knn(sample[1], written, test, cache_dir=tmp_path)


@pytest.mark.parametrize("call", [massrl.knn, massrl.linear])
def test_without_class_names_other_sets_of_labels_are_refused(sample, tmp_path, no_features, call):
    written, test = tmp_path / "train.beton", colours(tmp_path / "test", THREE)
    DatasetWriter(written, Folder(colours(tmp_path / "train", ALL)).fields()).from_image_folder(tmp_path / "train")
    (tmp_path / "train.index.json").unlink()  # as of a file that FFCV wrote
    with pytest.raises(SourceError, match="has no image of class 3, which .*train.beton has, .*massrl data write"):
        call(sample[1], written, test, cache_dir=tmp_path)
    with pytest.raises(SourceError, match="has images of class 3, which no image of .*test is of"):
        call(sample[1], test, written, cache_dir=tmp_path)


def test_with_class_names_test_images_may_lack_a_class(sample, tmp_path):
    folder = colours(tmp_path / "train", ALL)
    files = {name: tmp_path / f"{name}.beton" for name in ("train", "test")}
    for name, rows in (("train", None), ("test", [0, 4, 8])):
        DatasetWriter(files[name], Folder(folder).fields()).from_indexed_dataset(Folder(folder), rows)
    found = massrl.knn(sample[1], files["train"], files["test"], k=4, size=16, cache_dir=tmp_path)
    assert len(found.rows.features["trained"][1]) == 3


@pytest.mark.parametrize(
    ("call", "options"),
    [(massrl.knn, {}), (massrl.linear, {}), (massrl.linear, {"protocol": "simclr"}), (massrl.semi, {}),
     (massrl.finetune, {}), (massrl.measure, None)],
)  # fmt: skip
def test_a_diverged_encoder(sample, tmp_path, no_features, call, options):
    images, checkpoint = sample
    content = torch.load(checkpoint, weights_only=True)
    name = next(name for name in content["state_dict"] if name.startswith("backbone.") and name.endswith("weight"))
    content["state_dict"][name][0, 0] = float("nan")
    torch.save(content, tmp_path / "nan.ckpt")
    given = [images, images] if options is not None else [images]
    with pytest.raises(CheckpointError, match="nan.ckpt: .* holds NaN or infinity; the training has diverged"):
        call(tmp_path / "nan.ckpt", *given, cache_dir=tmp_path, **options or {})
