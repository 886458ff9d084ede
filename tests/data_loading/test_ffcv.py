"""data_loading.ffcv: seeds, parameters as labels, fields, the loader's two signatures, and what is not offered."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import data_loading.ffcv.transforms as T
from data_loading import Loader as OurLoader
from data_loading import ViewSet
from data_loading import ops as our_ops
from data_loading.errors import ConfigError, SourceError, UserError, ViewError
from data_loading.ffcv.fields import BytesField, JSONField, RGBImageField
from data_loading.ffcv.fields.basics import BytesDecoder, FloatDecoder, IntDecoder
from data_loading.ffcv.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from data_loading.ffcv.loader import Loader, OrderOption
from data_loading.ffcv.pipeline import PipelineSpec
from data_loading.ffcv.pipeline.operation import Operation
from data_loading.ffcv.transforms import ToTensor
from data_loading.ffcv.writer import DatasetWriter
from data_loading.sources import as_beton
from ffcv_files import Photographs, write
from helpers import CHECKOUT

SQUARE = Photographs(32, sides=24)


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    return write(tmp_path_factory.mktemp("square") / "square.beton", SQUARE)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("photographs") / "photographs.beton", Photographs(32, sides=(30, 60)))


def epoch(loader):
    """All outputs of the next epoch, one tensor each."""
    return [torch.cat(column) for column in zip(*loader, strict=True)]


# Seeds


def by_sample(path, loader_seed, op_seed):
    """One epoch of a new loader: the order of the rows, and the images by row."""
    image = [T.RandomResizedCrop((16, 16), scale=(0.2, 1), seed=op_seed), T.RandomTranslate(4, seed=op_seed)]
    loader = Loader(
        path=path,
        num_workers=2,
        batch_size=8,
        pipelines={"image": [*image, T.ToTensor()], "label": None},
        order=OrderOption.RANDOM,
        seed=loader_seed,
    )
    order = [batch.index for batch in OurLoader(path, 8, order_seed=loader.seed, size=16)]
    (images,) = epoch(loader)
    return torch.cat(order), images[torch.cat(order).argsort()]


@pytest.mark.parametrize(("loader_seed", "op_seed"), [(None, None), (None, 0), (0, None), (0, 0)])
def test_order_and_augmentations_repeat_where_their_own_seed_is_given(photographs, loader_seed, op_seed):
    (order, images), (again, images_again) = (by_sample(photographs, loader_seed, op_seed) for _ in range(2))
    assert torch.equal(order, again) == (loader_seed is not None)  # 32! orders: two fresh ones are never alike
    assert torch.equal(images, images_again) == (op_seed is not None)
    if op_seed is None:  # no image is drawn alike: among 32 the chance of one is that of equal box and shift
        assert not (images == images_again).flatten(1).all(1).any()


def test_another_seed_of_the_loader_or_of_the_operations_gives_another_run(photographs):
    order, images = by_sample(photographs, 0, 0)
    other_order, same_images = by_sample(photographs, 1, 0)
    same_order, other_images = by_sample(photographs, 0, 1)
    assert not torch.equal(order, other_order) and torch.equal(order, same_order)
    assert torch.equal(images, same_images) and not torch.equal(images, other_images)


def test_seeded_operations_draw_anew_in_each_epoch_and_keep_their_probability(square):
    flip = [SimpleRGBImageDecoder(), T.RandomHorizontalFlip(0.25, seed=3), T.ToTensor()]
    loader = Loader(square, 32, pipelines={"image": flip, "label": None})
    plain = torch.from_numpy(SQUARE.images())
    flipped = torch.stack([(epoch(loader)[0] != plain).flatten(1).any(1) for _ in range(8)])  # (8, 32)
    assert not torch.equal(flipped[0], flipped[1])
    # 256 draws of p = 1/4 from seed 3: within 4 deviations
    assert abs(float(flipped.float().mean()) - 0.25) < 4 * (0.25 * 0.75 / 256) ** 0.5


def test_one_seed_is_one_realisation_in_views_of_different_size(photographs):
    def pipeline(size):
        jitter = T.RandomColorJitter(0.5, seed=2)
        return [T.RandomResizedCrop((size, size), seed=1), T.RandomHorizontalFlip(seed=1), jitter, T.ToTensor()]

    same = {"image": pipeline(16), "image2": pipeline(48)}
    loader = Loader(photographs, 32, pipelines={**same, "label": None}, custom_field_mapper={"image2": "image"})
    for small, large in loader:
        shrunk = torch.nn.functional.avg_pool2d(large.permute(0, 3, 1, 2).float(), 3).permute(0, 2, 3, 1)
        # boxes, flips and colours agree: what is left are two ways to shrink, a few levels on average
        assert float((shrunk - small.float()).abs().mean((1, 2, 3)).max()) < 8
        assert float((shrunk.flip(2) - small.float()).abs().mean()) > 16  # so the bound above would see a flip


def test_two_seeds_of_one_operation_are_two_realisations(photographs):
    views = {
        "image": [T.RandomResizedCrop((16, 16), seed=1), T.ToTensor()],
        "image2": [T.RandomResizedCrop((16, 16), seed=2), T.ToTensor()],
    }
    loader = Loader(photographs, 32, pipelines={**views, "label": None}, custom_field_mapper={"image2": "image"})
    a, b = next(iter(loader))
    assert not (a == b).flatten(1).all(1).any()


# Parameters as labels: each is checked against the pixels, not against another reading of the plan


def labelled(path, image, label, batch=32):
    """(images, plain images, columns) of a batch; columns stand behind the label, as float32."""
    pipelines = {
        "image": [SimpleRGBImageDecoder(), image, T.ToTensor()],
        "label": [IntDecoder(), label, T.ToTensor()],
        "plain": [SimpleRGBImageDecoder(), T.ToTensor()],
    }
    loader = Loader(path, batch, pipelines=pipelines, custom_field_mapper={"plain": "image"})
    images, columns, plain = next(iter(loader))
    assert columns.dtype == torch.float32 and columns[:, 0].tolist() == [i % 7 for i in range(batch)]
    return images.numpy(), plain.numpy(), columns[:, 1:].numpy()


def test_the_label_of_a_translation_reproduces_it(square):
    fill = (10, 20, 30)
    images, plain, shift = labelled(square, T.RandomTranslate(5, fill, seed=4), T.LabelTranslate(5, fill, seed=4))
    assert shift.min() == 0 and shift.max() == 10  # of 64 draws from 11 numbers all come, as seed 4 has it
    for image, whole, (y, x) in zip(images, plain, shift.astype(int), strict=True):
        padded = np.full((34, 34, 3), fill, np.uint8)
        padded[5:29, 5:29] = whole
        assert np.array_equal(image, padded[y : y + 24, x : x + 24])


def test_the_label_of_a_flip_and_of_solarization_and_grayscale_tell_what_was_done(square):
    images, plain, flipped = labelled(
        square, T.RandomHorizontalFlip(0.3, seed=1), T.LabelRandomHorizontalFlip(0.3, seed=1)
    )
    expected = np.where(flipped[:, :, None, None] == 1, plain[:, :, ::-1], plain)
    assert np.array_equal(images, expected) and 0 < flipped.sum() < 32
    images, plain, done = labelled(square, T.RandomSolarization(0.4, 100, 2), T.LabelSolarization(0.4, 100, 2))
    expected = np.where((done[:, :, None, None] == 1) & (plain >= 100), 255 - plain, plain)
    assert np.array_equal(images, expected) and 0 < done.sum() < 32
    images, _, coloured = labelled(square, T.RandomGrayscale(0.4, seed=3), T.LabelGrayscale(0.4, seed=3))
    gray = (images.max(-1) == images.min(-1)).all((1, 2))
    assert np.array_equal(gray, coloured[:, 0] == 0) and 0 < gray.sum() < 32


def test_the_label_of_a_brightness_is_the_factor_and_of_a_blur_the_sigma(square):
    jitter = {"brightness": 0.5, "contrast": 0, "saturation": 0, "hue": 0, "seed": 5}
    images, plain, numbers = labelled(square, T.RandomColorJitter(0.7, **jitter), T.LabelColorJitter(0.7, **jitter))
    assert (numbers[:, 1:3] == 1).all() and (numbers[:, 3] == 0).all() and (numbers[:, 0] == 1).any()
    expected = np.clip(plain * numbers[:, 0, None, None, None], 0, 255)
    assert np.abs(images - expected).max() <= 0.5 + 1e-3  # one rounding to whole levels
    images, plain, sigma = labelled(square, T.GaussianBlur(0.5, 5, seed=6), T.LabelGaussianBlur(0.5, 5, seed=6))
    unchanged = (images == plain).all((1, 2, 3))
    assert unchanged[sigma[:, 0] < 0.2].all() and not unchanged[sigma[:, 0] > 0.5].any()  # between, rounding decides
    assert 0 < unchanged.sum() < 32 and sigma.max() <= 2


def test_labels_say_which_operation_they_cannot_tell(square):
    def loader(label, *image, **more):
        pipelines = {"image": [SimpleRGBImageDecoder(), *image], "label": [IntDecoder(), label], **more}
        return Loader(square, 8, pipelines=pipelines, custom_field_mapper={name: "image" for name in more})

    with pytest.raises(
        ViewError, match=r"'label': LabelGrayscale reads the numbers of RandomGrayscale\(seed=1\), which"
    ):
        loader(T.LabelGrayscale(seed=1), T.RandomGrayscale(seed=2))
    with pytest.raises(ViewError, match="LabelColorJitter cannot tell the 2 operations of pipeline 'image' apart"):
        loader(T.LabelColorJitter(seed=1), T.RandomColorJitter(seed=1), T.RandomBrightness(0.3))
    again = [SimpleRGBImageDecoder(), T.RandomGrayscale()]
    with pytest.raises(ViewError, match=r"could read 2 operations RandomGrayscale\(seed=None\); give it the seed"):
        loader(T.LabelGrayscale(), T.RandomGrayscale(), again=again)
    with pytest.raises(ViewError, match="LabelGrayscale gives numbers; it needs a pipeline of its own"):
        loader(T.ToTensor(), T.RandomGrayscale(seed=1), T.LabelGrayscale(seed=1))
    only = {"image": None, "label": [T.LabelGrayscale(seed=1)]}
    with pytest.raises(ViewError, match="which no image pipeline has"):
        Loader(square, 8, pipelines=only)


# Operations


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (T.RandomVerticalFlip(1.0), our_ops.VerticalFlip(1.0)),
        (T.RandomInvert(1.0), our_ops.Invert(p=1.0)),
        (T.RandomBrightness(0.0, p=1.0), our_ops.Brightness(1.0, p=1.0)),
        (T.RandomContrast(0.0, p=1.0), our_ops.Contrast(1.0, p=1.0)),
        (T.RandomSaturation(0.0, p=1.0), our_ops.Saturation(1.0, p=1.0)),
        (T.RandomErasing(1.0, scale=(1, 1), ratio=(1, 1)), our_ops.Erasing((1, 1), (1, 1), 128, p=1.0)),
        (T.Rotate(1.0, angle=0.0), our_ops.Rotate(0.0, p=1.0)),
        (our_ops.Equalize(p=1.0), our_ops.Equalize(p=1.0)),  # ours may stand among FFCV's
    ],
    ids=lambda op: type(op).__name__,
)
def test_operations_draw_what_our_ops_draw(square, theirs, ours):
    (images, _) = next(iter(Loader(square, 32, pipelines={"image": [SimpleRGBImageDecoder(), theirs]})))
    strategy = {"name": "one", "variants": [[ours]], "crop": "Resize", "size": 24}
    views = ViewSet([strategy], crops=1)
    batch = next(iter(OurLoader(square, 32, views, order="sequential", dtype="uint8")))
    assert torch.equal(images.permute(0, 3, 1, 2), batch.views[0])


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        (T.RandomColorJitter(0.4, 0.3, (0.8, 1.2), 0.1, (-0.1, 0.1)), {"p": 0.4, "brightness": 0.3, "hue": 0.1}),
        (T.RandomColorJitter(brightness=0.3, p=0.6), {"p": 0.6, "brightness": 0.3, "contrast": 0.4}),
        (T.RandomGrayscale(p=0.7), {"p": 0.7}),
        (T.RandomSolarization(threshold=100, p=0.1), {"p": 0.1}),
        (T.GaussianBlur(kernel_size=7, p=0.9), {"p": 0.9, "kernel_size": 7, "sigma": (0.1, 2.0)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments_of_ffcv_ssl_and_of_erows_fork_mean_ours(operation, fields):
    (op,) = operation.ops(24)
    assert {name: pytest.approx(value) for name, value in fields.items()} == {n: getattr(op, n) for n in fields}


def test_stocks_random_resized_crop_behind_the_simple_decoder_is_the_views_crop(square):
    positions, words = T.RandomResizedCrop((0.3, 0.3), (1, 1), 12), T.RandomResizedCrop(scale=(0.3, 0.3), size=12)
    for crop in (positions, words):
        (images, _) = next(iter(Loader(square, 8, pipelines={"image": [SimpleRGBImageDecoder(), crop]})))
        assert images.shape == (8, 12, 12, 3) and crop.scale == (0.3, 0.3)


def test_corner_crops_are_named_as_they_lie(square):
    for corner, part in {"top_left": np.s_[:12, :12], "bottom_left": np.s_[12:, :12]}.items():
        pipelines = {"image": [T.CornerCrop((12, 12), 0.5, corner)], "label": None}
        ((images,),) = Loader(square, 32, pipelines=pipelines)
        assert np.array_equal(images, SQUARE.images()[:, *part])


def test_replace_label_changes_the_rows_that_it_names(square):
    pipelines = {"image": None, "label": [IntDecoder(), T.ReplaceLabel([3, 30], 100), T.ToTensor(), T.Squeeze()]}
    (labels,) = epoch(Loader(square, 8, order=OrderOption.RANDOM, seed=0, pipelines=pipelines))
    assert sorted(labels.tolist()) == sorted([i % 7 for i in range(32) if i not in (3, 30)] + [100, 100])


def test_tensor_operations_do_as_torch_does(square):
    module = torch.nn.AvgPool2d(2)
    chain = [SimpleRGBImageDecoder(), T.ToTensor(), T.ToTorchImage(channels_last=False), T.Convert(np.float32), module]
    label = [IntDecoder(), T.ToTensor(), T.View(torch.float64), T.View(np.int64), T.Convert("int32"), T.Squeeze(1)]
    images, labels = next(iter(Loader(square, 8, pipelines={"image": chain, "label": label})))
    expected = module(torch.from_numpy(SQUARE.images()[:8]).permute(0, 3, 1, 2).float())
    assert images.is_contiguous() and torch.equal(images, expected)
    assert labels.dtype == torch.int32 and labels.tolist() == [i % 7 for i in range(8)]


def test_squeeze_leaves_the_batch_its_dimension_when_one_sample_is_left(square):
    pipelines = {"image": None, "label": [IntDecoder(), T.ToTensor(), T.Squeeze()]}
    assert [labels.shape for (labels,) in Loader(square, 31, drop_last=False, pipelines=pipelines)] == [(31,), (1,)]


@pytest.mark.parametrize("same", [True, False])
def test_mixup_of_images_and_of_labels_have_the_same_weights(square, same):
    def loader(*more):
        label = [IntDecoder(), T.LabelMixup(0.8, same), T.ToTensor(), *more]
        pipelines = {"image": [SimpleRGBImageDecoder(), T.ImageMixup(0.8, same), T.ToTensor()], "label": label}
        return Loader(square, 8, order=OrderOption.SEQUENTIAL, pipelines=pipelines)

    plain, weights = torch.from_numpy(SQUARE.images()).float(), []
    for i, (images, mixed) in enumerate(loader()):
        rows = torch.arange(8 * i, 8 * i + 8)
        before, weight = rows.roll(1), mixed[:, 2, None, None, None]
        assert mixed.dtype == torch.float32 and mixed[:, :2].tolist() == torch.stack([rows % 7, before % 7], 1).tolist()
        expected = weight * plain[rows] + (1 - weight) * plain[before]
        assert (images.float() - expected).abs().max() <= 0.5 + 1e-3  # one rounding to whole levels
        weights.append(mixed[:, 2])
        assert (len(set(mixed[:, 2].tolist())) == 1) == same
    assert len({float(weight[0]) for weight in weights}) == 4
    for _, soft in loader(T.MixupToOneHot(7)):
        # also where both labels are one
        torch.testing.assert_close(soft.sum(1), torch.ones(8))
        assert soft.shape == (8, 7) and (soft > 0).sum(1).max() == 2


def test_one_hot_labels_are_made_of_mixed_ones_only(square):
    for operations, message in (
        ([T.MixupToOneHot(7)], r"takes what LabelMixup gives, \(B, 3\), got \(8, 1\)"),
        ([T.LabelMixup(1.0, False), T.MixupToOneHot(3)], "labels run from 0 to 6; num_classes is 3"),
    ):
        loader = Loader(square, 8, pipelines={"image": None, "label": [IntDecoder(), *operations]})
        with pytest.raises(ViewError, match=message):
            list(loader)


# Fields and loader


def test_bytes_and_json_come_as_bytes_and_json_unpacks(tmp_path):
    values = [
        ({"n": i, "word": "ß" * i}, bytes(range(1, i + 2)), np.full((2, i + 2, 3), i, np.uint8)) for i in range(6)
    ]
    fields = {"facts": JSONField(), "raw": BytesField(), "image": RGBImageField()}
    DatasetWriter(tmp_path / "mixed.beton", fields).from_indexed_dataset(values, progress=False)
    pipelines = {"image": [CenterCropRGBImageDecoder((4, 4), 1.0)], "raw": [BytesDecoder(), T.ToTensor()]}
    facts, raw, images = next(iter(Loader(tmp_path / "mixed.beton", 6, pipelines=pipelines)))
    assert JSONField.unpack(facts) == [value[0] for value in values] and JSONField.unpack(facts[2])["n"] == 2
    assert raw.shape == (6, 6) and raw.dtype == torch.uint8 and images.shape == (6, 4, 4, 3)
    assert [bytes(row.tolist()).rstrip(b"\0") for row in raw] == [value[1] for value in values]
    # without images the same values come by themselves
    alone = next(iter(Loader(tmp_path / "mixed.beton", 6, pipelines={"image": None})))
    assert torch.equal(alone[0], facts) and torch.equal(alone[1], raw)


def test_a_field_is_left_out_by_none_and_a_missing_one_has_its_default(square):
    (labels,) = epoch(Loader(square, 8, pipelines={"image": None}))
    assert labels.shape == (32, 1) and labels.dtype == torch.int64
    images, labels = epoch(Loader(square, 8))
    assert np.array_equal(images, SQUARE.images())


def test_order_is_the_same_with_and_without_images(square):
    for order in OrderOption:
        if order is not OrderOption.QUASI_RANDOM:
            given = {"order": order, "seed": 3, "indices": np.arange(2, 30), "drop_last": False}
            with_images, without = Loader(square, 8, **given), Loader(square, 8, pipelines={"image": None}, **given)
            for _ in range(2):
                assert torch.equal(epoch(with_images)[1], epoch(without)[0])
            assert len(with_images) == len(without) == 4


def test_quasi_random_without_images_says_that_it_is_random(square, caplog):
    with caplog.at_level(logging.WARNING):
        loader = Loader(square, 8, order=OrderOption.QUASI_RANDOM, pipelines={"image": None})
    assert "without images the order is RANDOM" in caplog.text and len(epoch(loader)[0]) == 32


def test_positions_are_stocks_or_with_an_order_in_the_third_place_ffcv_ssls(square):
    stock = Loader(square, 8, 2, True, OrderOption.RANDOM, False, 5)
    ssl = Loader(square, 8, OrderOption.RANDOM, 2, True, False, 5)
    erow = Loader(square, 8, 2, 0, OrderOption.RANDOM, False, 5)
    assert stock.seed == ssl.seed == erow.seed == 5 and stock.num_workers == ssl.num_workers == erow.num_workers == 2
    a, b, c = epoch(stock), epoch(ssl), epoch(erow)
    assert torch.equal(a[1], b[1]) and torch.equal(a[1], c[1])


@pytest.mark.parametrize("cache", [{"os_cache": False}, {"cache_type": 1}, {"cache_type": 0}])
def test_caches_change_no_batch(square, cache):
    for x, y in zip(epoch(Loader(square, 8)), epoch(Loader(square, 8, **cache)), strict=True):
        assert torch.equal(x, y)


RANK = """
import sys
import torch
from data_loading.ffcv.loader import Loader, OrderOption

