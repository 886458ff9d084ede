"""Gamma: 255 gain (x / 255)^gamma, clamped to 0..255, as torchvision's adjust_gamma."""

from __future__ import annotations

import math

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import uniform
from data_loading.ops.base import OPS, Op, interval
from data_loading.ops.step import step

GAMMA = 12  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Gamma(Op):
    """Bend the curve of intensities: exponent and gain are sampled log-uniformly from their intervals."""

    rule = GAMMA

    def __init__(
        self,
        gamma: tuple[float, float] = (0.6, 1.6),
        gain: tuple[float, float] = (1.0, 1.0),
        p: float = 0.8,
        **common,
    ):
        super().__init__(p, **common)
        self.gamma = interval(self, "gamma", gamma, 0.05, 20.0)
        self.gain = interval(self, "gain", gain, 0.01, 100.0)

    def params(self) -> list[float]:
        """The logarithms of gamma (low, high) and gain (low, high)."""
        return [*map(math.log, self.gamma), *map(math.log, self.gain)]


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample exponent and gain and write step n -> n + 1."""
    op[n] = GAMMA
    arg[n, 0] = math.exp(uniform(state, params[0], params[1]))
    arg[n, 1] = math.exp(uniform(state, params[2], params[3]))
    return n + 1


def reference(image: np.ndarray, gamma: float, gain: float) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64."""
    return np.clip(255 * gain * (np.maximum(image, 0) / 255) ** gamma, 0, 255)


@jit(inline=True)
def kernel(tile, gamma, gain):
    """Apply gamma and gain to a tile, flat float32 of three channels, in place."""
    for i in range(tile.size):
        x = max(tile[i], F32(0.0)) * F32(1.0 / 255.0)
        tile[i] = min(F32(255.0) * gain * x**gamma, F32(255.0))


def tensor(images, gamma, gain):
    """images (N, 3, H, W); gamma, gain (N,)."""
    gamma, gain = gamma[:, None, None, None], gain[:, None, None, None]
    return (255 * gain * (images.clamp(min=0) / 255) ** gamma).clamp(0, 255)


step(GAMMA, "gamma", ("gamma", "gain"), reference=reference, tensor=tensor, on_rows=True, on_values=True)
