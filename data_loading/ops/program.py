"""The interpreter of programs: `draw` samples the numbers of any op, `steps` and `run_on_image` run most steps.

A new op that samples numbers needs a branch in `draw`, a new kernel of rows one in `rows`.
All else is in the op's file.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops import (
    affine,
    autocontrast,
    blur,
    color_jitter,
    cutout,
    elastic,
    equalize,
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
    vertical_flip,
)
from data_loading.ops.base import magnitude
from data_loading.ops.step import ARGS, END, OWN, STEPS
from data_loading.ops.whole_image import call, clamp_plane

F32 = np.float32

# By code, constants of the functions below. Users' own ops, defined later, run on the whole image and join no step.
ON_ROWS = np.array([code in STEPS and STEPS[code].on_rows for code in range(256)])
ON_VALUES = np.array([code in STEPS and STEPS[code].on_values for code in range(256)])
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
    """Whether a step's kernel reads only pixels of the row that it writes."""
    return ON_ROWS[code]


@jit
def on_values(code):
    """Whether a step makes each value a function of itself alone."""
    return ON_VALUES[code]


@jit
def near(code):
    """Whether a step's kernel reads rows around the row that it writes."""
    return code == blur.BLUR or code == sharpness.SHARPNESS


@jit
def radius(code, arg, side):
    """How many rows above and below such a step reads; 0 if it changes nothing. arg (ARGS,): its numbers."""
    return blur.blur_radius(arg[0], arg[1], side, side) if code == blur.BLUR else sharpness.radius(side)


@jit
def finds(code):
    """Whether a step needs to know something about all pixels before it changes one."""
    return code == color_jitter.CONTRAST or code == equalize.EQUALIZE or code == autocontrast.AUTOCONTRAST


@jit
def on_image(code):
    """Whether a step's kernel needs the whole image and is called by its address."""
    return not (code == END or ON_ROWS[code] or near(code) or finds(code))


@jit
def steps(op, arg, first, end, mean, tile, width, pitch, y, upside):
    """Run steps first to end - 1 of a program, all of them on_rows, on a tile (3 R pitch,) float32 in place.

    op (K,) uint8, arg (K, ARGS) float32.  mean: gray of the whole image on average, used by contrast.  width: pixels of
    a row.  The tile's R rows are rows y, y + 1, ... from the top of the view, or from its bottom if `upside` (down).
    """
    for k in range(first, end):
        if op[k] == vertical_flip.VERTICAL_FLIP:
            upside = not upside
        elif op[k] == erasing.ERASING:
            erasing.kernel(tile, arg[k], width, pitch, width - 1 - y if upside else y, -1 if upside else 1)
        else:
            rows(op[k], arg[k], mean, tile, width, pitch)


@jit
def turns(op, first, end):
    """Whether steps first to end - 1 turn the view upside down."""
    count = 0
    for k in range(first, end):
        count += 1 if op[k] == vertical_flip.VERTICAL_FLIP else 0
    return count % 2 == 1


@jit
def rows(code, arg, mean, tile, width, pitch):
    """Run one step that works alike on every row on a tile, in place; arg (ARGS,) float32; all else as in `steps`."""
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