rank, path, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
found = {}
for name, pipelines in (("images", {}), ("none", {"image": None})):
    for drop_last in (True, False):
        given = {"pipelines": pipelines, "drop_last": drop_last}
        loader = Loader(path, 5, 1, order=OrderOption.RANDOM, distributed=True, **given)
        found[name, drop_last] = [batch[-1].flatten().tolist() for batch in loader]
        assert len(loader) == len(found[name, drop_last]) and loader.seed == 0
torch.save(found, f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_two_processes_share_each_epoch_and_take_as_many_batches(tmp_path):
    numbered = [(image, i) for i, image in enumerate(Photographs(33, sides=8).images())]
    path = write(tmp_path / "numbered.beton", numbered)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", RANK]
    running = [subprocess.Popen([*command, str(rank), path, tmp_path], env=env) for rank in (0, 1)]
    assert [process.wait() for process in running] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name in ("images", "none"):
        dropped = sum([*first[name, True], *second[name, True]], [])
        assert len(set(dropped)) == len(dropped) == 30
        kept = [*first[name, False], *second[name, False]]
        assert [len(batch) for batch in kept] == [5] * 8 and {n for batch in kept for n in batch} == set(range(33))
    assert first["images", True] == first["none", True]


def test_filter_takes_a_condition_on_one_sample_of_what_the_pipeline_gives(square):
    pipelines = {"label": [IntDecoder(), T.ToTensor(), T.Squeeze()]}
    loader = Loader(square, 2, order=OrderOption.RANDOM, pipelines=pipelines, indices=np.arange(20))
    threes = loader.filter("label", lambda label: label == 3)
    assert threes.indices.tolist() == [3, 10, 17] and threes.seed == loader.seed
    assert all((labels == 3).all() for _, labels in threes)
    bright = loader.filter("image", lambda image: image.float().mean() > 128)
    assert bright.indices.tolist() == [i for i in range(20) if SQUARE[i][0].mean() > 128]


def test_a_kept_batch_does_not_change(square):
    loader = Loader(square, 4, order=OrderOption.RANDOM, seed=0)
    kept, copies = [], []
    for images, _ in loader:
        kept.append(images)
        copies.append(images.clone())
    assert len(kept) == 8 and all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_an_epoch_that_is_left_ends_its_threads_and_the_next_one_begins_anew(square):
    loader, before = Loader(square, 4, 2, order=OrderOption.RANDOM, seed=0), threading.active_count()
    for _ in loader:
        assert threading.active_count() > before
        break
    assert threading.active_count() == before
    assert len(list(loader)) == 8 and loader.next_epoch == 2


def test_changes_of_operations_take_effect_in_the_next_epoch_with_and_without_recompile(square):
    for recompile in (True, False):
        decoder = RandomResizedCropRGBImageDecoder((16, 16))
        given = [decoder]
        loader = Loader(square, 8, pipelines={"image": given, "label": None}, recompile=recompile, seed=0)
        first, source = iter(loader), loader._source
        assert next(first)[0].shape[1] == 16
        decoder.output_size = (20, 20)
        assert next(first)[0].shape[1] == 16  # an epoch that has begun stays as it is
        assert next(iter(loader))[0].shape[1] == 20
        assert loader.next_epoch == 2 and loader._source is not source
        source = loader._source
        given.append(T.CenterCrop((8, 8), 1.0))  # a list that goes on being used changes no loader that was made of it
        assert next(iter(loader))[0].shape[1] == 20 and loader._source is source  # nothing new: nothing is made anew
    loader.compile_pipeline({"image": [CenterCropRGBImageDecoder((12, 12), 1.0)]})
    assert [x.shape[1:] for x in next(iter(loader))] == [(12, 12, 3), (1,)]


# What is not offered


class Custom(Operation):
    def generate_code(self):
        return None


class Flipped(T.RandomHorizontalFlip):
    def generate_code(self):
        return None


def image(*operations):
    return {"pipelines": {"image": [SimpleRGBImageDecoder(), *operations]}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            image(Custom()),
            "pipeline 'image': Custom is no operation that is known here; an op of one's own is an OwnOp",
        ),
        (image(Flipped()), "Flipped is no operation that is known here"),
        (image(3), "int is no operation"),
        (image(T.ToTensor(), T.RandomHorizontalFlip()), "RandomHorizontalFlip follows ToTensor; first comes"),
        (image(T.Cutout(30)), "Cutout: crop_size is 30; it must be from 0 to the view's side, 24"),
        (image(T.RandomResizedCrop((8, 8), second_seed=4)), r"none has RandomResizedCrop\(seed=4\)"),
        ({"pipelines": {"image2": [SimpleRGBImageDecoder()]}}, r"no field 'image2'.*custom_field_mapper=\{'image2': "),
        ({"pipelines": {"image": T.ToTensor()}}, "pipeline 'image' is a ToTensor; it is a list"),
        ({"pipelines": {"label": [FloatDecoder()]}}, "FloatDecoder does not fit field 'label' of type int"),
        ({"pipelines": {"label": [T.Cutout(2)]}}, "Cutout follows a field's decoder"),
        ({"order": 3}, "order is 3; it is an OrderOption. An order of your own: OrderOption.SEQUENTIAL with `indices`"),
        ({"distributed": True}, "torch.distributed does not run; call init_process_group first"),
        (
            {"distributed": True, "order": OrderOption.SEQUENTIAL_CONTIGUOUS},
            "SEQUENTIAL_CONTIGUOUS is not offered for distributed",
        ),
        ({"custom_fields": {"a": int}}, r"custom_fields is not offered; data_loading.Reader\(path, custom="),
        ({"order_kwargs": {"a": 1}}, "order_kwargs is not offered; data_loading.Loader has pool_pages"),
        ({"cache_type": 3}, "cache_type is 3; it is 0"),
        ({"pipeline": {}}, "Loader has no argument 'pipeline'. Did you mean 'pipelines'"),
        ({"indices": [99]}, "the file has 32 rows"),
        ({"seed": -1}, "seed is -1; it must be an integer from 0 to 4294967295"),
        ({"batch_size": 33, "pipelines": {"image": None}}, "batch_size is 33 and there are 32 samples"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(square, arguments, message):
    with pytest.raises(UserError, match=message):
        Loader(square, **{"batch_size": 8, **arguments})


def test_the_loader_wants_a_file_and_a_batch_size_once(square):
    for args, kwargs, message in (
        ((square,), {}, "Loader needs batch_size"),
        ((square, 8), {"batch_size": 8}, "Loader got 'batch_size' twice"),
        ((square, 8, *range(13)), {}, "Loader takes 14 arguments by position, got 15"),
    ):
        with pytest.raises(ConfigError, match=message):
            Loader(*args, **kwargs)
    with pytest.raises(ConfigError, match="it has image, label"):
        Loader(square, 8).filter("labels", bool)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomResizedCropRGBImageDecoder((24, 32)), r"output_size is \(24, 32\); views are square"),
        (
            lambda: CenterCropRGBImageDecoder((8, 8), 1, interpolation=0),
            "interpolation is 0; it is linear, cubic or area",
        ),
        (lambda: T.RandomResizedCrop(), "RandomResizedCrop: output_size is not given"),
        (
            lambda: T.RandomColorJitter(contrast=(0.5, 2)),
            r"contrast is \(0.5, 2\), not even about 1; put data_loading.ops",
        ),
        (lambda: T.NormalizeImage([1, 2], [1, 2], np.float32), "need three numbers each"),
        (lambda: T.Convert("U3"), "is no dtype that torch has"),
        (lambda: T.ImageMixup(0.0, True), "alpha is 0.0; it must be a number above 0"),
        (lambda: T.Poison(None, None, []), "Poison of FFCV is not offered: Batch.index"),
    ],
)
def test_operations_are_refused_when_they_are_made(make, message):
    with pytest.raises(ViewError, match=message):
        make()


