"""FFCV-SSL's decoders of images, which it lists among the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from data_loading.errors import ViewError
from data_loading.ffcv.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizedCropRGBImageDecoder,
)
from data_loading.ffcv.pipeline.operation import ImageDecoder
from data_loading.ops import CornerCrop as CornerRule
from data_loading.ops import Crop, Pad


class RandomResizedCrop(RandomResizedCropRGBImageDecoder):
    """A box of random area and aspect ratio, resized to output_size in pixels; a decoder, as in FFCV-SSL.

    seed: crops of equal seed have equal boxes in all views of a sample, whatever the views' sizes.  second_seed: the
    box does not overlap the box of the pipeline whose crop has this seed, if possible.
    Stock FFCV's RandomResizedCrop(scale, ratio, size) is accepted, too, right after a SimpleRGBImageDecoder.
    """

    def __init__(
        self,
        output_size: int | Sequence[int] | None = None,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (0.75, 4 / 3),
        seed: int | None = None,
        second_seed: int | None = None,
        size: int | None = None,
    ):
        if isinstance(ratio, Integral):  # stock's three positions
            scale, ratio, size = output_size, scale, ratio
        output_size = output_size if size is None else size
        if output_size is None:
            raise ViewError("RandomResizedCrop: output_size is not given; name it, as (224, 224)")
        super().__init__(output_size, scale, ratio)
        self.seed, self.second_seed = seed, second_seed


class CenterCrop(CenterCropRGBImageDecoder):
    """The central square of the image, with a side of `ratio` times the image's shorter side."""


class CornerCrop(ResizedCropRGBImageDecoder):
    """A square in a corner of the image, with a side of `ratio` times the image's shorter side.

    corner: top_left, top_right, bottom_left or bottom_right.
    """

    def __init__(self, output_size: int | Sequence[int], ratio: float, corner: str = "top_left"):
        super().__init__(output_size)
        self.ratio, self.corner = ratio, corner
        self.crop()  # refuses what cannot be

    def crop(self) -> Crop:
        return CornerRule(self.ratio, self.corner)


class PadRGBImageDecoder(ImageDecoder):
    """The whole image, not resized, in the top left corner of a black square; its side is the longest of any image."""

    def side(self, height: np.ndarray, width: np.ndarray) -> int:
        return int(max(height.max(), width.max()))

    def crop(self) -> Crop:
        return Pad()
