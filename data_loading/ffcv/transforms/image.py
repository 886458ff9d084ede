"""FFCV's augmentations of images, each translated into ops of data_loading. Every one takes `seed=`: see Seeded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data_loading import ops
from data_loading.errors import ViewError
from data_loading.ffcv.pipeline.operation import LARGEST, ImageOp, as_tuple
from data_loading.ops import Op
from data_loading.ops.base import is_number, whole, within
from data_loading.ops.erasing import colour

Strength = float | Sequence[float]
MOST = 99.0  # the largest magnitude: factors of our ops are at most 100


class Cutout(ImageOp):
    """Fill a square of crop_size pixels, wholly inside the view, with a colour.

    fill: three values or one for all channels, 0 to 255.  ViewError for a square larger than the view.
    """

    def __init__(self, crop_size: int, fill: float | Sequence[float] = (0, 0, 0), seed: int | None = None):
        self.crop_size, self.fill = crop_size, fill
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        size, fill = whole(self, "crop_size", self.crop_size, 0, LARGEST), colour(self, as_tuple(self.fill))
        if size > side:
            raise ViewError(f"Cutout: crop_size is {size}; it must be from 0 to the view's side, {side}")
        return [ops.Cutout(size / side, inside=True, fill=fill, p=1.0, **self.stream)]


class RandomTranslate(ImageOp):
    """Shift up or down, and left or right, each by up to `padding` pixels (0 to 4096), always.

    fill: colour of the uncovered bands, three values or one for all channels, 0 to 255.
    """

    def __init__(self, padding: int, fill: float | Sequence[float] = (0, 0, 0), seed: int | None = None):
        self.padding, self.fill = padding, fill
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        padding = whole(self, "padding", self.padding, 0, 4096)
        return [ops.Shift(padding, colour(self, as_tuple(self.fill)), **self.stream)]


class RandomHorizontalFlip(ImageOp):
    """Mirror left and right with probability flip_prob."""

    def __init__(self, flip_prob: float = 0.5, seed: int | None = None):
        self.flip_prob = flip_prob
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.HorizontalFlip(self.flip_prob, **self.stream)]


class RandomVerticalFlip(ImageOp):
    """Mirror top and bottom with probability flip_prob."""

    def __init__(self, flip_prob: float = 0.5, seed: int | None = None):
        self.flip_prob = flip_prob
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.VerticalFlip(self.flip_prob, **self.stream)]


class RandomInvert(ImageOp):
    """Replace each value v by 255 - v, with probability invert_prob."""

    def __init__(self, invert_prob: float = 0.5, seed: int | None = None):
        self.invert_prob = invert_prob
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.Invert(p=self.invert_prob, **self.stream)]


class _OneFactor(ImageOp):
    """Base of operations with a factor sampled uniformly from [max(0, 1 - magnitude), 1 + magnitude]."""

    op: type[Op]

    def __init__(self, magnitude: float, p: float = 0.5, seed: int | None = None):
        self.magnitude, self.p = magnitude, p
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        magnitude = within(self, "magnitude", self.magnitude, 0.0, MOST)
        factor = max(0.0, 1.0 - magnitude), 1.0 + magnitude
        return [self.op(factor, p=self.p, **self.stream)]


class RandomBrightness(_OneFactor):
    """Multiply by a factor from [max(0, 1 - magnitude), 1 + magnitude], with probability p; magnitude: 0 to 99."""

    op = ops.Brightness


class RandomContrast(_OneFactor):
    """Scale the distance to the image's mean gray, with probability p.

    The factor is sampled from [max(0, 1 - magnitude), 1 + magnitude]; magnitude: 0 to 99.
    """

    op = ops.Contrast


class RandomSaturation(_OneFactor):
    """Scale the distance to each pixel's gray, with probability p.

    The factor is sampled from [max(0, 1 - magnitude), 1 + magnitude]; magnitude: 0 to 99.
    """

    op = ops.Saturation


class RandomColorJitter(ImageOp):
    """Brightness, contrast, saturation and hue by random amounts, in random order (FFCV-SSL's order is fixed).

    Each is a strength s, or the equal pair (1 - s, 1 + s), for hue (-s, s); ViewError for any other pair.
    jitter_prob: the probability; p: its name in erow's fork.
    """

    def __init__(
        self,
        jitter_prob: float = 0.5,
        brightness: Strength = 0.8,
        contrast: Strength = 0.4,
        saturation: Strength = 0.4,
        hue: Strength = 0.2,
        seed: int | None = None,
        *,
        p: float | None = None,
    ):
        self.jitter_prob = jitter_prob if p is None else p
        self.brightness, self.contrast = _strength("brightness", brightness), _strength("contrast", contrast)
        self.saturation, self.hue = _strength("saturation", saturation), _strength("hue", hue, about=0.0)
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        strengths = self.brightness, self.contrast, self.saturation, self.hue
        return [ops.ColorJitter(*strengths, p=self.jitter_prob, **self.stream)]


class RandomGrayscale(ImageOp):
    """Replace all channels by the luminance, with probability gray_prob; p: its name in erow's fork."""

    def __init__(self, gray_prob: float = 0.2, seed: int | None = None, *, p: float | None = None):
        self.gray_prob = gray_prob if p is None else p
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.Grayscale(self.gray_prob, **self.stream)]