@pytest.mark.parametrize(
    "name",
    ["allocation_query.AllocationQuery", "operation.AllocationQuery", "state.State", "operation.State",
     "compiler.Compiler"],
)  # fmt: skip
def test_what_operations_of_ones_own_import_says_what_stands_in_its_place(name):
    module, _, kind = name.partition(".")
    made = __import__(f"data_loading.ffcv.pipeline.{module}", fromlist=[kind])
    with pytest.raises(ViewError, match=f"{kind} of FFCV is not offered: an op of one's own is an OwnOp"):
        getattr(made, kind)()


def test_images_of_different_sizes_and_interpolations_that_differ_are_refused(photographs):
    with pytest.raises(ViewError, match="SimpleRGBImageDecoder: images have sides of 30 to 58 pixels"):
        Loader(photographs, 8)
    cubic, area = (CenterCropRGBImageDecoder((8, 8), 1.0, interpolation=i) for i in (2, 3))
    with pytest.raises(ViewError, match="share one interpolation"):
        Loader(photographs, 8, pipelines={"image": [cubic], "two": PipelineSpec("image", area)})


def test_an_operation_of_ones_own_reaches_the_message_that_names_own_op(photographs):
    """Written as FFCV's guide has it."""
    from data_loading.ffcv.pipeline.operation import AllocationQuery, Operation

    class Invert(Operation):
        def declare_state_and_memory(self, previous_state):
            return previous_state, AllocationQuery(previous_state.shape, previous_state.dtype)

    with pytest.raises(ViewError, match="Invert is no operation that is known here; an op of one's own is an OwnOp"):
        Loader(photographs, 8, pipelines={"image": [CenterCropRGBImageDecoder((8, 8), 1.0), Invert()]})
    with pytest.raises(ImportError, match="cannot import name 'Other'"):
        from data_loading.ffcv.pipeline.operation import Other  # noqa: F401


