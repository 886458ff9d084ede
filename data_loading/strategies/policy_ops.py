"""The ops of AutoAugment and its kin by the names that these papers give them, each as Pillow does it.

Solarize compares whole levels, as on 8-bit images, so Round stands before it; posterize, equalize and autocontrast
round by themselves. Between other ops nothing is rounded, where 8-bit images are. What a warp leaves empty is black.
"""

from __future__ import annotations

from typing import Any

from data_loading.errors import ViewError
from data_loading.ops import (
    AutoContrast,
    Brightness,
    Contrast,
    Cutout,
    Equalize,
    Invert,
    Op,
    Posterize,
    Rotate,
    Round,
    Saturation,
    Sharpness,
    Shear,
    Solarize,
    Translate,
)

WITHOUT = {"AutoContrast": AutoContrast, "Equalize": Equalize, "Invert": Invert}  # without a magnitude
FACTORS = {"Brightness": Brightness, "Color": Saturation, "Contrast": Contrast, "Sharpness": Sharpness}
CUTOUT_FILL = (125, 123, 114)


def policy_op(
    name: str,
    value: Any = None,
    p: float = 1.0,
    mirror: bool = False,
    whole: bool = False,
    centre: bool = False,
    pixels: bool = False,
) -> list[Op]:
    """What an op's name stands for, done with probability p; Identity is the empty list.

    value: the tangent of a shear; of a translation or cutout, the fraction of the side; degrees; a factor (brightness,
    color, contrast, sharpness); bits; a threshold.  mirror: half of the warps go the other way, half of the factors f
    become 2 - f.  whole: translate by whole pixels.  centre: shear about the centre in place of the top left corner.
    pixels: the value of a translation is in pixels.  Round before Solarize is always done, whether Solarize is or not.
    """
    if name == "Identity":
        return []
    if name in WITHOUT:
        return [WITHOUT[name](p=p)]
    if name in FACTORS:
        return [FACTORS[name](value, mirror=mirror, p=p)]
    if name in ("ShearX", "ShearY"):
        return [Shear(value, name[-1].lower(), mirror=mirror, centre=centre, p=p)]
    if name in ("TranslateX", "TranslateY"):
        shift = {"pixels" if pixels else "fraction": value}
        return [Translate(**shift, axis=name[-1].lower(), mirror=mirror, whole=whole, p=p)]
    if name == "Rotate":
        return [Rotate(value, mirror=mirror, p=p)]
    if name == "Posterize":
        return [Posterize(value, p=p)]
    if name == "Solarize":
        return [Round(), Solarize(value, p=p)]
    if name == "Cutout":
        return [Cutout(value, fill=CUTOUT_FILL, p=p)]
    raise ViewError(f"no op of a policy is named {name!r}")


def torchvision_op(
    space: dict, name: str, place: int | None, p: float = 1.0, centre: bool = False, pixels: bool = False
) -> list[Op]:
    """An op as torchvision's table has it: {name: (magnitudes, whether half of them are mirrored)}.

    space: of an image of side 1, so that translations are fractions, unless they are in pixels; torchvision cuts both
    to whole pixels.  place: of the magnitude, where there are any.
    """
    magnitudes, mirror = space[name]
    if magnitudes.ndim == 0:
        return policy_op(name, p=p)
    value = magnitudes[place].item() + (name in FACTORS)  # a magnitude of 0 leaves the image as it is
    return policy_op(name, value, p, mirror, True, centre, pixels)
