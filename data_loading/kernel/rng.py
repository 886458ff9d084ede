"""Keyed random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A number is a function of (seed, epoch, sample, stream, draw): counter = (sample low, sample high, stream, draw // 4),
key = (seed, epoch), word draw % 4. No state is carried between samples, so threads, ranks and batches cannot move it.
"""

from __future__ import annotations

import hashlib
import secrets
from numbers import Integral

import numpy as np

from data_loading.errors import ConfigError
from data_loading.kernel.jit import jit

U32, U64 = np.uint32, np.uint64
KEY_SEED, KEY_EPOCH, SAMPLE_LOW, SAMPLE_HIGH, STREAM, DRAW, STATE = 0, 1, 2, 3, 4, 5, 6


@jit
def philox(c0, c1, c2, c3, k0, k1):
    """Four 32-bit words from a 4 x 32-bit counter and a 2 x 32-bit key; all uint32."""
    for _ in range(10):
        a = U64(0xD2511F53) * U64(c0)
        b = U64(0xCD9E8D57) * U64(c2)
        c0, c1, c2, c3 = U32(b >> U64(32)) ^ c1 ^ k0, U32(b), U32(a >> U64(32)) ^ c3 ^ k1, U32(a)
        k0 = U32(k0 + U32(0x9E3779B9))
        k1 = U32(k1 + U32(0xBB67AE85))
    return c0, c1, c2, c3


@jit
def word(state):
    """The next 32 random bits of a drawing state, uint32 (6): key (seed, epoch), sample low and high, stream, draw."""
    draw = state[DRAW]
    state[DRAW] = draw + U32(1)
    w = philox(state[SAMPLE_LOW], state[SAMPLE_HIGH], state[STREAM], draw >> U32(2), state[KEY_SEED], state[KEY_EPOCH])
    lane = draw & U32(3)
    return w[0] if lane == 0 else w[1] if lane == 1 else w[2] if lane == 2 else w[3]


@jit
def uniform(state, low, high):
    """A float64 in [low, high), 24 random bits."""
    return low + (high - low) * (np.float64(word(state) >> U32(8)) * (1.0 / 16777216.0))


@jit
def integer(state, n):
    """An int64 in [0, n), n <= 2^24."""
    return min(np.int64(uniform(state, 0.0, 1.0) * n), n - 1)


@jit
def normal(word0, word1):
    """Two standard normal float32 from two random words (Box and Muller, 1958)."""
    u = (np.float64(word0) + 1.0) * (1.0 / 4294967296.0)  # in (0, 1]: the logarithm is finite
    v = np.float64(word1) * (2.0 * np.pi / 4294967296.0)
    r = np.sqrt(-2.0 * np.log(u))
    return np.float32(r * np.cos(v)), np.float32(r * np.sin(v))


def philox_numpy(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """The same in NumPy: counter (..., 4) uint32, key (seed, epoch) -> (..., 4) uint32."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (np.uint64(k) for k in key)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b & low, (a >> shift) ^ c3 ^ k1, a & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def stream(name: str) -> int:
    """A stable 32-bit number of a stream's name, the same on every machine and in every version of Python."""
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "little")


def checked_seed(seed: int | None, what: str = "seed") -> int:
    """A seed of 32 bits; None draws one from the system."""
    if seed is None:
        return secrets.randbits(32)
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise ConfigError(f"{what} {seed!r} does not fit 32 bits; choose one from 0 to {2**32 - 1}")
    return int(seed)


@jit
def keys(n, seed, epoch, stream_number):
    """One 64-bit draw of a stream for each of the samples 0, 1, ... n - 1, (n,) uint64; all but n are uint32."""
    out = np.empty(n, U64)
    for i in range(n):
        w = philox(U32(i & 0xFFFFFFFF), U32(i >> 32), stream_number, U32(0), seed, epoch)
        out[i] = (U64(w[0]) << U64(32)) | U64(w[1])
    return out


def permutation(n: int, seed: int, epoch: int, name: str = "order") -> np.ndarray:
    """The order of an epoch: a stable argsort of one 64-bit keyed draw per sample -> (n,) int64."""
    return np.argsort(keys(n, U32(seed), U32(epoch), U32(stream(name))), kind="stable")


def tensor_normals(n: int, key0, key1):
    """Four standard normals for each counter (i, 0, 0, 0), i < n, and each key -> 4 float32 tensors (N, n).

    key0, key1 (N,): words as int64 tensors. As `normal` of the words 0 and 1, and of 2 and 3, to some units in 10^7.
    """
    import torch

    c0 = torch.arange(n, device=key0.device)[None]
    k0, k1 = key0[:, None], key1[:, None]
    low = 0xFFFFFFFF
    c1 = c2 = c3 = torch.zeros_like(c0)
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2  # 64 bits, of which the sign is one
        c0, c1, c2, c3 = (b >> 32) & low ^ c1 ^ k0, b & low, (a >> 32) & low ^ c3 ^ k1, a & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    out = []
    for u, v in ((c0, c1), (c2, c3)):
        # Near 1 the logarithm is that of 1 - u, which float32 holds; near 0 of u itself.
        log = torch.where(u < 2**31, ((u + 1) / 2.0**32).log(), (-(low - u) / 2.0**32).log1p())
        radius, angle = (-2 * log).sqrt(), v * (2 * np.pi / 2.0**32)
        out += [radius * angle.cos(), radius * angle.sin()]
    return out
