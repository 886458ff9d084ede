"""Cases of ops that do not move pixels: colours, curves of levels, and filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
import torchvision.transforms.functional as tv1
import torchvision.transforms.v2.functional as tv
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from data_loading import ops
from data_loading.bench.op_cases.case import OPENCV, PILLOW, TORCHVISION, OpCase, Picture, case
from data_loading.ops.thickness import THICKNESS

LEVELS = np.arange(256)


def colours(side: int) -> Iterator[OpCase]:
    """Cases of ops whose result at a pixel does not depend on its neighbours."""
    for f in (0.1, 0.4, 1.0, 1.9):
        yield from factors(side, f)
    for turn in (-0.5, -0.1, 0.2):
        yield hue(side, turn)
    yield jitter(side, 1.4, 0.7, 1.3, 0.1)
    yield case("grayscale", ops.Grayscale(), side, pillow_gray, lambda t: tv.rgb_to_grayscale(t, 3), gray)
    for g, gain in ((0.6, 1.0), (1.6, 0.8)):
        yield gamma(side, g, gain)
    yield case("invert", ops.Invert(), side, ImageOps.invert, tv.invert, cv2.bitwise_not)
    for threshold in (0, 128, 255):
        yield solarize(side, threshold)
    for bits in range(1, 9):
        yield posterize(side, bits)
    formula = {OPENCV: "another formula of the levels"}
    yield case("equalize", ops.Equalize(), side, ImageOps.equalize, tv.equalize, equalized, jumps=True, differs=formula)
    stretch = {OPENCV: "rounds where Pillow truncates"}
    yield case(
        "autocontrast", ops.AutoContrast(), side, ImageOps.autocontrast, tv.autocontrast, stretched,
        jumps=True, differs=stretch,
    )  # fmt: skip


def filters(side: int) -> Iterator[OpCase]:
    """Cases of blur, thickness and noise."""
    for sigma, kernel in ((0.5, None), (1.0, None), (2.0, None), (1.5, 23), (2.0, 5)):
        yield blur(side, sigma, kernel)
    yield thickness(side, 0.5, ImageFilter.MaxFilter(3), cv2.dilate)
    yield thickness(side, -0.4, ImageFilter.MinFilter(3), cv2.erode)
    yield noise(side, 12.0)


def factors(side: int, f: float) -> Iterator[OpCase]:
    """Brightness, contrast, saturation and sharpness by the factor f."""
    cuts = {TORCHVISION: "truncates gray and result to whole levels of uint8"}
    yield case(
        f"brightness {f}", ops.Brightness(f), side,
        lambda i: ImageEnhance.Brightness(i).enhance(f), lambda t: tv.adjust_brightness(t, f),
        lambda i: cv2.convertScaleAbs(i, alpha=f),
    )  # fmt: skip
    yield case(
        f"contrast {f}", ops.Contrast(f), side,
        lambda i: ImageEnhance.Contrast(i).enhance(f), lambda t: tv.adjust_contrast(t, f),
        lambda i: contrasted(i, f), differs=cuts,
    )  # fmt: skip
    yield case(
        f"saturation {f}", ops.Saturation(f), side,
        lambda i: ImageEnhance.Color(i).enhance(f), lambda t: tv.adjust_saturation(t, f),
        lambda i: saturated(i, f), differs=cuts,
    )  # fmt: skip
    weights = np.full((3, 3), (1 - f) / 13)
    weights[1, 1] = f + 5 * (1 - f) / 13
    yield case(
        f"sharpness {f}", ops.Sharpness(f), side,
        lambda i: ImageEnhance.Sharpness(i).enhance(f), lambda t: tv.adjust_sharpness(t, f),
        lambda i: cv2.filter2D(i, -1, weights), differs={OPENCV: "filters the border too"},
    )  # fmt: skip


def hue(side: int, turn: float) -> OpCase:
    """Hue turned by `turn` of a full circle."""
    differs = {PILLOW: "HSV of 8 bits", OPENCV: "HSV of 8 bits, a hue of 180 steps"}
    return case(
        f"hue {turn}", ops.Hue(turn), side,
        lambda i: tv1.adjust_hue(i, turn), lambda t: tv.adjust_hue(t, turn), lambda i: turned(i, turn),
        differs=differs,
    )  # fmt: skip


def jitter(side: int, b: float, c: float, s: float, h: float) -> OpCase:
    """Brightness, contrast, saturation and hue, in this order."""

    def by_pillow(i: Image.Image) -> Image.Image:
        i = ImageEnhance.Contrast(ImageEnhance.Brightness(i).enhance(b)).enhance(c)
        return tv1.adjust_hue(ImageEnhance.Color(i).enhance(s), h)

    def by_tensor(t: torch.Tensor) -> torch.Tensor:
        return tv.adjust_hue(tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(t, b), c), s), h)

    def by_opencv(i: np.ndarray) -> np.ndarray:
        return turned(saturated(contrasted(cv2.convertScaleAbs(i, alpha=b), c), s), h)

    chain = ops.Brightness(b), ops.Contrast(c), ops.Saturation(s), ops.Hue(h)
    levels = tuple((op.rule, (float(op.params()[0]),)) for op in chain)
    rounds = "rounds after each step"
    return case(
        f"colour jitter {b}, {c}, {s}, {h}", "ColorJitter", side, by_pillow, by_tensor, by_opencv, written=levels,
        differs={
            PILLOW: rounds + ", HSV of 8 bits",
            TORCHVISION: rounds + " of uint8",
            OPENCV: rounds + ", HSV of 8 bits, a hue of 180 steps",
        },
    )  # fmt: skip


def gamma(side: int, g: float, gain: float) -> OpCase:
    """255 * gain * (level / 255) ** g."""
    return case(
        f"gamma {g}, gain {gain}", ops.Gamma((g, g), (gain, gain)), side,
        lambda i: tv1.adjust_gamma(i, g, gain), lambda t: tv.adjust_gamma(t, g, gain),
        by_table(255 * gain * (LEVELS / 255) ** g),
    )  # fmt: skip


def solarize(side: int, threshold: int) -> OpCase:
    """Levels at or above `threshold` (0..255) inverted."""
    return case(
        f"solarize {threshold}", ops.Solarize(threshold), side,
        lambda i: ImageOps.solarize(i, threshold),
        lambda t: tv.solarize(t, threshold / 255 if t.is_floating_point() else threshold),
        by_table(np.where(LEVELS >= threshold, 255 - LEVELS, LEVELS)), jumps=True,
    )  # fmt: skip


def posterize(side: int, bits: int) -> OpCase:
    """The highest `bits` bits of each level kept."""
    return case(
        f"posterize {bits}", ops.Posterize(bits), side,
        lambda i: ImageOps.posterize(i, bits), lambda t: tv.posterize(t, bits),
        by_table(LEVELS >> 8 - bits << 8 - bits), jumps=True,
    )  # fmt: skip


def blur(side: int, sigma: float, kernel: int | None) -> OpCase:
    """Gaussian blur of `sigma` pixels.  kernel: taps of the filter; None: all within three sigma."""
    k = kernel or 2 * math.ceil(3 * sigma) + 1
    return case(
        f"blur {sigma}" + (f", kernel {kernel}" if kernel else ""),
        ops.GaussianBlur((sigma, sigma), kernel_size=kernel), side,
        lambda i: i.filter(ImageFilter.GaussianBlur(sigma)), lambda t: tv.gaussian_blur(t, k, sigma),
        lambda i: cv2.GaussianBlur(i, (k, k), sigma, borderType=cv2.BORDER_REFLECT_101),
        differs={PILLOW: "three boxes in place of a Gaussian", OPENCV: "weights of 8 bits"},
    )  # fmt: skip


def thickness(side: int, weight: float, by_pillow: ImageFilter.Filter, by_opencv) -> OpCase:
    """The image blended with its 3 x 3 maximum (weight > 0) or minimum (weight < 0)."""
    w, around = abs(weight), np.ones((3, 3), np.uint8)
    return case(
        f"thickness {weight}", "Thickness", side,
        lambda i: Image.blend(i, i.filter(by_pillow), w),
        opencv=lambda i: cv2.addWeighted(i, 1 - w, by_opencv(i, around), w, 0),
        written=((THICKNESS, (weight,)),),
    )  # fmt: skip


def noise(side: int, sigma: float) -> OpCase:
    """Gaussian noise of `sigma` levels of 255."""

    def by_opencv(image: np.ndarray) -> np.ndarray:
        memory = np.empty(image.shape, np.int16)
        return cv2.add(image, cv2.randn(memory, 0, sigma), dtype=cv2.CV_8U)

    own = "samples its own noise"
    made = case(
        f"gaussian noise {sigma}", ops.GaussianNoise((sigma, sigma)), side,
        tensor=lambda t: tv.gaussian_noise(t, 0.0, sigma / 255), opencv=by_opencv,
        differs={TORCHVISION: own, OPENCV: own},
    )  # fmt: skip
    return replace(made, tensor=None)  # functions of tensors are compared on floats, which noise cannot be


def by_table(levels: Sequence[float]) -> Picture:
    """A function of an image that looks up each value in a table of 256 levels, by OpenCV."""
    table = np.clip(np.floor(np.asarray(levels) + 0.5), 0, 255).astype(np.uint8)
    return lambda image: cv2.LUT(image, table)


def pillow_gray(image: Image.Image) -> Image.Image:
    """Gray by Pillow, as an RGB image."""
    return image.convert("L").convert("RGB")


def gray(image: np.ndarray) -> np.ndarray:
    """Gray by OpenCV, uint8 (H, W, 3)."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def contrasted(image: np.ndarray, f: float) -> np.ndarray:
    """Contrast by the factor f around the mean gray, by OpenCV."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return by_table(f * LEVELS + (1 - f) * mean)(image)


def saturated(image: np.ndarray, f: float) -> np.ndarray:
    """Saturation by the factor f, by OpenCV."""
    return cv2.addWeighted(image, f, gray(image), 1 - f, 0)


def turned(image: np.ndarray, turn: float) -> np.ndarray:
    """Hue turned by `turn` of a full circle, in OpenCV's HSV of 8 bits."""
    h, s, v = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    h = cv2.LUT(h, ((LEVELS + round(180 * turn)) % 180).astype(np.uint8))
    return cv2.cvtColor(cv2.merge([h, s, v]), cv2.COLOR_HSV2RGB)


def equalized(image: np.ndarray) -> np.ndarray:
    """The histogram of each channel equalized, by OpenCV."""
    return cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(image)])


def stretched(image: np.ndarray) -> np.ndarray:
    """Each channel stretched to 0..255, by OpenCV."""
    return cv2.merge([cv2.normalize(channel, None, 0, 255, cv2.NORM_MINMAX) for channel in cv2.split(image)])
