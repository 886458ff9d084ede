"""The interpreter: which function draws an op's steps, and which kernel runs a step. One line an op."""

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
    warp,
)
from data_loading.ops.base import (
    AFFINE,
    AUTOCONTRAST,
    BLUR,
    BRIGHTNESS,
    COLOR_JITTER,
    CONTRAST,
    CUTOUT,
    ELASTIC,
    END,
    EQUALIZE,
    ERASING,
    FLIP,
    GAMMA,
    GRAYSCALE,
    HUE,
    INVERT,
    NOISE,
    OWN,
    POSTERIZE,
    ROTATE,
    ROUND,
    SATURATION,
    SHARPNESS,
    SHEAR,
    SHIFT,
    SOLARIZE,
    STEPS,
    THICKNESS,
    TRANSLATE,
    VERTICAL_FLIP,
    WARP,
    magnitude,
)

F32 = np.float32

# A chain of ifs compiles quickly, is cached, and costs less than a microsecond; tuples of functions do neither.


@jit
def draw(rule, params, state, size, owns, op, arg, word, n):
    """Write an op's steps from place n on: op (K,), arg (K, ARGS) float32, word the same as uint32 -> next n.

    size: side of the view in pixels; owns: own.table().
    """
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
    if rule == POSTERIZE:
        return posterize.draw(params, state, op, arg, n)
    if rule == ROTATE:
        return rotate.draw(params, state, size, op, arg, n)
    if rule == SHEAR:
        return shear.draw(params, state, size, op, arg, n)
    if rule == TRANSLATE:
        return translate.draw(params, state, size, op, arg, n)
    if rule == SHIFT:
        return shift.draw(params, state, size, op, arg, n)
    if rule == CUTOUT:
        return cutout.draw(params, state, size, op, arg, n)
    if rule >= OWN:
        return own.draw(owns, rule, params, state, op, arg, word, n)
    op[n] = rule
    if rule in (BRIGHTNESS, CONTRAST, SATURATION, HUE, SOLARIZE, SHARPNESS):
        arg[n, 0] = magnitude(params, state)
    return n + 1  # the others draw nothing


@jit
def on_rows(code):
    """Whether a step needs no other pixels than its row's (contrast does, until its mean is known; a blur, some)."""
    return code in (FLIP, BRIGHTNESS, SATURATION, HUE, GRAYSCALE, SOLARIZE, GAMMA, ROUND, INVERT, POSTERIZE)


@jit
def on_image(code):
    """Whether a step needs the whole image: its kernel is called by its address."""
    return not (code in (END, BLUR, CONTRAST) or on_rows(code))


@jit
def rows(code, arg, mean, tile, width, pitch):
    """Run one step on a tile: float32 (3 R pitch,), R rows of each channel; mean: of the gray, for contrast."""
    if code == BRIGHTNESS:
        color_jitter.brightness(tile, arg[0])
    elif code == CONTRAST:
        color_jitter.contrast(tile, arg[0], mean)
    elif code == SATURATION:
        color_jitter.saturation(tile, arg[0])
    elif code == HUE:
        color_jitter.hue(tile, arg[0])
    elif code == GRAYSCALE:
        grayscale.kernel(tile)
    elif code == SOLARIZE:
        solarize.kernel(tile, arg[0])
    elif code == GAMMA:
        gamma.kernel(tile, arg[0], arg[1])
    elif code == FLIP:
        flip.kernel(tile, width, pitch)
    elif code == ROUND:
        round.kernel(tile)
    elif code == INVERT:
        invert.kernel(tile)
    elif code == POSTERIZE:
        posterize.kernel(tile, arg[0])


REFERENCES = {
    FLIP: flip.reference,
    BRIGHTNESS: color_jitter.reference_brightness,
    CONTRAST: color_jitter.reference_contrast,
    SATURATION: color_jitter.reference_saturation,
    HUE: color_jitter.reference_hue,
    GRAYSCALE: grayscale.reference,
    BLUR: blur.reference,
    SOLARIZE: solarize.reference,
    THICKNESS: thickness.reference,
    GAMMA: gamma.reference,
    ERASING: erasing.reference,
    ROUND: round.reference,
    INVERT: invert.reference,
    POSTERIZE: posterize.reference,
    VERTICAL_FLIP: vertical_flip.reference,
    WARP: warp.reference,
    SHARPNESS: sharpness.reference,
    EQUALIZE: equalize.reference,
    AUTOCONTRAST: autocontrast.reference,
}
# The same of images (N, 3, H, W), float tensors on any device, with each number (N,): float, or a key's word as int64.
TENSORS = {
    FLIP: flip.tensor,
    BRIGHTNESS: color_jitter.tensor_brightness,
    CONTRAST: color_jitter.tensor_contrast,
    SATURATION: color_jitter.tensor_saturation,
    HUE: color_jitter.tensor_hue,
    GRAYSCALE: grayscale.tensor,
    BLUR: blur.tensor,
    SOLARIZE: solarize.tensor,
    AFFINE: affine.tensor,
    ELASTIC: elastic.tensor,
    THICKNESS: thickness.tensor,
    GAMMA: gamma.tensor,
    ERASING: erasing.tensor,
    NOISE: noise.tensor,
    ROUND: round.tensor,
    INVERT: invert.tensor,
    POSTERIZE: posterize.tensor,
    VERTICAL_FLIP: vertical_flip.tensor,
    WARP: warp.tensor,
    SHARPNESS: sharpness.tensor,
    EQUALIZE: equalize.tensor,
    AUTOCONTRAST: autocontrast.tensor,
}


def reference(op: np.ndarray, arg: np.ndarray, word: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A whole program by the ops' NumPy references; picture (3, H, W) in 0..255 -> (3, H, W) float64."""
    k = 0
    while k < op.size and op[k] != END:
        code, a = int(op[k]), [float(x) for x in arg[k]]
        if code >= OWN:
            picture = own.reference(code, picture, arg[k], word[k])
        elif code in REFERENCES:
            picture = REFERENCES[code](picture, *a[: len(STEPS[code][1])])
        elif code == NOISE:
            picture = noise.reference(picture, a[0], (int(word[k, 1]), int(word[k, 2])))
        elif code == AFFINE and not (k + 1 < op.size and op[k + 1] == ELASTIC):
            picture = affine.reference(picture, a[:6])
        else:
            matrix = (1, 0, 0, 0, 1, 0)
            if code == AFFINE:  # one resampling for both
                matrix, k = a[:6], k + 1
            field = np.empty((2, 4, 4), F32)
            elastic.displacements(word[k, 1], word[k, 2], arg[k, 0], field)
            picture = elastic.reference(picture, field, matrix)
        k += 1
    return np.asarray(picture, np.float64)
