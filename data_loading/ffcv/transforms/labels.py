"""FFCV-SSL's labels of augmentations: the parameters that were applied to the image, read from the plan.

Each is made with the seed and the arguments of an image operation of another pipeline. As the first operation of its
pipeline it gives its columns (B, k); after others it appends them to their columns, as float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_loading.ffcv.pipeline.operation import LabelOp
from data_loading.ffcv.transforms import image
from data_loading.ffcv.transforms.crops import RandomResizedCrop
from data_loading.ops import blur, color_jitter, flip, grayscale, solarize, warp
from data_loading.views.plan import Plan


class LabelRandomResizedCrop(LabelOp):
    """int32 (B, 6), pixels of the image: its width and height, then the box: top, left, height, width."""

    dtype = np.int32

    def __init__(
        self,
        output_size: int | Sequence[int],
        seed: int | None = None,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (0.75, 4 / 3),
        second_seed: int | None = None,
    ):
        self.twin = RandomResizedCrop(output_size, scale, ratio, seed, second_seed)

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = plan.box[view].T
        return np.stack([width, height, y0, x0, y1 - y0, x1 - x0], axis=1)


class _Steps(LabelOp):
    """Base of labels read from the steps of a view's program; arguments are those of `image_op`."""

    image_op: type[image.ImageOp]

    def __init__(self, *args, **kwargs):
        self.twin = self.image_op(*args, **kwargs)


class LabelRandomHorizontalFlip(_Steps):
    """int32 (B, 1): 1 where the view is mirrored, else 0."""

    dtype, codes, image_op = np.int32, (flip.FLIP,), image.RandomHorizontalFlip

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        return plan.acted("flip")[view, :, None]


class LabelGrayscale(_Steps):
    """float32 (B, 1): 0 where the view has become gray, 1 where it has kept its colours (FFCV-SSL's polarity)."""

    codes, image_op = (grayscale.GRAYSCALE,), image.RandomGrayscale

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        return ~plan.acted("grayscale")[view, :, None]


class LabelSolarization(_Steps):
    """float32 (B, 1): 1 where the view is solarized, else 0."""

    codes, image_op = (solarize.SOLARIZE,), image.RandomSolarization

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        return plan.acted("solarize")[view, :, None]


class LabelGaussianBlur(_Steps):
    """float32 (B, 1): sigma in pixels; 0 where the view is not blurred."""

    codes, image_op = (blur.BLUR,), image.GaussianBlur

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        return np.nan_to_num(plan.number("blur", "sigma"), nan=0.0)[view, :, None]


class LabelColorJitter(_Steps):
    """float32 (B, 4): factors of brightness, contrast and saturation, and the turn of the hue; 1, 1, 1, 0 for none."""

    codes = (
        color_jitter.BRIGHTNESS,
        color_jitter.CONTRAST,
        color_jitter.SATURATION,
        color_jitter.HUE,
        color_jitter.COLOR_JITTER,
    )
    image_op = image.RandomColorJitter

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        factors = [plan.number(step, "factor")[view] for step in ("brightness", "contrast", "saturation")]
        turn = np.nan_to_num(plan.number("hue", "turn")[view], nan=0.0)
        return np.stack([*(np.nan_to_num(factor, nan=1.0) for factor in factors), turn], axis=1)


class LabelTranslate(_Steps):
    """float32 (B, 2): padding minus the pixels by which the view is shifted down, and right, as FFCV-SSL counts."""

    codes = (warp.WARP,)
    image_op = image.RandomTranslate

    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        return self.twin.padding + np.stack([plan.number("warp", name)[view] for name in ("ty", "tx")], axis=1)
