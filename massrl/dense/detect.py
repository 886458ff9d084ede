"""Detection: Faster R-CNN with a feature pyramid on a checkpoint's backbone, measured as COCO does.

Ren et al., "Faster R-CNN", arXiv:1506.01497; Lin et al., "Feature Pyramid Networks", arXiv:1612.03144. The detector is
torchvision's; only the backbone is ours. Anchors have the side of 8 cells of their level: with the strides 4 to 64 of a
ResNet these are the usual 32 to 512 pixels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.transforms import v2

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, SourceError
from massrl.dense.coco import Boxes, read_coco
from massrl.dense.images import DenseData, Samples
from massrl.dense.recipes import DETECT, Detect, recipe
from massrl.dense.result import TRAINED, UNTRAINED, Detection
from massrl.dense.stages import stages
from massrl.dense.training import Machine, Source, calibrated, gathered, seeded, source, train_and_test
from massrl.distributed import mean_over_ranks
from massrl.evaluation.flagged import same_or_swapped
from massrl.evaluation.options import check_options
from massrl.methods.base import Branch
from massrl.runs.record import file_sha256

ANCHOR_CELLS = 8  # side of an anchor in cells of its level
RATIOS = (0.5, 1.0, 2.0)
COCO_METRICS = {"pycocotools": "pycocotools", "faster_coco_eval": "faster-coco-eval"}  # module -> package
CALIBRATION_IMAGES, CALIBRATION_BATCH = 64, 8  # from which the untrained network's BatchNorm has its statistics
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class Pyramid(nn.Module):
    """A backbone's stages and a feature pyramid on them: images (B, 3, H, W) -> {level: (B, C, H', W')}.

    frozen: how many groups of layers keep their weights.  norm: "trained" or "frozen", as `Detect` says.
    """

    def __init__(self, backbone: nn.Module, channels: int, frozen: int, norm: str):
        super().__init__()
        self.stages = stages(backbone)
        if not 0 <= frozen <= len(self.stages.groups):
            raise ConfigError(f"frozen is {frozen}; the backbone has {len(self.stages.groups)} groups, stem included")
        self.frozen, self.norm, self.out_channels = frozen, norm, channels
        self.fpn = FeaturePyramidNetwork(
            self.stages.channels,
            channels,
            extra_blocks=LastLevelMaxPool(),
            norm_layer=nn.BatchNorm2d if norm == "trained" else None,
        )
        self.strides = [*self.stages.strides, 2 * self.stages.strides[-1]]
        for group in self.stages.groups[:frozen]:
            group.requires_grad_(False)
        if norm == "frozen":
            for part in _norms(self.stages):
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> Pyramid:
        """As Module.train, but frozen groups and frozen norms stay in eval mode."""
        super().train(mode)
        for group in self.stages.groups[: self.frozen]:
            group.eval()
        if self.norm == "frozen":
            for part in _norms(self.stages):
                part.eval()
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.stages(x))


def faster_rcnn(
    backbone: nn.Module, classes: int, settings: Detect, mean: Sequence[float], std: Sequence[float]
) -> Any:
    """torchvision's Faster R-CNN on the stages of a backbone. classes: without the background."""
    pyramid = Pyramid(backbone, settings.fpn_channels, settings.frozen, settings.norm)
    levels = len(pyramid.strides)
    return FasterRCNN(
        pyramid,
        num_classes=classes + 1,
        min_size=settings.sizes,
        max_size=settings.max_size,
        image_mean=list(mean),
        image_std=list(std),
        size_divisible=max(32, pyramid.strides[-2]),
        rpn_anchor_generator=AnchorGenerator(
            tuple((ANCHOR_CELLS * stride,) for stride in pyramid.strides), (RATIOS,) * levels
        ),
        box_roi_pool=MultiScaleRoIAlign([str(i) for i in range(levels - 1)], output_size=7, sampling_ratio=2),
    )


