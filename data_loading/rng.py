"""Keyed random numbers, for ops of one's own: the public name of kernel/rng.py."""

from data_loading.kernel.rng import (
    checked_seed,
    integer,
    keys,
    normal,
    permutation,
    philox,
    philox_numpy,
    stream,
    tensor_normals,
    uniform,
    word,
)

__all__ = [
    "checked_seed",
    "integer",
    "keys",
    "normal",
    "permutation",
    "philox",
    "philox_numpy",
    "stream",
    "tensor_normals",
    "uniform",
    "word",
]
