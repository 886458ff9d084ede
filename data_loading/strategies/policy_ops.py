"""The ops of AutoAugment, RandAugment and similar policies, by the names of the papers, with Pillow's results.

Unlike Pillow's, values are not rounded to 8 bits between ops. Exceptions: Round is put before Solarize, whose threshold
is for integer levels; posterize, equalize and autocontrast round their input. Pixels that a warp uncovers are black.
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

# Name in the papers -> class.
NO_MAGNITUDE = {"AutoContrast": AutoContrast, "Equalize": Equalize, "Invert": Invert}
FACTORS = {"Brightness": Brightness, "Color": Saturation, "Contrast": Contrast, "Sharpness": Sharpness}
CUTOUT_FILL = (125, 123, 114)  # RGB


def policy_op(
    name: str,
    value: Any = None,
    p: float = 1.0,
    mirror: bool = False,
    whole: bool = False,
    centre: bool = False,
    pixels: bool = False,
) -> list[Op]:
    """The list of ops for `name`, applied with probability p; [] for Identity. ViewError for an unknown name.

    value: the magnitude. Shear: tangent of the angle. Translate, Cutout: fraction of the side. Rotate: degrees.
        Brightness, Color, Contrast, Sharpness: factor. Posterize: bits. Solarize: threshold.
    mirror: with probability 1/2, negate the value of a warp, or replace a factor f by 2 - f.
    whole: translate by an integer number of pixels.  centre: shear about the centre, not the top left corner.
    pixels: the value of a translation is in pixels, not a fraction.
    The Round before Solarize is applied always, not only with probability p.
    """
    if name == "Identity":
        return []
    if name in NO_MAGNITUDE:
        return [NO_MAGNITUDE[name](p=p)]
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
    raise ViewError(f"no op of a policy is named {name!r}; names are those of AutoAugment, as ShearX or Solarize")


def torchvision_op(
    space: dict, name: str, index: int | None, p: float = 1.0, centre: bool = False, pixels: bool = False
) -> list[Op]:
    """`policy_op` with a magnitude of torchvision's table.

    space: torchvision's augmentation space, name -> (magnitudes, whether mirrored), for an image of side 1, so that
        translations are fractions of the side (unless `pixels`). As in torchvision, they are truncated to whole pixels.
    index: of the magnitude; ignored for ops without magnitudes.  p, centre, pixels: as for policy_op.
    """
    magnitudes, mirror = space[name]
    if magnitudes.ndim == 0:
        return policy_op(name, p=p)
    value = magnitudes[index].item() + (name in FACTORS)  # torchvision's factors are 1 + magnitude
    return policy_op(name, value, p, mirror, True, centre, pixels)