class Detector(pl.LightningModule):
    """Faster R-CNN under Lightning: SGD by a recipe, and COCO's average precision of the test images.

    After a test `figures` holds {measure: value} and `per_class` {class: AP}.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classes: Sequence[str],
        settings: Detect,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        self.classes, self.settings = tuple(classes), settings
        self.detector = faster_rcnn(backbone, len(classes), settings, mean, std)
        self.seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []  # (found, true) of each test image
        self.figures: dict[str, float] = {}
        self.per_class: dict[str, float] = {}

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Images (3, H, W) in 0..1 -> {"boxes", "labels", "scores"} each; in eval mode."""
        return self.detector(images)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.detector(*batch)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(seen := mean_over_ranks(loss)):  # on all processes together: none waits for another
            raise ConfigError(f"the loss is {seen.item()} at step {self.global_step}; lower lr")
        self.log("loss", loss.detach(), prog_bar=True, batch_size=len(batch[0]))
        return loss

    def configure_optimizers(self) -> Any:
        s = self.settings
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, s.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        self.seen += [(_on_cpu(found), _on_cpu(true)) for found, true in zip(self(images), targets, strict=True)]

    def on_test_epoch_end(self) -> None:
        metric = average_precision()
        for boxes, true in gathered(self.seen):
            metric.update([boxes], [true])
        found = metric.compute()
        names = {"ap": "map", "ap50": "map_50", "ap75": "map_75"}
        names |= {f"ap_{size}": f"map_{size}" for size in ("small", "medium", "large")}
        # COCO says -1 where there is no box of a size.
        self.figures = {ours: _or_nan(float(found[theirs])) for ours, theirs in names.items()}
        seen = dict(zip(found["classes"].flatten().tolist(), _per_class(found["precision"]), strict=True))
        self.per_class = {name: seen.get(i + 1, float("nan")) for i, name in enumerate(self.classes)}
        self.seen = []


def average_precision() -> Any:
    """torchmetrics' mean average precision, computed by pycocotools or faster-coco-eval, whichever is installed."""
    installed = [module for module in COCO_METRICS if find_spec(module)]
    if not installed:
        raise ConfigError("detect needs a COCO metric: pip install massrl[detection], or pip install pycocotools")
    from torchmetrics.detection import MeanAveragePrecision

    # Every process is given all images: torchmetrics 1.9 fails where ranks have unequal numbers of them.
    options: dict[str, Any] = {"backend": installed[0], "sync_on_compute": False}
    return MeanAveragePrecision(extended_summary=True, **options)


