"""What all ops share: probability, the names of their random streams, and checks of their arguments."""

from __future__ import annotations

from data_loading.errors import ViewError
from data_loading.jit import jit
from data_loading.registry import Registry
from data_loading.rng import checked_seed

OPS = Registry("op")

# A program is a list of steps; each step is one code and up to ARGS words (float32, or uint32 for the key of a noise).
ARGS = 8
PARAMS = 12  # numbers that a drawing rule may read

END, FLIP, BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAYSCALE, BLUR, SOLARIZE = range(9)
AFFINE, ELASTIC, THICKNESS, GAMMA, ERASING, NOISE = range(9, 15)
# What the steps and their numbers are called; a key is two words.
STEPS = {
    FLIP: ("flip", ()),
    BRIGHTNESS: ("brightness", ("factor",)),
    CONTRAST: ("contrast", ("factor",)),
    SATURATION: ("saturation", ("factor",)),
    HUE: ("hue", ("turn",)),
    GRAYSCALE: ("grayscale", ()),
    BLUR: ("blur", ("sigma",)),
    SOLARIZE: ("solarize", ("threshold",)),
    AFFINE: ("affine", ("a", "b", "tx", "c", "d", "ty")),
    ELASTIC: ("elastic", ("sigma", "key", "key")),
    THICKNESS: ("thickness", ("amount",)),
    GAMMA: ("gamma", ("gamma", "gain")),
    ERASING: ("erasing", ("top", "left", "height", "width", "fill")),
    NOISE: ("noise", ("sigma", "key", "key")),
}
COLOR_JITTER = 32  # a drawing rule only: it writes brightness, contrast, saturation and hue


class Op:
    """An augmentation that is applied to a view with probability `p`, decided for each sample.

    name:  names the random stream; without it the stream is named by view, op and occurrence.
    share: ops with one `share` name draw the same numbers in every view of a sample.
    seed:  used in place of the run's seed.
    fixed: leaves the epoch out, so that a sample is treated alike in every epoch.
    """

    rule: int  # how parameters are drawn: one of the codes above
    steps = 1  # how many steps of a program it writes at most

    def __init__(
        self,
        p: float = 1.0,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        self.p = within(self, "p", p, 0.0, 1.0)
        self.name, self.share, self.fixed = name, share, fixed
        self.seed = None if seed is None else checked_seed(seed, f"seed of {type(self).__name__}")

    def params(self) -> list[float]:
        """Up to PARAMS numbers for the drawing rule."""
        return []


@jit
def copy_plane(source, target):
    """target = source, float32 (3, H, W). (numba's own assignment of slices takes seconds to compile.)"""
    for c in range(source.shape[0]):
        for y in range(source.shape[1]):
            for x in range(source.shape[2]):
                target[c, y, x] = source[c, y, x]


def within(op: object, name: str, value: float, low: float, high: float) -> float:
    """`value` where low <= value <= high, else an error that names op and argument."""
    if not low <= value <= high:
        raise ViewError(f"{type(op).__name__}: {name} is {value}; it must lie from {low:g} to {high:g}")
    return float(value)


def interval(op: object, name: str, value, low: float, high: float) -> tuple[float, float]:
    """A pair low <= a <= b <= high, from a sequence of two numbers."""
    a, b = value
    if not low <= a <= b <= high:
        raise ViewError(
            f"{type(op).__name__}: {name} is ({a:g}, {b:g}); it needs {low:g} <= first <= second <= {high:g}"
        )
    return float(a), float(b)
