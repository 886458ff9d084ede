"""Losses: pure functions of tensors, usable alone."""

from massrl.losses.cosine_distance import cosine_distance, pairwise_cosine_distance
from massrl.losses.feature_std import feature_std
from massrl.losses.negative_cosine import negative_cosine
from massrl.losses.nnclr import nnclr
from massrl.losses.nt_xent import nt_xent
from massrl.losses.supcon import supcon

__all__ = [
    "cosine_distance",
    "feature_std",
    "negative_cosine",
    "nnclr",
    "nt_xent",
    "pairwise_cosine_distance",
    "supcon",
]
