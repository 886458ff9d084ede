"""albumentations on OpenCV arrays. INTER_LINEAR is not antialiased; colours go through tables of 8 bits.

It has no RandAugment and no AutoAugment. They are composed here of its own ops, with torchvision's policies, magnitudes
and nearest-pixel warps. Two ops differ: shears are about the centre, and sharpness below 1 sharpens where torchvision
blurs, by a filter of equal size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing asks the network for a newer version

import albumentations as A  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torchvision import transforms  # noqa: E402

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views  # noqa: E402
from data_loading.bench.works import ViewSpec  # noqa: E402

WITHOUT_INTERPOLATION = {"interpolation": cv2.INTER_NEAREST, "border_mode": cv2.BORDER_CONSTANT, "fill": 0}
UNCHANGED = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": (0.0, 0.0)}
FACTORS = {"Brightness": "brightness", "Contrast": "contrast", "Color": "saturation"}  # -> arguments of A.ColorJitter


class Entry(TorchPeer):
    """The peer `albumentations`; see the file's docstring."""

    def recipe(self):
        """Arrays, decoded by OpenCV; see TorchPeer.recipe."""
        return self.images.by_opencv, Views(self.work, lambda spec: composed(geometry(spec)), self.colour)

    def colour(self, spec: ViewSpec):
        """Function of a cropped uint8 (S, S, 3) that returns the finished view, a (3, S, S) tensor."""
        steps = [A.HorizontalFlip(p=0.5)] if spec.flip else []
        if spec.policy:
            steps += [rand_augment(spec.size) if spec.policy == "randaugment" else auto_augment(spec.size)]
        if spec.jitter:
            b, c, s, h = spec.jitter
            around = [(max(0.0, 1 - v), 1 + v) for v in (b, c, s)]
            jitter = dict(zip(("brightness", "contrast", "saturation"), around, strict=True))
            steps += [A.ColorJitter(**jitter, hue=(-h, h), p=spec.p_jitter), A.ToGray(p=spec.p_gray)]
        if spec.p_blur:
            steps += [A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=spec.p_blur)]
        if spec.p_solarize:
            steps += [A.Solarize(threshold_range=(0.5, 0.5), p=spec.p_solarize)]
        if self.work.dtype == "float32":
            steps += [A.Normalize(MEAN, STD)]
        finish = composed(steps) if steps else lambda image: image
        return lambda image: torch.from_numpy(np.ascontiguousarray(finish(image).transpose(2, 0, 1)))  # (3, S, S)


def composed(steps: list) -> Callable[[np.ndarray], np.ndarray]:
    """Transforms, one after the other, as a function of an image."""
    compose = A.Compose(steps)
    return lambda image: compose(image=image)["image"]


def geometry(spec: ViewSpec) -> list:
    """The crop of a view and its resize."""
    size = (spec.size, spec.size)
    if spec.geometry == "centre":
        return [A.SmallestMaxSize(spec.size * 8 // 7, interpolation=cv2.INTER_LINEAR), A.CenterCrop(*size)]
    if spec.geometry == "padded":
        padded = A.PadIfNeeded(spec.size + 8, spec.size + 8, border_mode=cv2.BORDER_CONSTANT)
        return [padded, A.RandomCrop(*size)]
    return [A.RandomResizedCrop(size, spec.scale, interpolation=cv2.INTER_LINEAR)]


def rand_augment(side: int) -> A.SomeOf:
    """Two of torchvision's 14 ops, sampled with replacement, for images of side x side pixels."""
    theirs = transforms.RandAugment()
    space = theirs._augmentation_space(theirs.num_magnitude_bins, (side, side))
    ops = [policy_op(name, *magnitude(entry, theirs.magnitude), p=1.0) for name, entry in space.items()]
    return A.SomeOf(ops, n=theirs.num_ops, replace=True, p=1.0)


def auto_augment(side: int) -> A.OneOf:
    """One of AutoAugment's 25 pairs of ops, for images of side x side pixels."""
    theirs = transforms.AutoAugment()
    space = theirs._augmentation_space(10, (side, side))
    pairs = [[policy_op(n, *magnitude(space[n], at), p=p) for n, p, at in policy] for policy in theirs.policies]
    return A.OneOf([A.Sequential(pair, p=1.0) for pair in pairs], p=1.0)


def magnitude(entry: tuple[torch.Tensor, bool], at: int | None) -> tuple[float, bool]:
    """(value, whether half of the images get its negative) of an entry of torchvision's table; 0 without values."""
    values, signed = entry
    return (values[at].item() if values.ndim else 0.0), signed


def policy_op(name: str, value: float, signed: bool, p: float) -> A.BasicTransform | A.OneOf:
    """An op by torchvision's name and magnitude, done with probability p; signed: half of the values are negated."""
    if signed:
        return A.OneOf([_op(name, value, 1.0), _op(name, -value, 1.0)], p=p)
    return _op(name, value, p)


def _op(name: str, value: float, p: float) -> A.BasicTransform:
    if name in FACTORS:
        factor = 1 + value
        return A.ColorJitter(**{**UNCHANGED, FACTORS[name]: (factor, factor)}, p=p)
    if name in ("ShearX", "ShearY"):
        degrees = math.degrees(math.atan(value))
        shear = {axis: (degrees, degrees) if axis == name[-1].lower() else (0.0, 0.0) for axis in "xy"}
        return A.Affine(shear=shear, **WITHOUT_INTERPOLATION, p=p)
    if name in ("TranslateX", "TranslateY"):
        pixels = {axis: (int(value), int(value)) if axis == name[-1].lower() else (0, 0) for axis in "xy"}
        return A.Affine(translate_px=pixels, **WITHOUT_INTERPOLATION, p=p)
    if name == "Rotate":
        return A.Rotate((value, value), **WITHOUT_INTERPOLATION, p=p)
    if name == "Sharpness":
        return A.Sharpen((abs(value), abs(value)), (1.0, 1.0), p=p)
    if name == "Posterize":
        return A.Posterize(int(value), p=p)
    if name == "Solarize":
        return A.Solarize((value / 255, value / 255), p=p)
    if name == "AutoContrast":
        return A.AutoContrast(method="pil", p=p)  # the quicker of its two
    return {"Equalize": A.Equalize, "Invert": A.InvertImg, "Identity": A.NoOp}[name](p=p)
