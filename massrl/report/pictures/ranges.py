"""Ranges of parameters over which ops are shown."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_loading.config.described import build, found
from data_loading.ops import OPS, Crop, Op

NOT_SHOWN = ("p", "bins", "fill", "seed", "times")  # numeric arguments that are not a strength of the op
SHARE = "number"  # `share` name: an op samples equal random numbers for all values; chosen so that seed 0 looks good


@dataclass(frozen=True)
class Range:
    """An argument of an op, and the interval over which it is shown.

    kind: "number"; "pair" for an argument that is an interval to sample from, set to a single point; "whole" for an
    integer.
    """

    argument: str
    low: float
    high: float
    kind: str = "number"

    def values(self, n: int) -> list[float]:
        """n equally spaced values, both ends included; integers are rounded, and duplicates are removed."""
        values = np.linspace(self.low, self.high, n)
        return list(dict.fromkeys((np.rint(values) if self.kind == "whole" else values).tolist()))

    def arguments(self, value: float) -> dict[str, Any]:
        """Constructor arguments that set the op to `value`."""
        return {self.argument: (value, value) if self.kind == "pair" else int(value) if self.kind == "whole" else value}


class Strength(Range):
    """ColorJitter: one factor for the four strengths of SimCLR."""

    def arguments(self, value: float) -> dict[str, Any]:
        return {"brightness": 0.8 * value, "contrast": 0.8 * value, "saturation": 0.8 * value, "hue": 0.2 * value}


# Ops whose default argument is not an instructive interval.
CHOSEN = {
    "Affine": Range("degrees", 0.0, 60.0),
    "CenterCrop": Range("ratio", 0.2, 1.0),
    "ColorJitter": Strength("strength", 0.0, 1.0),
    "CornerCrop": Range("ratio", 0.2, 1.0),
    "Cutout": Range("side", 0.1, 0.7),
    "Elastic": Range("sigma", 0.0, 0.2),
    "GaussianBlur": Range("sigma", 0.1, 4.0, "pair"),
    "GaussianNoise": Range("sigma", 0.0, 60.0, "pair"),
    "Hue": Range("turn", -0.5, 0.5),
    "PadCrop": Range("padding", 0, 32, "whole"),
    "Posterize": Range("bits", 1, 8, "whole"),
    "Sharpness": Range("factor", 0.0, 6.0),
    "Shift": Range("padding", 0, 32, "whole"),
    "Solarize": Range("threshold", 256.0, 0.0),
    "Thickness": Range("amount", 0.0, 1.0),
}


def view_ops() -> list[str]:
    """Names of the registered ops and crops that need no arguments."""
    kinds = {name: kind for name, kind in OPS.items() if inspect.isclass(kind) and issubclass(kind, Op | Crop)}
    return [name for name, kind in kinds.items() if not _needed(kind)]


def range_of(name: str) -> Range | None:
    """The range over which an op is shown: from CHOSEN, else its first numeric or interval argument; None without one.

    name: a registered op or crop, or the class_path of a user's own.
    """
    if name in CHOSEN:
        return CHOSEN[name]
    for argument, parameter in inspect.signature(found(name, OPS).__init__).parameters.items():
        default = parameter.default
        if argument in NOT_SHOWN:
            continue
        if isinstance(default, tuple | list) and len(default) == 2 and all(map(_is_number, default)):
            return Range(argument, *map(float, default), "pair")
        if isinstance(default, float) and default != 0:
            return Range(argument, default / 5, default)
        if _is_number(default) and default > 1:
            return Range(argument, 1, default, "whole")
    return None


def always(name: str, **arguments: Any) -> Op | Crop:
    """An op or crop with probability 1, which samples the same random numbers as all ops made by this function."""
    one = made(name, **arguments, share=SHARE)
    if isinstance(one, Op):
        one.p = 1.0
    return one


def made(name: str, **arguments: Any) -> Op | Crop:
    """Make an op or crop by its name or class_path. Raises UnknownName or ViewError."""
    make = found(name, OPS)
    kind = Crop if inspect.isclass(make) and issubclass(make, Crop) else Op
    return build({"class_path": name, "init_args": arguments}, OPS, kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _needed(kind: type) -> bool:
    """Whether a class has constructor arguments without defaults."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
