"""What Mixup and CutMix share: each image of a batch is mixed with the image before it, by sampled weights.

They act on a batch, through Batch.mix, and not on a view, so a strategy cannot contain them. Their random numbers are
keyed by (seed, epoch, sample), as those of ops.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv

from data_loading.errors import ViewError
from data_loading.kernel.rng import philox_numpy, stream
from data_loading.ops.base import Streamed, flag, is_number, set_stream, within

U32 = np.uint32


class Mixing(Streamed):
    """Mix each image of a batch with the one before it (the first with the last), with probability `p`.

    alpha: the image's own weight is sampled from Beta(alpha, alpha); above 0.
    same: one decision and one weight for the whole batch, those of its first sample, as in torchvision; False: one for
    each sample, as in FFCV.
    name, share, seed, fixed: of the random stream, as an op's; the default name is the class's.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        p: float = 1.0,
        same: bool = False,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        if not is_number(alpha) or not 0.0 < alpha < math.inf:
            raise ViewError(f"{type(self).__name__}: alpha is {alpha!r}; it must be a number above 0")
        self.alpha, self.p, self.same = float(alpha), within(self, "p", p, 0.0, 1.0), flag(self, "same", same)
        set_stream(self, name, share, seed, fixed)

    def draw(self, seed: int, epoch: int, samples: np.ndarray) -> np.ndarray:
        """Sample the numbers of a batch: samples (B,) int64, their rows in the file -> (3, B) float64.

        The image's own weight (1 where it is not mixed), and two uniform numbers in [0, 1), the centre of CutMix's box.
        """
        samples = samples[:1].repeat(len(samples)) if self.same else samples
        counter = np.zeros((len(samples), 4), U32)
        counter[:, 0], counter[:, 1] = samples & 0xFFFFFFFF, samples >> 32
        counter[:, 2] = stream(f"share/{self.share}" if self.share else f"batch/{self.name or type(self).__name__}")
        words = philox_numpy(counter, (seed if self.seed is None else self.seed, 0 if self.fixed else epoch))
        coin, u, first, second = (words >> U32(8)).T / 2.0**24  # in [0, 1), as rng.uniform
        weight = betaincinv(self.alpha, self.alpha, u)  # the inverse CDF of Beta(alpha, alpha) at u
        return np.stack([np.where(coin < self.p, weight, 1.0), first, second])
