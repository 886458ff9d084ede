"""Segmentation: a linear head on frozen feature maps, measured by mean intersection over union.

DINOv3's linear evaluation (arXiv:2508.10104; dinov3/eval/segmentation): dropout of channels, BatchNorm and a 1 x 1
convolution on the last feature map; AdamW, cosine with warm-up, crops of `size` pixels of images scaled at random. In
the test, windows of `size` pixels slide over the image whose shorter side is `size`; their probabilities are averaged.
Differs from their code: colours are changed by torchvision's functions in the ranges of mmseg's PhotoMetricDistortion
(brightness by a factor, theirs by a sum), and crops of one class only are kept.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from massrl.dense.images import DenseData, Samples
from massrl.dense.masks import IGNORED, Masks, read_masks
from massrl.dense.recipes import SEGMENT, Segment, recipe
from massrl.dense.result import TRAINED, UNTRAINED, Segmentation
from massrl.dense.stages import LastMap
from massrl.dense.training import Machine, Source, calibrated, seeded, source, train_and_test
from massrl.distributed import mean_over_ranks
from massrl.evaluation.flagged import same_or_swapped
from massrl.evaluation.options import check_options
from massrl.methods.base import Branch

CALIBRATION_IMAGES, CALIBRATION_BATCH = 128, 16  # from which the untrained network's BatchNorm has its statistics
# Each half of the time. Not v2.RandomPhotometricDistort, which also swaps the channels: colour would tell no class.
COLOUR: tuple[dict[str, Any], ...] = (
    {"brightness": 32 / 255},
    {"contrast": 0.5},
    {"saturation": 0.5},
    {"hue": 18 / 180},
)
WINDOWS = 8  # that go through the network together


class LinearHead(nn.Sequential):
    """Feature maps (B, C, H, W) -> logits (B, K, H, W): dropout of channels, BatchNorm, 1 x 1 convolution."""

    def __init__(self, channels: int, classes: int, dropout: float):
        conv = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(conv.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, conv.bias))
        super().__init__(nn.Dropout2d(dropout), nn.BatchNorm2d(channels), conv)


class Segmenter(pl.LightningModule):
    """A linear head on frozen feature maps under Lightning; after a test `figures` and `per_class` hold what it found.

    backbone: its weights and statistics do not change.  mean, std: of its images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, classes: int, settings: Segment, mean: Sequence[float], std: Sequence[float]
    ):
        super().__init__()
        self.settings, self.classes = settings, classes
        self.features = LastMap(backbone, settings.size).eval().requires_grad_(False)
        self.head = LinearHead(self.features.channels, classes, settings.dropout)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        counted: dict[str, Any] = {"num_classes": classes, "ignore_index": IGNORED, "validate_args": False}
        self.metrics = MetricCollection(
            {
                "miou": MulticlassJaccardIndex(average="macro", **counted),  # over classes that occur
                "per_class": MulticlassJaccardIndex(average="none", zero_division=math.nan, **counted),
                "accuracy": MulticlassAccuracy(average="micro", **counted),
            },
            compute_groups=[["miou", "per_class"], ["accuracy"]],
        )
        self.figures: dict[str, float] = {}
        self.per_class: dict[str, float] = {}

    def train(self, mode: bool = True) -> Segmenter:
        """As Module.train, but the backbone stays in eval mode."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Images, uint8 (B, 3, H, W) -> logits (B, K, H', W') on the grid of the features."""
        with torch.no_grad():
            maps = self.features((images / 255.0 - self.mean) / self.std)
        return self.head(maps)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | None:
        images, masks = batch
        logits = F.interpolate(self(images), size=masks.shape[-2:], mode="bilinear", align_corners=False)
        counted = masks != IGNORED
        # A sum, divided: cross_entropy's own mean is NaN for crops whose every pixel is ignored.
        loss = F.cross_entropy(logits, masks.long(), ignore_index=IGNORED, reduction="sum") / counted.sum().clamp(min=1)
        if not torch.isfinite(seen := mean_over_ranks(loss)):  # on all processes together: none waits for another
            raise ConfigError(
                f"the loss is {seen.item()} at step {self.global_step}; lower lr, or check the checkpoint"
            )
        self.log("loss", loss.detach(), prog_bar=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        s = self.settings
        optimizer = torch.optim.AdamW(self.head.parameters(), s.lr, weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, s.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        image, mask = batch  # of one image, in its own size
        self.metrics.update(self.segmented(image[0])[None], mask.long())

    def segmented(self, image: Tensor) -> Tensor:
        """The class of every pixel, int64 (H, W), of an image, uint8 (3, H, W)."""
        size, (height, width) = self.settings.size, image.shape[-2:]
        resized = v2.functional.resize(image, [size], antialias=True)  # the shorter side
        grown = slide(self._probabilities, resized, size, max(1, round(self.settings.stride * size)))
        return F.interpolate(grown[None], size=(height, width), mode="bilinear", align_corners=False)[0].argmax(0)

    def _probabilities(self, windows: Tensor) -> Tensor:
        """Windows, uint8 (N, 3, S, S) -> (N, K, S, S), which sum to 1 over K."""
        logits = torch.cat([self(some) for some in windows.split(WINDOWS)])
        return F.interpolate(logits, size=windows.shape[-2:], mode="bilinear", align_corners=False).softmax(1)

    def on_test_epoch_end(self) -> None:
        found = self.metrics.compute()
        self.figures = {name: float(found[name]) for name in ("miou", "accuracy")}
        self.per_class = {str(i): float(value) for i, value in enumerate(found["per_class"])}
        self.metrics.reset()


def slide(network: Any, image: Tensor, size: int, stride: int) -> Tensor:
    """The mean of what `network` makes of the windows over each pixel: image (C, H, W) -> (K, H, W).

    network: windows (N, C, size, size) -> (N, K, size, size).  Windows are `stride` apart, the last ones at the edge.
    """
    height, width = image.shape[-2:]
    tops, lefts = (_starts(side, size, stride) for side in (height, width))
    corners = [(top, left) for top in tops for left in lefts]
    parts = network(torch.stack([image[:, y : y + size, x : x + size] for y, x in corners]))
    total = parts.new_zeros(parts.shape[1], height, width)
    count = parts.new_zeros(height, width)
    for part, (y, x) in zip(parts, corners, strict=True):
        total[:, y : y + size, x : x + size] += part
        count[y : y + size, x : x + size] += 1
    return total / count


def _starts(side: int, size: int, stride: int) -> list[int]:
    """Where windows begin along a side: every `stride`, and one that ends at the edge."""
    return [*range(0, side - size, stride), side - size]


def segment(
    checkpoint: str | os.PathLike,
    train: str | os.PathLike,
    train_masks: str | os.PathLike,
    test: str | os.PathLike,
    test_masks: str | os.PathLike,
    *,
    branch: Branch | None = None,
    settings: str = "dinov3",
    classes: int | None = None,
    zero_is_ignored: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    size: int | None = None,
    untrained: bool = True,
    seed: int = 0,
    num_workers: int = 2,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
    progress: bool = True,
) -> Segmentation:
    """Train a linear head on a checkpoint's frozen feature maps and measure its mIoU, as `massrl segment`.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: folder of the training images.
        train_masks: folder of their masks: PNG files of the same names, a class number from 0 each pixel, 255 ignored.
        test: folder of the images to measure on.
        test_masks: folder of their masks.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        settings: "dinov3".
        classes: number of classes; that of the training masks unless said.
        zero_is_ignored: 0 in the masks is ignored and 1 is the first class, as in ADE20K.
        steps: optimiser steps; those of the settings unless said.
        batch_size: images of a step over all processes; the rate is scaled with it.
        lr: learning rate, in place of the settings' scaled one.
        size: side of crops and windows in pixels; 512 unless said.
        untrained: measure the same network with random weights, too.
        seed: of the head's weights, the crops, and the untrained weights.
        num_workers: processes that read images.
        accelerator: of Lightning's Trainer, as the following.
        devices: how many, or which.
        num_nodes: machines.
        strategy: for example "ddp".
        precision: for example "bf16-mixed".
        progress: show a progress bar.

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    check_options(seed=seed, num_workers=num_workers)
    given = {"steps": steps, "batch_size": batch_size, "lr": lr, "size": size}
    protocol = cast(Segment, recipe(settings, SEGMENT).changed(**given))
    machine = Machine(accelerator, devices, num_nodes, strategy, precision, progress)
    of = source(checkpoint, branch)
    LastMap(of.backbone, protocol.size)  # a network or size that does not fit is named before the files are read
    masks = read_masks(train, train_masks, "train", classes, zero_is_ignored)
    test_set = read_masks(test, test_masks, "test", masks.classes, zero_is_ignored)
    test_set.check()
    rows = [TRAINED, *([UNTRAINED] if untrained else [])]
    found = {row: _measured(row, of, protocol, masks, test_set, machine, seed, num_workers) for row in rows}
    facts = {
        **of.facts,
        "train": str(train),
        "test": str(test),
        "train_names_sha256": masks.names_sha256(),
        "test_names_sha256": test_set.names_sha256(),
        "train_images": len(masks),
        "test_images": len(test_set),
        "classes": [str(i) for i in range(masks.classes)],
        "seed": seed,
        "warnings": same_or_swapped(train, test, {"train": Path(train).resolve(), "test": Path(test).resolve()}),
    }
    return Segmentation(
        protocol,
        of.method,
        {row: one.figures for row, one in found.items()},
        {row: one.per_class for row, one in found.items()},
        facts,
    )


def _measured(
    row: str, of: Source, protocol: Segment, masks: Masks, test: Masks, machine: Machine, seed: int, num_workers: int
) -> Segmenter:
    """A head, trained and tested. row: whether on the checkpoint's weights or on random ones."""
    backbone = of.copy() if row == TRAINED else of.untrained(seed)
    if row == UNTRAINED:
        calibrated(backbone, _calibration(masks, protocol.size, of))
    with seeded(seed):
        module = Segmenter(backbone, masks.classes, protocol, of.mean, of.std)
        training = Samples(len(masks), masks.read, _Crop(protocol), seed)
        testing = Samples(len(test), test.read)
        data = DenseData(training, testing, protocol.steps, protocol.batch_size, _collate, num_workers, seed)
        train_and_test(module, data, machine.trainer(protocol, sync_norm=True, clip_norm=protocol.clip_norm))
    return module


class _Crop:
    """A crop of an image that is resized at random, flipped half of the time and changed in colour, with its mask."""

    def __init__(self, settings: Segment):
        self.size, self.scale = settings.size, settings.scale
        fill = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}
        self.change = v2.Compose(
            [
                v2.RandomCrop(settings.size, pad_if_needed=True, fill=fill),
                v2.RandomHorizontalFlip(settings.flip),
                *(v2.RandomApply([v2.ColorJitter(**jitter)], 0.5) for jitter in COLOUR),
            ]
        )

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.scale
        short = max(1, round(self.size * (low + (high - low) * float(torch.rand(())))))
        resized = v2.functional.resize(image, [short], antialias=True)
        labels = v2.functional.resize(mask[None], list(resized.shape[-2:]), InterpolationMode.NEAREST)
        image, labels = self.change(tv_tensors.Image(resized), tv_tensors.Mask(labels))
        return image.as_subclass(Tensor), labels.as_subclass(Tensor)[0]


def _collate(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    images, masks = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(masks)


def _calibration(masks: Masks, size: int, of: Source) -> Iterator[Tensor]:
    """Batches (B, 3, size, size) of the middles of training images, normalised."""
    view = v2.Compose([v2.Resize(size), v2.CenterCrop(size)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (of.mean, of.std))
    for start in range(0, min(CALIBRATION_IMAGES, len(masks)), CALIBRATION_BATCH):
        images = [masks.read(row)[0] for row in range(start, min(start + CALIBRATION_BATCH, len(masks)))]
        yield torch.stack([(view(image).float() / 255 - mean) / std for image in images])
