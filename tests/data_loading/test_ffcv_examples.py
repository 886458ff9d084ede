"""The examples of FFCV's, FFCV-SSL's and erow's READMEs and folders run with the import changed."""

import importlib.util
import logging
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import data_loading.ffcv as ffcv
from data_loading.ffcv.fields import FloatField, IntField, NDArrayField, RGBImageField, rgb_image
from data_loading.ffcv.fields.basics import FloatDecoder
from data_loading.ffcv.fields.decoders import (
    CenterCropRGBImageDecoder,
    IntDecoder,
    NDArrayDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from data_loading.ffcv.loader import Loader, OrderOption
from data_loading.ffcv.transforms import (
    Convert,
    Cutout,
    NormalizeImage,
    RandomHorizontalFlip,
    RandomTranslate,
    ToDevice,
    ToTensor,
    ToTorchImage,
    View,
)
from data_loading.ffcv.transforms.common import Squeeze
from data_loading.ffcv.writer import DatasetWriter
from ffcv_files import DEVICE, IMAGENET_MEAN, IMAGENET_STD, Photographs, write
from helpers import CHECKOUT


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ffcv") / "ds.ffcv", Photographs(), write_mode="jpg", jpeg_quality=95)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    return write(tmp_path_factory.mktemp("cifar") / "cifar.beton", Photographs(40, sides=32))


def levels(x):
    """Whole levels (B, H, W, 3) from what NormalizeImage has made of them."""
    return (x.cpu().float().permute(0, 2, 3, 1) * torch.tensor(IMAGENET_STD) + torch.tensor(IMAGENET_MEAN)).round()


def is_gray(x):
    """(B,): whether all channels agree; float16 of NormalizeImage keeps whole levels."""
    return (levels(x).amax(-1) == levels(x).amin(-1)).flatten(1).all(1)


def test_quickstart_of_ffcv(tmp_path):
    writer = DatasetWriter(
        tmp_path / "ds.ffcv",
        {"image": RGBImageField(max_resolution=64, jpeg_quality=90), "label": IntField()},
    )
    writer.from_indexed_dataset(Photographs())
    decoder = rgb_image.RandomResizedCropRGBImageDecoder((32, 32))
    pipelines = {
        "image": [decoder, Cutout(8), ToTensor(), ToTorchImage(), ToDevice(DEVICE)],
        "label": [IntDecoder(), ToTensor(), ToDevice(DEVICE)],
    }
    loader = Loader(tmp_path / "ds.ffcv", batch_size=8, num_workers=2, order=OrderOption.RANDOM, pipelines=pipelines)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    for images, labels in batches:
        assert images.shape == (8, 3, 32, 32) and images.dtype == torch.uint8 and images.device == DEVICE
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.shape == (8, 1) and labels.dtype == torch.int64
        black = (images == 0).all(1).float()  # Cutout's 8 x 8 square lies whole in each
        assert (torch.nn.functional.avg_pool2d(black[:, None], 8, 1).amax((1, 2, 3)) == 1).all()
    assert sorted(int(y) for _, labels in batches for y in labels) == sorted(i % 7 for i in range(24))


def test_supervised_cifar_of_ffcv(cifar):
    mean, std = [125.307, 122.961, 113.8575], [51.5865, 50.847, 51.255]
    loaders = {}
    for name in ["train", "test"]:
        label_pipeline = [IntDecoder(), ToTensor(), ToDevice(DEVICE), Squeeze()]
        image_pipeline = [SimpleRGBImageDecoder()]
        if name == "train":
            image_pipeline.extend(
                [
                    RandomHorizontalFlip(),
                    RandomTranslate(padding=2, fill=tuple(map(int, mean))),
                    Cutout(4, tuple(map(int, mean))),
                ]
            )
        image_pipeline.extend(
            [
                ToTensor(),
                ToDevice(DEVICE, non_blocking=True),
                ToTorchImage(),
                Convert(torch.float16),
                torchvision.transforms.Normalize(mean, std),
            ]
        )
        loaders[name] = Loader(
            cifar,
            batch_size=16,
            num_workers=2,
            order=OrderOption.RANDOM if name == "train" else OrderOption.SEQUENTIAL,
            drop_last=(name == "train"),
            pipelines={"image": image_pipeline, "label": label_pipeline},
        )
        assert len(image_pipeline) == (9 if name == "train" else 6)  # the caller's list stays as it is
    for images, labels in loaders["train"]:
        assert images.shape == (16, 3, 32, 32) and images.dtype == torch.float16 and labels.shape == (16,)
    assert [len(labels) for _, labels in loaders["test"]] == [16, 16, 8]
    images, labels = (torch.cat(x).cpu() for x in zip(*loaders["test"], strict=True))
    assert labels.tolist() == [i % 7 for i in range(40)]
    pixels = torch.tensor(Photographs(40, sides=32).images()).permute(0, 3, 1, 2)
    expected = torchvision.transforms.Normalize(mean, std)(pixels.half())
    assert torch.equal(images, expected)  # the very same arithmetic on the file's own pixels


def test_three_views_of_ffcv_ssl_share_their_grayscale(photographs):
    def pipeline(size, *ops):
        return [
            ffcv.transforms.RandomResizedCrop((size, size), ratio=(0.4, 1)),
            *ops,
            ffcv.transforms.ToTensor(),
            ffcv.transforms.ToDevice(DEVICE, non_blocking=True),
            ffcv.transforms.ToTorchImage(),
            ffcv.transforms.NormalizeImage(IMAGENET_MEAN, IMAGENET_STD, np.float16),
        ]

    loader = Loader(
        photographs,
        num_workers=2,
        batch_size=12,
        pipelines={
            "image": pipeline(48, ffcv.transforms.RandomGrayscale(seed=0)),
            "image2": pipeline(32, ffcv.transforms.RandomGrayscale(seed=0)),
            "image3": pipeline(
                48,
                ffcv.transforms.RandomHorizontalFlip(flip_prob=0.5),
                ffcv.transforms.RandomSolarization(),
                ffcv.transforms.RandomColorJitter(),
            ),
            "label": [IntDecoder(), ffcv.transforms.ToTensor()],
        },
        custom_field_mapper={"image2": "image", "image3": "image"},
        order=OrderOption.RANDOM,
    )
    first, second = [], []
    for _ in range(4):
        for x1, y, x2, x3 in loader:
            assert x1.shape == x3.shape == (12, 3, 48, 48) and x2.shape == (12, 3, 32, 32) and y.shape == (12, 1)
            assert x1.dtype == torch.float16
            first.append(is_gray(x1))
            second.append(is_gray(x2))
            assert not is_gray(x3).any()
    first, second = torch.cat(first), torch.cat(second)
    assert torch.equal(first, second)
    # 96 decisions of seed 0, the same in each run: about 0.2 of them, 4 deviations of the binomial apart at most
    assert abs(float(first.float().mean()) - 0.2) < 4 * (0.2 * 0.8 / 96) ** 0.5


def test_several_views_by_pipeline_spec_as_stock_ffcv_has_them(photographs):
    spec = ffcv.pipeline.PipelineSpec("image", CenterCropRGBImageDecoder((24, 24), 1.0), [ToTensor(), ToTorchImage()])
    decoder = CenterCropRGBImageDecoder((24, 24), 1.0)
    loader = Loader(photographs, 8, pipelines={"image": [decoder, ToTensor(), ToTorchImage()], "other": spec})
    for x, _, other in loader:
        assert torch.equal(x, other)


def test_two_branches_of_ffcv_ssls_training_script(photographs):
    in_memory = 1  # a parameter of type int
    decoder, decoder2 = (ffcv.transforms.RandomResizedCrop((32, 32)) for _ in range(2))
    first = [
        decoder,
        RandomHorizontalFlip(),
        ffcv.transforms.RandomColorJitter(0.8, 0.4, 0.4, 0.2, 0.1),
        ffcv.transforms.RandomGrayscale(0.2),
        ToTensor(),
        ToDevice(DEVICE, non_blocking=True),
        ToTorchImage(),
        NormalizeImage(IMAGENET_MEAN, IMAGENET_STD, np.float16),
        torchvision.transforms.GaussianBlur(kernel_size=(5, 9), sigma=(0.1, 2)),
    ]
    second = [*first[:4], ffcv.transforms.RandomSolarization(0.2, 128), *first[4:8]]
    second[0] = decoder2
    loader = ffcv.Loader(
        photographs,
        batch_size=8,
        num_workers=2,
        order=OrderOption.QUASI_RANDOM,
        os_cache=in_memory,
        drop_last=True,
        pipelines={"image": first, "label": [IntDecoder(), ToTensor(), Squeeze()], "image_0": second},
        distributed=0,
        custom_field_mapper={"image_0": "image"},
    )
    seen = [labels for x, labels, x2 in loader if x.shape == x2.shape == (8, 3, 32, 32)]
    assert len(seen) == 3 and all(labels.shape == (8,) for labels in seen)
    decoder.output_size = decoder2.output_size = (48, 48)  # progressive resolution
    assert {(x.shape[-1], x2.shape[-1]) for x, _, x2 in loader} == {(48, 48)} and loader.next_epoch == 2


def test_training_loop_of_ffcvs_imagenet_script_raises_the_resolution(photographs):
    def get_resolution(epoch, min_res=32, max_res=64, start_ramp=1, end_ramp=3):
        return int(np.round(np.interp(epoch, [start_ramp, end_ramp], [min_res, max_res]) / 16)) * 16

    in_memory, distributed = 1, 0  # parameters of type int
    decoder = RandomResizedCropRGBImageDecoder((get_resolution(0),) * 2)
    image_pipeline = [
        decoder,
        RandomHorizontalFlip(),
        ToTensor(),
        ToDevice(DEVICE, non_blocking=True),
        ToTorchImage(),
        NormalizeImage(IMAGENET_MEAN, IMAGENET_STD, np.float16),
    ]
    label_pipeline = [IntDecoder(), ToTensor(), Squeeze(), ToDevice(DEVICE, non_blocking=True)]
    loader = Loader(
        photographs,
        batch_size=8,
        num_workers=2,
        order=OrderOption.RANDOM if distributed else OrderOption.QUASI_RANDOM,
        os_cache=in_memory,
        drop_last=True,
        pipelines={"image": image_pipeline, "label": label_pipeline},
        distributed=distributed,
    )
    seen = []
    for epoch in range(4):
        res = get_resolution(epoch)
        decoder.output_size = (res, res)
        seen.append({tuple(images.shape) for images, target in loader if len(target) == 8})
    assert seen == [{(8, 3, side, side)} for side in (32, 32, 48, 64)] and loader.next_epoch == 4


def test_crops_with_their_parameters_as_ffcv_ssls_example_draws_them(photographs):
    crop = {"output_size": (32, 32), "ratio": (0.4, 1.0), "scale": (0.08, 0.4)}
    torch_image = [ToTensor(), ToDevice(DEVICE, non_blocking=True), ToTorchImage()]
    label = [ToTensor(), Squeeze(), ToDevice(torch.device("cpu"), non_blocking=True)]
    names = "image2", "crop_image", "crop_image2", "full_image"
    loader = Loader(
        photographs,
        num_workers=2,
        batch_size=4,
        pipelines={
            "image": [ffcv.transforms.RandomResizedCrop(**crop, seed=5), *torch_image],
            "label": [IntDecoder(), ToTensor()],
            "image2": [ffcv.transforms.RandomResizedCrop(**crop, seed=10, second_seed=5), *torch_image],
            "crop_image": [ffcv.transforms.LabelRandomResizedCrop(**crop, seed=5), *label],
            "crop_image2": [ffcv.transforms.LabelRandomResizedCrop(**crop, seed=10, second_seed=5), *label],
            "full_image": [ffcv.transforms.PadRGBImageDecoder(), *torch_image],
        },
        order=OrderOption.RANDOM,
        custom_field_mapper={name: "image" for name in names},
    )
    for image, _, image2, crop_image, crop_image2, full in loader:
        assert crop_image.shape == crop_image2.shape == (4, 6) and crop_image.dtype == torch.int32
        for b in range(4):
            width, height, *first = crop_image[b].tolist()
            second = crop_image2[b].tolist()[2:]
            whole = full[b].permute(1, 2, 0).cpu().numpy()
            assert not whole[height:].any() and not whole[:, width:].any() and whole[:height, :width].any()
            for view, (top, left, h, w) in ((image[b], first), (image2[b], second)):
                box = Image.fromarray(whole[top : top + h, left : left + w])
                expected = np.asarray(box.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
                # the view is what the reported box holds: within a level of Pillow's own two roundings
                assert np.abs(view.permute(1, 2, 0).cpu().numpy() - expected).max() <= 1
            apart = first[0] + first[2] <= second[0] or second[0] + second[2] <= first[0]
            apart |= first[1] + first[3] <= second[1] or second[1] + second[3] <= first[1]
            assert apart


def test_crop_decode_of_erow_decodes_the_whole_image_and_says_so_once(photographs, caplog, monkeypatch):
    monkeypatch.setattr(rgb_image, "_said", set())

    def images(decoder):
        loader = Loader(
            photographs, 24, cache_type=1, pipelines={"image": [decoder, ToTensor()], "label": None}, seed=0
        )
        return next(iter(loader))[0]

    with caplog.at_level(logging.WARNING):
        random = RandomResizedCropRGBImageDecoder((24, 24), scale=(0.2, 1), interpolation=cv2.INTER_CUBIC)
        random.use_crop_decode_(True)
        center = CenterCropRGBImageDecoder((24, 24), ratio=0.8, interpolation=cv2.INTER_AREA)
        assert images(random).shape == (24, 24, 24, 3)
        center.use_crop_decode_(False)
        same = images(center)
    said = [record.message for record in caplog.records if "crop decode" in record.message]
    assert len(said) == 1 and "decoded as a whole" in said[0]
    assert torch.equal(same, images(CenterCropRGBImageDecoder((24, 24), ratio=0.8)))


def test_png_of_erow_is_lossless(tmp_path):
    data = Photographs(6, sides=32)
    for options in ({"write_mode": "png"}, {"mode": "png"}):
        path = write(tmp_path / "png.beton", data, **options)
        ((images, _),) = Loader(path, 6, num_workers=1)
        assert images.dtype == torch.uint8
        assert np.array_equal(images, data.images())


def test_simple_pipeline_of_erows_benchmark(photographs):
    pipelines = {
        "image": [
            RandomResizedCropRGBImageDecoder((32, 32), scale=(0.2, 1), ratio=(3 / 4, 4 / 3)),
            RandomHorizontalFlip(),
            NormalizeImage(IMAGENET_MEAN, IMAGENET_STD, np.float32),
            ToTensor(),
            ToTorchImage(),
        ],
        "label": [IntDecoder(), ToTensor(), ToDevice(DEVICE), View(-1)],
    }
    loader = Loader(
        photographs, pipelines=pipelines, batch_size=8, batches_ahead=4, order=OrderOption.QUASI_RANDOM, seed=0
    )
    for x, y in loader:
        assert x.shape == (8, 3, 32, 32) and x.dtype == torch.float32 and y.shape == (8,)
        level = levels(x).numpy()
        assert 0 <= level.min() and level.max() <= 255 and level.std() > 10
    assert loader.reader.num_samples == 24 and loader.reader.field_names == ["image", "label"]


def test_linear_regression_of_ffcv_needs_no_images(tmp_path):
    rng = np.random.default_rng(0)
    X, W = rng.random((256, 5)).astype(np.float32), rng.random(5).astype(np.float32)

    class Linear:
        def __len__(self):
            return len(X)

        def __getitem__(self, i):
            return X[i], np.array([X[i] @ W], np.float32), float(i)

    fields = {
        "covariate": NDArrayField(shape=(5,), dtype=np.dtype("float32")),
        "label": NDArrayField(shape=(1,), dtype=np.dtype("float32")),
        "number": FloatField(),
    }
    DatasetWriter(tmp_path / "linear.beton", fields).from_indexed_dataset(Linear())
    loader = Loader(
        tmp_path / "linear.beton",
        batch_size=64,
        num_workers=2,
        order=OrderOption.RANDOM,
        pipelines={
            "covariate": [NDArrayDecoder(), ToTensor(), ToDevice(DEVICE)],
            "label": [NDArrayDecoder(), ToTensor(), Squeeze(), ToDevice(DEVICE)],
            "number": [FloatDecoder(), ToTensor()],
        },
    )
    rows = []
    for x, y, number in loader:
        assert x.shape == (64, 5) and y.shape == (64,) and number.shape == (64, 1) and number.dtype == torch.float64
        torch.testing.assert_close(x.cpu() @ torch.tensor(W), y.cpu())
        assert np.array_equal(x.cpu(), X[number[:, 0].int()])
        rows += number.int().flatten().tolist()
    assert sorted(rows) == list(range(256)) and rows != sorted(rows)


SIDE_BY_SIDE = """
import sys
import numpy as np
from {package}.fields.decoders import CenterCropRGBImageDecoder, SimpleRGBImageDecoder, IntDecoder
from {package}.loader import Loader, OrderOption
from {package}.transforms import NormalizeImage, ToTensor, ToTorchImage, Squeeze, Convert

if __name__ == "__main__":
    raw, jpg, out = sys.argv[1:]
    label = [IntDecoder(), ToTensor(), Squeeze()]
    mean, std = np.array([120.0, 110, 100]), np.array([60.0, 50, 40])
    simple = [SimpleRGBImageDecoder(), NormalizeImage(mean, std, np.float32)]
    crop = [CenterCropRGBImageDecoder((24, 24), 0.75), ToTensor(), ToTorchImage()]
    found = dict()
    for name, path, image in (("raw", raw, [*simple, ToTensor(), ToTorchImage()]), ("jpg", jpg, crop)):
        loader = Loader(path, batch_size=8, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False,
                        pipelines=dict(image=image, label=list(label)))
        batches = [(x.numpy().copy(), y.numpy().copy()) for x, y in loader]
        found[name], found[name + "_label"] = (np.concatenate(x) for x in zip(*batches))
        found[name + "_sizes"] = [len(y) for _, y in batches]
    plain = Loader(raw, batch_size=8, num_workers=1)
    found["plain"], found["plain_label"] = (x.numpy().copy() for x in next(iter(plain)))
    np.savez(out, **found)
"""


def test_the_same_script_gives_the_same_with_ffcv_itself(tmp_path):
    if importlib.util.find_spec("ffcv") is None:
        pytest.skip("FFCV itself is not installed; it needs OpenCV's headers and a compiler")
    raw = write(tmp_path / "raw.beton", Photographs(20, sides=32))
    jpg = write(tmp_path / "jpg.beton", Photographs(20, sides=(60, 90)), write_mode="jpg", jpeg_quality=95)
    found, env = [], {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for package in ("ffcv", "data_loading.ffcv"):
        script, out = tmp_path / f"with_{package}.py", tmp_path / f"{package}.npz"
        script.write_text(SIDE_BY_SIDE.format(package=package))
        done = subprocess.run([sys.executable, script, raw, jpg, out], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        found.append(np.load(out))
    theirs, ours = found
    assert set(theirs) == set(ours)
    for name in theirs:
        assert theirs[name].shape == ours[name].shape and theirs[name].dtype == ours[name].dtype, name
        if name == "raw":
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=0, atol=1e-6
            )  # a rounding of float32 on some machines
        elif name != "jpg":
            assert np.array_equal(theirs[name], ours[name]), name
    # theirs: quick DCT (R and B about a level low), area interpolation, a box of whole pixels
    difference = np.abs(ours["jpg"].astype(float) - theirs["jpg"])
    assert difference.mean() < 3