class RandomSolarization(ImageOp):
    """Invert every value at or above `threshold` (0 to 256), with probability solarization_prob.

    p: the name of solarization_prob in erow's fork.
    """

    def __init__(
        self,
        solarization_prob: float = 0.5,
        threshold: float = 128,
        seed: int | None = None,
        *,
        p: float | None = None,
    ):
        self.solarization_prob = solarization_prob if p is None else p
        self.threshold = threshold
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.Solarize(self.threshold, p=self.solarization_prob, **self.stream)]


class GaussianBlur(ImageOp):
    """Blur by a Gaussian of kernel_size taps (odd), with probability blur_prob; p: its name in erow's fork.

    sigma: the interval, in pixels, from which the standard deviation is sampled uniformly.
    """

    def __init__(
        self,
        blur_prob: float = 0.5,
        kernel_size: int = 5,
        sigma: Sequence[float] = (0.1, 2.0),
        seed: int | None = None,
        *,
        p: float | None = None,
    ):
        self.blur_prob = blur_prob if p is None else p
        self.kernel_size, self.sigma = kernel_size, sigma
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        return [ops.GaussianBlur(as_tuple(self.sigma), self.kernel_size, p=self.blur_prob, **self.stream)]


class RandomErasing(ImageOp):
    """Fill a rectangle with a colour, with probability erase_prob.

    scale: range of its share of the view's area.  ratio: range of height / width.  mean: the colour, 0 to 255.
    """

    def __init__(
        self,
        erase_prob: float = 0.5,
        scale: Sequence[float] = (0.08, 0.4),
        ratio: Sequence[float] = (0.3, 3),
        mean: Sequence[float] = (128, 128, 128),
        seed: int | None = None,
    ):
        self.erase_prob, self.scale, self.ratio, self.mean = erase_prob, scale, ratio, mean
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        shape, fill = (as_tuple(self.scale), as_tuple(self.ratio)), colour(self, as_tuple(self.mean))
        return [ops.Erasing(*shape, fill, p=self.erase_prob, **self.stream)]


class Rotate(ImageOp):
    """Rotate about the centre by -angle to angle (radians), with probability rotate_prob; black outside the image."""

    def __init__(self, rotate_prob: float = 0.5, angle: float = 0.2, seed: int | None = None):
        self.rotate_prob, self.angle = rotate_prob, angle
        super().__init__(seed)

    def ops(self, side: int) -> list[Op]:
        degrees = math.degrees(within(self, "angle", self.angle, 0.0, 2 * math.pi))
        return [ops.Rotate((-degrees, degrees), p=self.rotate_prob, **self.stream)]


def _strength(name: str, value: Strength, about: float = 1.0) -> float:
    """A strength s unchanged, or that of the pair (about - s, about + s); ViewError for any other value."""
    if is_number(value):
        return float(value)
    pair = as_tuple(value)
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(is_number, pair)):
        raise ViewError(f"RandomColorJitter: {name} is {value!r}; it is a strength, or a pair of numbers")
    low, high = pair
    if not math.isclose(about - low, high - about, abs_tol=1e-9):
        raise ViewError(
            f"RandomColorJitter: {name} is {tuple(value)}, not even about {about:g}; put "
            f"data_loading.ops.{name.capitalize()}(({low:g}, {high:g}), p=...) into the pipeline instead"
        )
    return float(high - about)