def detect(
    checkpoint: str | os.PathLike,
    train: str | os.PathLike,
    train_json: str | os.PathLike,
    test: str | os.PathLike,
    test_json: str | os.PathLike,
    *,
    branch: Branch | None = None,
    settings: str = "moco",
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    size: int | None = None,
    frozen: int | None = None,
    fpn_channels: int | None = None,
    untrained: bool = False,
    seed: int = 0,
    num_workers: int = 2,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
    progress: bool = True,
) -> Detection:
    """Train Faster R-CNN on a checkpoint's backbone and measure its average precision, as `massrl detect`.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: folder of the training images.
        train_json: their boxes, a COCO file of instances.
        test: folder of the images to measure on.
        test_json: their boxes; the categories must be those of train_json.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        settings: "moco" (all layers are trained) or "ssl-transfer" (stem and three stages frozen).
        steps: optimiser steps; those of the settings unless said.
        batch_size: images of a step over all processes; the rate is scaled with it.
        lr: learning rate, in place of the settings' scaled one.
        size: of an image's shorter side in pixels, in training and test; the settings' range unless said.
        frozen: groups of layers that are not trained, from the stem on: 0 to 5 for a ResNet.
        fpn_channels: channels of the feature pyramid; fewer are quicker.
        untrained: measure the same network with random weights, too, which takes as long again.
        seed: of the new layers' weights, the order and the flips, and the untrained weights.
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
    given = {"steps": steps, "batch_size": batch_size, "lr": lr, "frozen": frozen, "fpn_channels": fpn_channels}
    protocol = cast(Detect, recipe(settings, DETECT).changed(**given))
    if size is not None:
        protocol = protocol.of_size(size)
    average_precision()  # a missing package is named before the work
    machine = Machine(accelerator, devices, num_nodes, strategy, precision, progress)
    boxes, test_boxes = read_coco(train_json, train, "train"), read_coco(test_json, test, "test")
    if boxes.classes != test_boxes.classes:
        odd = sorted(set(boxes.classes) ^ set(test_boxes.classes)) or ["their order"]
        raise SourceError(f"{train_json} and {test_json} have other categories: {', '.join(odd[:5])} differs")
    of = source(checkpoint, branch)
    rows = [TRAINED, *([UNTRAINED] if untrained else [])]
    detectors = {row: _measured(row, of, protocol, boxes, test_boxes, machine, seed, num_workers) for row in rows}
    hashes = {"train": file_sha256(train_json), "test": file_sha256(test_json)}
    facts = {
        **of.facts,
        "train": str(train),
        "test": str(test),
        **{f"{part}_json_sha256": sha256 for part, sha256 in hashes.items()},
        "warnings": same_or_swapped(train, test, hashes),
        "train_images": len(boxes.with_boxes()),
        "test_images": len(test_boxes),
        "boxes_left_out": [boxes.left_out, test_boxes.left_out],
        "classes": list(boxes.classes),
        "seed": seed,
    }
    return Detection(
        protocol,
        of.method,
        {row: one.figures for row, one in detectors.items()},
        {row: one.per_class for row, one in detectors.items()},
        facts,
    )


def _measured(
    row: str, of: Source, protocol: Detect, boxes: Boxes, test: Boxes, machine: Machine, seed: int, num_workers: int
) -> Detector:
    """A detector, trained and tested. row: whether with the checkpoint's weights or with random ones."""
    chosen = boxes.with_boxes()
    backbone = of.copy() if row == TRAINED else of.untrained(seed)
    if row == UNTRAINED and (protocol.norm == "frozen" or protocol.frozen):  # else all norms learn their statistics
        calibrated(backbone, _calibration(boxes, chosen, protocol.sizes[-1], of))
    with seeded(seed):
        module = Detector(backbone, boxes.classes, protocol, of.mean, of.std)
        training = Samples(len(chosen), partial(_read, boxes, chosen), _flipped, seed)
        testing = Samples(len(test), test.read)
        data = DenseData(training, testing, protocol.steps, protocol.batch_size, _collate, num_workers, seed)
        train_and_test(module, data, machine.trainer(protocol, sync_norm=protocol.norm == "trained"))
    return module


def _read(boxes: Boxes, chosen: Sequence[int], i: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Image i of the chosen ones, and its boxes."""
    return boxes.read(chosen[i])


def _flipped(image: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Image and boxes, half of the time mirrored; crowds are not trained on."""
    kept = {key: value[target["iscrowd"] == 0] for key, value in target.items()}
    boxes = tv_tensors.BoundingBoxes(kept["boxes"], format="XYXY", canvas_size=image.shape[-2:])
    image, boxes = v2.RandomHorizontalFlip(0.5)(tv_tensors.Image(image), boxes)
    return image.as_subclass(Tensor), {**kept, "boxes": boxes.as_subclass(Tensor)}


def _collate(samples: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
    """Images differ in size, so they stay a list: float32 (3, H, W) in 0..1."""
    return [image.float() / 255 for image, _ in samples], [target for _, target in samples]


def _calibration(boxes: Boxes, chosen: Sequence[int], side: int, of: Source) -> Iterator[Tensor]:
    """Batches (B, 3, side, side) of the middles of training images, normalised."""
    view = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (of.mean, of.std))
    for start in range(0, min(CALIBRATION_IMAGES, len(chosen)), CALIBRATION_BATCH):
        images = [boxes.read(row)[0] for row in chosen[start : start + CALIBRATION_BATCH]]
        yield torch.stack([(view(image).float() / 255 - mean) / std for image in images])


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in tensors.items()}


def _norms(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _per_class(precision: Tensor) -> list[float]:
    """AP of each class from COCO's table (IoU threshold, recall, class, area, detections), where -1 is "none"."""
    of_all = precision[:, :, :, 0, -1].flatten(0, 1)  # (T * R, K), of all areas and 100 detections
    return [float(column[column > -1].mean()) if (column > -1).any() else math.nan for column in of_all.T]


def _or_nan(value: float) -> float:
    return math.nan if value < 0 else value
