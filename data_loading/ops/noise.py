"""Gaussian noise: add a normal number to each value; a key in the plan determines the noise, so it can be replayed."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import normal, philox, philox_numpy, tensor_normals, uniform, word
from data_loading.ops.base import OPS, Op, interval
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

NOISE = 14  # the code of the step, as saved plans hold it
F32, U32 = np.float32, np.uint32


@OPS.register
class GaussianNoise(Op):
    """Add normal noise to each value; its standard deviation (in levels of 255) is sampled from an interval."""

    rule = NOISE

    def __init__(
        self,
        sigma: tuple[float, float] = (0.0, 25.0),
        p: float = 1.0,
        **common,
    ):
        super().__init__(p, **common)
        self.sigma = interval(self, "sigma", sigma, 0.0, 255.0)

    def params(self) -> list[float]:
        return list(self.sigma)


@jit(inline=True)
def draw(params, state, op, arg, word_arg, n):
    """Sample sigma and a key of two words, and write step n -> n + 1."""
    op[n] = NOISE
    arg[n, 0] = uniform(state, params[0], params[1])
    word_arg[n, 1] = word(state)
    word_arg[n, 2] = word(state)
    return n + 1


def reference(image: np.ndarray, sigma: float, key0: int, key1: int) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64; sigma in levels; key0, key1: uint32.

    Values are numbered over (3, H, W). Philox with counter (number // 4, 0, 0, 0) gives four words, which become the
    noise of four values by Box-Muller.
    """
    quads = -(-image.size // 4)
    counter = np.zeros((quads, 4), np.uint32)
    counter[:, 0] = np.arange(quads)
    u = philox_numpy(counter, (key0, key1)).astype(float)
    radius = np.sqrt(-2 * np.log((u[:, [0, 2]] + 1) / 2**32))
    angle = 2 * np.pi * u[:, [1, 3]] / 2**32
    noise = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)[: image.size]
    return np.clip(image + sigma * noise.reshape(image.shape), 0, 255)


@jit(inline=True)
def kernel(plane, sigma, key0, key1):
    """Add noise to plane (3, H, W) float32 in place; sigma in levels; key0, key1: uint32."""
    flat = plane.reshape(-1)
    for q in range((flat.size + 3) // 4):
        w = philox(U32(q), U32(0), U32(0), U32(0), key0, key1)
        n0, n1 = normal(w[0], w[1])
        n2, n3 = normal(w[2], w[3])
        noise = (n0, n1, n2, n3)
        for k in range(4):
            i = 4 * q + k
            if i < flat.size:
                flat[i] = min(max(flat[i] + sigma * noise[k], F32(0.0)), F32(255.0))


def tensor(images, sigma, key0, key1):
    """images (N, 3, H, W); sigma (N,); keys (N,) int64."""
    import torch

    size = images[0].numel()
    noise = torch.stack(tensor_normals(-(-size // 4), key0, key1), 2).flatten(1)[:, :size]
    return (images + sigma[:, None, None, None] * noise.view_as(images)).clamp(0, 255)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    arg, word, small = words(arg, word, small)
    kernel(planes(image, scratch, height, width)[0], arg[0], word[1], word[2])


step(NOISE, "noise", ("sigma", "key", "key"), reference=reference, tensor=tensor, image_kernel=image_kernel)
