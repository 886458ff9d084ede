"""Losses: pure functions of tensors, usable alone."""

from massrl.losses.barlow_twins import barlow_twins
from massrl.losses.cosine_distance import cosine_distance, pairwise_cosine_distance
from massrl.losses.feature_std import feature_std
from massrl.losses.negative_cosine import negative_cosine
from massrl.losses.nt_xent import nt_xent
from massrl.losses.vicreg import VICRegTerms, vicreg, vicreg_terms

__all__ = [
    "VICRegTerms",
    "barlow_twins",
    "cosine_distance",
    "feature_std",
    "negative_cosine",
    "nt_xent",
    "pairwise_cosine_distance",
    "vicreg",
    "vicreg_terms",
]
