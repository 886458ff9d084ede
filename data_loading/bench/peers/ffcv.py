"""FFCV's own loader on the same .beton file, for works of one view without colour ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ffcv.fields.decoders import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, RandomTranslate, ToTensor, ToTorchImage

from data_loading.bench.peers.base import MEAN, STD, Peer
from data_loading.bench.works import ViewSpec, Work
from data_loading.beton.mapping import named
from data_loading.errors import ConfigError


class Entry(Peer):
    """The peer `ffcv`; ConfigError for a file of several parts, which FFCV cannot read."""

    @classmethod
    def can(cls, work: Work) -> bool:
        """Whether the work is one view without colour ops and policies."""
        spec = work.views[0]
        return len(work.views) == 1 and spec.jitter is None and spec.policy is None

    def __init__(self, work: Work, file: str, batch_size: int, workers: int):
        files = named(file)
        if len(files) > 1:
            raise ConfigError(f"FFCV reads one file at a time, but {file} names {len(files)} files")
        super().__init__(work, file, batch_size, workers)
        steps = geometry(work.views[0])
        if work.dtype == "float32":
            steps.append(NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32))
        others = {name: None for name in self.images.reader.fields if name != "image"}
        self.loader = Loader(
            str(files[0]),
            batch_size=batch_size,
            num_workers=workers,
            order=OrderOption.SEQUENTIAL,
            os_cache=True,
            drop_last=True,
            pipelines={"image": [*steps, ToTensor(), ToTorchImage()], **others},
        )

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """One epoch over these rows; yields the number of images of each batch."""
        self.loader.traversal_order.indices = np.array(rows, np.uint64)
        for (images,) in self.loader:
            yield len(images)


def geometry(spec: ViewSpec) -> list:
    """The decoder that crops, and the flip."""
    size = (spec.size, spec.size)
    if spec.geometry == "centre":
        return [CenterCropRGBImageDecoder(size, ratio=7 / 8)]
    if spec.geometry == "padded":
        return [SimpleRGBImageDecoder(), RandomHorizontalFlip(), RandomTranslate(padding=4)]
    return [RandomResizedCropRGBImageDecoder(size, scale=spec.scale), RandomHorizontalFlip()]
