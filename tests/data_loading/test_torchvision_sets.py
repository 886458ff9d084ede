"""torchvision's data sets as sources, read from small files in their original formats; nothing is downloaded."""

import hashlib
import pickle

import numpy as np
import torch
from PIL import Image
from torchvision import datasets

from data_loading import DatasetWriter, Reader, sources


def cifar10(root, monkeypatch):
    """Write CIFAR-10's pickles with two images per batch, and patch torchvision's checksums to match."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    data = np.random.default_rng(0).integers(0, 256, (12, 3072)).astype(np.uint8)
    sums = {}
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]):
        rows = slice(2 * i, 2 * i + 2)
        words = {"label_names": [f"class {k}" for k in range(10)]}
        content = words if name == "batches.meta" else {"data": data[rows], "labels": [i, 9]}
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    kind = datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, sums[name]] for name, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["batches.meta"]})
    return data.reshape(12, 3, 32, 32).transpose(0, 2, 3, 1)


def test_cifar10_is_read_through_torchvision(tmp_path, monkeypatch):
    images = cifar10(tmp_path / "root", monkeypatch)
    train = sources.open("cifar10", "train", tmp_path / "root")
    assert train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9] and train.classes[3] == "class 3"
    test = sources.open("cifar10", "test", tmp_path / "root")
    writer = DatasetWriter(tmp_path / "a.beton", test.fields())
    writer.from_indexed_dataset(test, progress=False)
    reader = Reader(tmp_path / "a.beton")
    np.testing.assert_array_equal(reader.values("image", [0, 1]), images[10:])
    assert reader.column("label").tolist() == [5, 9] and reader.image_table().mode.tolist() == [1, 1]
    again = pickle.loads(pickle.dumps(train))
    np.testing.assert_array_equal(again[9][0], images[9])


def test_fashion_mnist_is_read_through_torchvision(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    for part in ("train", "t10k"):  # IDX: two zeros, the type 8 of uint8, the number of dimensions, the sides
        sides = np.array(images.shape, ">u4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sides + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x03" + bytes([7, 0, 9]))
    source = sources.open("fashion_mnist", "test", tmp_path)
    np.testing.assert_array_equal(source[1][0], np.repeat(images[1][..., None], 3, axis=2))
    assert source.labels.tolist() == [7, 0, 9] and source.classes[9] == "Ankle boot"


def test_stl10_is_read_through_torchvision(tmp_path, monkeypatch):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96)).astype(np.uint8)
    for name in ("train", "test", "unlabeled"):
        (folder / f"{name}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())  # column by column
        (folder / f"{name}_y.bin").write_bytes(bytes([1, 10]))
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    source = sources.open("stl10", "test", tmp_path)
    np.testing.assert_array_equal(source[1][0], images[1].transpose(1, 2, 0))
    assert source.labels.tolist() == [0, 9] and source.classes == list("abcdefghij")
    assert sources.open("stl10", "unlabeled", tmp_path).labels is None


def test_imagenet_is_read_through_torchvision(tmp_path):
    names = {"n01": ("tench", "Tinca tinca"), "n02": ("goldfish",)}
    torch.save((names, ["n01"]), tmp_path / "meta.bin")
    for i, wnid in enumerate(names):
        (tmp_path / "val" / wnid).mkdir(parents=True)
        Image.new("RGB", (30, 20), (i, 0, 0)).save(tmp_path / "val" / wnid / "1.JPEG")
    source = sources.open("imagenet", "val", tmp_path)
    assert source.classes == ["tench, Tinca tinca", "goldfish"] and source.labels.tolist() == [0, 1]
    assert source[1] == ((tmp_path / "val/n02/1.JPEG").read_bytes(), 1)
    assert source.name(0) == str(tmp_path / "val/n01/1.JPEG") and len(source.fingerprint()) == 64