def test_the_names_of_a_version_and_of_the_type_of_orders():
    import data_loading.ffcv
    from data_loading.ffcv.loader.loader import ORDER_TYPE

    assert data_loading.ffcv.__version__ == "1.0.2" and isinstance(OrderOption.RANDOM, ORDER_TYPE)


def test_no_batches_ahead_give_the_batches_of_one(photographs):
    pipelines = {"image": [CenterCropRGBImageDecoder((8, 8), 1.0), ToTensor()]}
    none, one = (Loader(photographs, 4, pipelines=pipelines, batches_ahead=n) for n in (0, 1))
    for a, b in zip(none, one, strict=True):
        assert torch.equal(a[0], b[0])
    with pytest.raises(ConfigError, match="batches_ahead is -1"):
        Loader(photographs, 4, pipelines=pipelines, batches_ahead=-1)


@pytest.mark.parametrize("name", ["train.bin", "train"])
def test_a_file_is_known_by_its_content_whatever_its_name(photographs, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(Path(photographs).read_bytes())
    pipelines = {"image": [CenterCropRGBImageDecoder((8, 8), 1.0), ToTensor()]}
    batches = [next(iter(Loader(where, 4, pipelines=pipelines)))[0] for where in (path, str(path), photographs)]
    assert torch.equal(batches[0], batches[2]) and torch.equal(batches[1], batches[2])
    assert len(next(iter(Loader(f"{tmp_path}/*{name[1:]}", 4, pipelines=pipelines)))[0]) == 4  # a pattern
    path.write_bytes(b"\2\0\1\0" + bytes(100))
    with pytest.raises(SourceError, match="is not a folder of images"):
        as_beton(path)
