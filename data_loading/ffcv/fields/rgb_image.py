"""The image field and its decoders, which choose the box of an image that becomes a view, and the view's size."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from data_loading.errors import ViewError
from data_loading.ffcv.fields import RGBImageField
from data_loading.ffcv.pipeline.operation import ImageDecoder, as_tuple, square
from data_loading.ops import CenterCrop, Crop, Resize
from data_loading.ops import RandomResizedCrop as RandomCropRule

__all__ = [
    "CenterCropRGBImageDecoder",
    "RGBImageField",
    "RandomResizedCropRGBImageDecoder",
    "ResizedCropRGBImageDecoder",
    "SimpleRGBImageDecoder",
]

log = logging.getLogger(__name__)
INTERPOLATIONS = {1: "bilinear", 3: "bilinear", 2: "bicubic"}  # by OpenCV's INTER_LINEAR, INTER_AREA, INTER_CUBIC
_said: set[str] = set()


class SimpleRGBImageDecoder(ImageDecoder):
    """Images unchanged; they must be squares of one size, else a ViewError names the sizes."""

    def side(self, height: np.ndarray, width: np.ndarray) -> int:
        least, most = int(min(height.min(), width.min())), int(max(height.max(), width.max()))
        if least != most:
            raise ViewError(
                f"{type(self).__name__}: images have sides of {least} to {most} pixels; it takes squares of one size, "
                f"so choose RandomResizedCropRGBImageDecoder or CenterCropRGBImageDecoder"
            )
        return most

    def crop(self) -> Crop:
        return Resize(**self.stream)


class ResizedCropRGBImageDecoder(ImageDecoder):
    """Base of decoders that resize a box of the image to output_size: (height, width) in pixels, which are equal.

    interpolation: one of OpenCV's numbers, as in erow's fork: area and linear mean bilinear, cubic means bicubic, all
    antialiased; all pipelines of a loader have the same. output_size may be assigned to: the next epoch uses it.
    """

    def __init__(self, output_size: int | Sequence[int], interpolation: int | None = None):
        self.output_size = output_size
        square(type(self).__name__, output_size)
        if interpolation is not None:
            if interpolation not in INTERPOLATIONS:
                raise ViewError(f"{type(self).__name__}: interpolation is {interpolation}; it is linear, cubic or area")
            self.interpolation = INTERPOLATIONS[interpolation]
            self.use_crop_decode_(True)

    def use_crop_decode_(self, value: bool) -> None:
        """erow's switch for decoding only the crop. It changes nothing; its first use logs a warning that says why."""
        if value and "crop decode" not in _said:
            _said.add("crop decode")
            log.warning(
                "crop decode: JPEGs are decoded as a whole. Decoding the box alone was measured to save 0 to 19 %% for "
                "one view, and one decoded image serves all views of a sample here"
            )

    def side(self, height: np.ndarray, width: np.ndarray) -> int:
        return square(type(self).__name__, self.output_size)


class RandomResizedCropRGBImageDecoder(ResizedCropRGBImageDecoder):
    """A random box, sampled as in torchvision: `scale`, range of its share of the area; `ratio`, of width / height."""

    def __init__(
        self,
        output_size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (0.75, 4 / 3),
        interpolation: int | None = None,
    ):
        super().__init__(output_size, interpolation)
        self.scale, self.ratio = scale, ratio
        self.crop()  # refuses arguments out of range

    def crop(self) -> Crop:
        return RandomCropRule(as_tuple(self.scale), as_tuple(self.ratio), **self.stream)


class CenterCropRGBImageDecoder(ResizedCropRGBImageDecoder):
    """The central square of the image, with a side of `ratio` times the image's shorter side."""

    def __init__(self, output_size: int | Sequence[int], ratio: float, interpolation: int | None = None):
        super().__init__(output_size, interpolation)
        self.ratio = ratio
        self.crop()  # refuses arguments out of range

    def crop(self) -> Crop:
        return CenterCrop(self.ratio, **self.stream)
