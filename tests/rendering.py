"""Run steps of a program on an image, as the renderer does for a view."""

from types import SimpleNamespace

import numpy as np

from data_loading.bench.op_cases import StepRenderer
from data_loading.ops.step import END, STEPS

# The codes of the steps by name: codes.FLIP, codes.VERTICAL_FLIP, ...
codes = SimpleNamespace(END=END, **{s.name.upper(): s.code for s in STEPS.values()})


def run_steps(image, steps, normalize=None, dtype="float32"):
    """image (3, S, S) of whole numbers; steps: (code, numbers, ((place, word), ...)) each -> (3, S, S) of `dtype`."""
    draw = StepRenderer(steps, image.shape[1], dtype, normalize)
    return np.ascontiguousarray(draw(image.astype(np.uint8).transpose(1, 2, 0)).transpose(2, 0, 1))
