"""Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

Each 32-bit word is a function of (seed, epoch, sample, stream, draw), where draw = 0, 1, ... is the index of the word
in its stream. Philox gets counter = (sample low, sample high, stream, draw // 4) and key = (seed, epoch), and returns
four words, of which number draw % 4 is used. No state is carried from sample to sample, so results do not depend on
threads, ranks or batches.
"""

from __future__ import annotations

import hashlib
import secrets
from numbers import Integral

import numpy as np

from data_loading.errors import ConfigError
from data_loading.kernel.jit import jit

U32, U64 = np.uint32, np.uint64
# Indices into a random state, uint32 (STATE,).
KEY_SEED, KEY_EPOCH, SAMPLE_LOW, SAMPLE_HIGH, STREAM, DRAW, STATE = 0, 1, 2, 3, 4, 5, 6


@jit
def philox(c0, c1, c2, c3, k0, k1):
    """Four random words from the counter (c0, c1, c2, c3) and the key (k0, k1); all are uint32."""
    for _ in range(10):
        a = U64(0xD2511F53) * U64(c0)
        b = U64(0xCD9E8D57) * U64(c2)
        c0, c1, c2, c3 = U32(b >> U64(32)) ^ c1 ^ k0, U32(b), U32(a >> U64(32)) ^ c3 ^ k1, U32(a)
        k0 = U32(k0 + U32(0x9E3779B9))
        k1 = U32(k1 + U32(0xBB67AE85))
    return c0, c1, c2, c3


@jit
def word(state):
    """The next random word, uint32. state: uint32 (6,), see KEY_SEED ... DRAW; its draw index is incremented."""
    draw = state[DRAW]
    state[DRAW] = draw + U32(1)
    w = philox(state[SAMPLE_LOW], state[SAMPLE_HIGH], state[STREAM], draw >> U32(2), state[KEY_SEED], state[KEY_EPOCH])
    lane = draw & U32(3)
    return w[0] if lane == 0 else w[1] if lane == 1 else w[2] if lane == 2 else w[3]


@jit
def uniform(state, low, high):
    """A float64, uniform in [low, high), from 24 random bits. state: as for `word`."""
    return low + (high - low) * (np.float64(word(state) >> U32(8)) * (1.0 / 16777216.0))


@jit
def integer(state, n):
    """An int64, uniform in [0, n), for n <= 2^24. state: as for `word`."""
    return min(np.int64(uniform(state, 0.0, 1.0) * n), n - 1)


@jit
def normal(word0, word1):
    """Two standard normal float32 from two random uint32 words (Box and Muller, 1958)."""
    u = (np.float64(word0) + 1.0) * (1.0 / 4294967296.0)  # in (0, 1], so the logarithm is finite
    v = np.float64(word1) * (2.0 * np.pi / 4294967296.0)
    r = np.sqrt(-2.0 * np.log(u))
    return np.float32(r * np.cos(v)), np.float32(r * np.sin(v))


def philox_numpy(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """`philox` in NumPy. counter: uint32 (..., 4).  key: (seed, epoch).  Returns uint32 (..., 4)."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (np.uint64(k) for k in key)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b & low, (a >> shift) ^ c3 ^ k1, a & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def stream(name: str) -> int:
    """The 32-bit number of the stream `name`: a hash that is stable over machines and versions of Python."""
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "little")


def checked_seed(seed: int | None, what: str = "seed") -> int:
    """`seed` as an int from 0 to 2^32 - 1, else ConfigError; a random one if None. what: its name in the message."""
    if seed is None:
        return secrets.randbits(32)
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise ConfigError(f"{what} is {seed!r}; it must be an integer from 0 to {2**32 - 1}")
    return int(seed)


@jit
def keys(n, seed, epoch, stream_number):
    """One random 64-bit word per sample 0, 1, ..., n - 1, uint64 (n,). seed, epoch, stream_number: uint32."""
    out = np.empty(n, U64)
    for i in range(n):
        w = philox(U32(i & 0xFFFFFFFF), U32(i >> 32), stream_number, U32(0), seed, epoch)
        out[i] = (U64(w[0]) << U64(32)) | U64(w[1])
    return out


def permutation(n: int, seed: int, epoch: int, name: str = "order") -> np.ndarray:
    """A random permutation of n samples, int64 (n,): the stable argsort of one random 64-bit word per sample.

    seed, epoch: below 2^32.  name: of the stream.
    """
    return np.argsort(keys(n, U32(seed), U32(epoch), U32(stream(name))), kind="stable")


def tensor_normals(n: int, key0, key1):
    """Standard normal numbers as torch tensors, on the device of the keys: a list of 4 float32 tensors (N, n).

    key0, key1: int64 (N,), uint32 words of N Philox keys. For each key and each counter (i, 0, 0, 0), i < n, the
    results are `normal` of words 0 and 1, and of words 2 and 3, up to a few times 1e-7.
    """
    import torch

    c0 = torch.arange(n, device=key0.device)[None]
    k0, k1 = key0[:, None], key1[:, None]
    low = 0xFFFFFFFF
    c1 = c2 = c3 = torch.zeros_like(c0)
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2  # int64 overflow keeps the 64 bits of the product
        c0, c1, c2, c3 = (b >> 32) & low ^ c1 ^ k0, b & low, (a >> 32) & low ^ c3 ^ k1, a & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    out = []
    for u, v in ((c0, c1), (c2, c3)):
        # log1p for u near 1, where float32 cannot represent u but can represent 1 - u.
        log = torch.where(u < 2**31, ((u + 1) / 2.0**32).log(), (-(low - u) / 2.0**32).log1p())
        radius, angle = (-2 * log).sqrt(), v * (2 * np.pi / 2.0**32)
        out += [radius * angle.cos(), radius * angle.sin()]
    return out
