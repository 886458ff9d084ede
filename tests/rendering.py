"""Run steps of a program on an image, as the renderer does for a view."""

import numpy as np

from data_loading import Strategy, ViewSet
from data_loading.ops import OPS, Choose, Op
from data_loading.ops.base import ARGS
from data_loading.plan import Plan
from data_loading.render import Renderer

DTYPES = {"float32": np.float32, "uint8": np.uint8, "float16": np.int16, "bfloat16": np.int16}


def run_steps(image, steps, normalize=None, dtype="float32"):
    """image (3, S, S) of whole numbers; steps: (code, numbers, ((place, word), ...)) each -> (3, S, S) of `dtype`."""
    side = image.shape[1]
    op, word = np.zeros((1, 1, max(len(steps), 1)), np.uint8), np.zeros((1, 1, max(len(steps), 1), ARGS), np.uint32)
    for k, (code, numbers, *words) in enumerate(steps):
        op[0, 0, k] = code
        word.view(np.float32)[0, 0, k, : len(numbers)] = numbers
        for place, value in words[0] if words else ():
            word[0, 0, k, place] = value
    whole = np.array([0, 0, side, side], np.float32).reshape(1, 1, 4)
    pixels = np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0)).reshape(-1)
    sides, out = np.array([side]), np.empty((1, 1, 3, side, side), DTYPES[dtype])
    every = [
        op() for _, op in OPS.items() if issubclass(op, Op) and op is not Choose
    ]  # whose kernels the steps may need
    renderer = Renderer(ViewSet([Strategy("any", [every])], crops=1, size=side), side, normalize, dtype)
    renderer(pixels, np.zeros(1, np.int64), sides, sides, Plan(whole, op, word, np.zeros((1, 1), np.uint8)), 0, [out])
    return out[0, 0]
