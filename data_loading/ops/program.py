"""The interpreter of programs: `draw` samples the numbers of any op, `rows` and `run_on_image` run any step.

A new op that samples numbers needs a branch in `draw`, a new kernel of rows one in `rows`.
All else is in the op's file.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops import (
    affine,
    blur,
    color_jitter,
    cutout,
    elastic,
    erasing,
    flip,
    gamma,
    grayscale,
    invert,
    noise,
    own,
    posterize,
    rotate,
    round,
    sharpness,
    shear,
    shift,
    solarize,
    thickness,
    translate,
)
from data_loading.ops.base import magnitude
from data_loading.ops.step import ARGS, END, OWN, STEPS
from data_loading.ops.whole_image import call, clamp_plane

F32 = np.float32

# By code, constants of the functions below. Users' own ops, defined later, run on the whole image and join no step.
ON_ROWS = np.array([code in STEPS and STEPS[code].on_rows for code in range(256)])
JOINED_BY = np.zeros(256, np.uint8)  # the code of the step that this one joins when it directly follows, or 0
for _step in STEPS.values():
    if _step.joins:
        JOINED_BY[_step.joins] = _step.code


# A chain of ifs compiles quickly, is cached, and costs less than a microsecond; tuples of functions do neither.


@jit
def draw(rule, params, state, size, owns, op, arg, word, n):  # noqa: C901 - a branch for each op: see above
    """Sample an op's numbers and write its steps from step n on -> the number of the next step.

    rule: the op's code.  params (PARAMS,) float64: what its `params()` has returned.  state: of kernel/rng.py.
    size: side of the view in pixels.  owns: own.table().
    op (K,) uint8, arg and word (K, ARGS) float32 and uint32, one memory: the program.
    """
    if rule == color_jitter.COLOR_JITTER:
        return color_jitter.draw(params, state, op, arg, n)
    if rule == blur.BLUR:
        return blur.draw(params, state, op, arg, n)
    if rule == affine.AFFINE:
        return affine.draw(params, state, op, arg, n)
    if rule == elastic.ELASTIC:
        return elastic.draw(params, state, op, arg, word, n)
    if rule == thickness.THICKNESS:
        return thickness.draw(params, state, op, arg, n)
    if rule == gamma.GAMMA:
        return gamma.draw(params, state, op, arg, n)
    if rule == erasing.ERASING:
        return erasing.draw(params, state, op, arg, n)
    if rule == noise.NOISE:
        return noise.draw(params, state, op, arg, word, n)
    if rule == posterize.POSTERIZE:
        return posterize.draw(params, state, op, arg, n)
    if rule == rotate.ROTATE:
        return rotate.draw(params, state, size, op, arg, n)
    if rule == shear.SHEAR:
        return shear.draw(params, state, size, op, arg, n)
    if rule == translate.TRANSLATE:
        return translate.draw(params, state, size, op, arg, n)
    if rule == shift.SHIFT:
        return shift.draw(params, state, size, op, arg, n)
    if rule == cutout.CUTOUT:
        return cutout.draw(params, state, size, op, arg, n)
    if rule >= OWN:
        return own.draw(owns, rule, params, state, op, arg, word, n)
    op[n] = rule
    if rule in (
        color_jitter.BRIGHTNESS,
        color_jitter.CONTRAST,
        color_jitter.SATURATION,
        color_jitter.HUE,
        solarize.SOLARIZE,
        sharpness.SHARPNESS,
    ):
        arg[n, 0] = magnitude(params, state)
    return n + 1  # all other ops have no numbers


@jit
def on_rows(code):
    """Whether a step's kernel reads only pixels of the row that it writes; False for contrast, which needs a mean."""
    return ON_ROWS[code]


@jit
def on_image(code):
    """Whether a step's kernel needs the whole image and is called by its address; False for blur and contrast."""
    return not (code == END or code == blur.BLUR or code == color_jitter.CONTRAST or ON_ROWS[code])


@jit
def rows(code, arg, mean, tile, width, pitch):
    """Run one step on a tile (3 R pitch,) float32, R rows of each channel, in place.

    arg (ARGS,) float32: its numbers.  mean: gray of the whole image on average, used by contrast.
    width: pixels of a row.
    """
    if code == color_jitter.BRIGHTNESS:
        color_jitter.brightness(tile, arg[0])
    elif code == color_jitter.CONTRAST:
        color_jitter.contrast(tile, arg[0], mean)
    elif code == color_jitter.SATURATION:
        color_jitter.saturation(tile, arg[0])
    elif code == color_jitter.HUE:
        color_jitter.hue(tile, arg[0])
    elif code == grayscale.GRAYSCALE:
        grayscale.kernel(tile)
    elif code == solarize.SOLARIZE:
        solarize.kernel(tile, arg[0])
    elif code == gamma.GAMMA:
        gamma.kernel(tile, arg[0], arg[1])
    elif code == flip.FLIP:
        flip.kernel(tile, width, pitch)
    elif code == round.ROUND:
        round.kernel(tile)
    elif code == invert.INVERT:
        invert.kernel(tile)
    elif code == posterize.POSTERIZE:
        posterize.kernel(tile, arg[0])


@jit(inline=True)
def run_on_image(op, arg, word, k, image, scratch, small, addresses):
    """Run step k, which needs the whole image, on image (3, H, W) float32 in place -> the number of the next step.

    op (K,) uint8; arg and word (K, ARGS) float32 and uint32; scratch: as image; small (whole_image.SMALL,) float32;
    addresses (256,) int64: of the kernels, by code. If the next step joins this one (Step.joins), both are run at once.
    ValueError if the step's op is not in the view set.
    """
    small[0], joined_by = F32(0.0), JOINED_BY[op[k]]
    if joined_by != END and k + 1 < op.size and op[k + 1] == joined_by:
        small[0] = F32(1.0)
        for i in range(ARGS):
            small[1 + i] = arg[k, i]
        k += 1
    if addresses[op[k]] == 0:
        raise ValueError("the plan has a step whose op is not in the view set")
    call(addresses[op[k]], image, scratch, arg[k], word[k], small)
    if op[k] >= OWN:
        clamp_plane(image)
    return k + 1


def reference(op: np.ndarray, word: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Run a whole program by the steps' NumPy references.

    op (K,) uint8; word (K, ARGS) uint32; image (3, H, W) in 0..255 -> (3, H, W) float64.
    """
    length = op.size if (op != END).all() else int((op == END).argmax())
    for k in range(length):
        code = int(op[k])
        if code >= OWN:
            image = own.reference(code, image, word[k])
        elif JOINED_BY[code] == END or k + 1 == length or op[k + 1] != JOINED_BY[code]:
            step = STEPS[code]
            joined = STEPS[step.joins].values(word[k - 1]) if k > 0 and step.joins and op[k - 1] == step.joins else []
            assert step.reference is not None, f"step {step.name!r} has no reference"  # users' own ops alone have none
            image = step.reference(image, *step.values(word[k]), *joined)
    return np.asarray(image, np.float64)
