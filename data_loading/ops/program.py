"""The interpreter: which function draws an op's steps, and which kernel runs a step. One line an op."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit
from data_loading.ops import (
    affine,
    blur,
    color_jitter,
    elastic,
    erasing,
    flip,
    gamma,
    grayscale,
    noise,
    solarize,
    thickness,
)
from data_loading.ops.base import (
    AFFINE,
    BLUR,
    BRIGHTNESS,
    COLOR_JITTER,
    CONTRAST,
    ELASTIC,
    ERASING,
    FLIP,
    GAMMA,
    GRAYSCALE,
    HUE,
    NOISE,
    SATURATION,
    SOLARIZE,
    THICKNESS,
)

F32 = np.float32

# A chain of ifs compiles quickly, is cached, and costs less than a microsecond; tuples of functions do neither.


@jit
def draw(rule, params, state, op, arg, word, n):
    """Write an op's steps from place n on: op (K,), arg (K, ARGS) float32, word the same as uint32 -> next n."""
    if rule == COLOR_JITTER:
        return color_jitter.draw(params, state, op, arg, n)
    if rule == BLUR:
        return blur.draw(params, state, op, arg, n)
    if rule == AFFINE:
        return affine.draw(params, state, op, arg, n)
    if rule == ELASTIC:
        return elastic.draw(params, state, op, arg, word, n)
    if rule == THICKNESS:
        return thickness.draw(params, state, op, arg, n)
    if rule == GAMMA:
        return gamma.draw(params, state, op, arg, n)
    if rule == ERASING:
        return erasing.draw(params, state, op, arg, n)
    if rule == NOISE:
        return noise.draw(params, state, op, arg, word, n)
    op[n] = rule  # flip, grayscale: nothing to draw; solarize: its threshold
    arg[n, 0] = params[0]
    return n + 1


@jit
def identity(matrix):
    matrix[:] = F32(0.0)
    matrix[0] = F32(1.0)
    matrix[4] = F32(1.0)


@jit
def run(op, arg, word, plane, scratch, line, field, matrix):
    """Run a program on plane (3, H, W), in place; scratch as plane; line, field (2, 4, 4), matrix (6,); float32."""
    identity(matrix)
    for k in range(op.size):
        code, a = op[k], arg[k]
        if code == 0:
            return
        if code == FLIP:
            flip.kernel(plane)
        elif code == BRIGHTNESS:
            color_jitter.brightness(plane, a[0])
        elif code == CONTRAST:
            color_jitter.contrast(plane, a[0])
        elif code == SATURATION:
            color_jitter.saturation(plane, a[0])
        elif code == HUE:
            color_jitter.hue(plane, a[0])
        elif code == GRAYSCALE:
            grayscale.kernel(plane)
        elif code == BLUR:
            blur.kernel(plane, scratch, line, a[0])
        elif code == SOLARIZE:
            solarize.kernel(plane, a[0])
        elif code == AFFINE:
            if k + 1 < op.size and op[k + 1] == ELASTIC:  # one resampling for both
                matrix[:] = a[:6]
            else:
                affine.kernel(plane, scratch, a)
        elif code == ELASTIC:
            elastic.kernel(plane, scratch, field, a[0], word[k, 1], word[k, 2], matrix)
            identity(matrix)
        elif code == THICKNESS:
            thickness.kernel(plane, scratch, a[0])
        elif code == GAMMA:
            gamma.kernel(plane, a[0], a[1])
        elif code == ERASING:
            erasing.kernel(plane, a)
        elif code == NOISE:
            noise.kernel(plane, a[0], word[k, 1], word[k, 2])
