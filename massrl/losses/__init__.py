"""Losses: pure functions of tensors. They need no method, no configuration and no process group.

A loss returns a scalar, averaged over images, and computes in float32 for half-precision inputs, also inside autocast.
With several processes the caller gathers the embeddings first (massrl.distributed.gather). `nearest_neighbour` (NNCLR)
and `sinkhorn` (SwAV) prepare inputs of a loss; `feature_std` and `entropies` measure collapse.
"""

from massrl.losses.barlow_twins import barlow_twins
from massrl.losses.cosine_distance import cosine_distance, pairwise_cosine_distance
from massrl.losses.dino import dino, dino_pairs
from massrl.losses.entropy import Entropies, entropies
from massrl.losses.feature_std import feature_std
from massrl.losses.info_nce import info_nce, info_nce_batch
from massrl.losses.negative_cosine import negative_cosine
from massrl.losses.nnclr import nearest_neighbour, nnclr
from massrl.losses.nt_xent import nt_xent
from massrl.losses.supcon import supcon
from massrl.losses.swav import sinkhorn, swav
from massrl.losses.vicreg import VICRegTerms, vicreg, vicreg_terms

__all__ = [
    "Entropies",
    "VICRegTerms",
    "barlow_twins",
    "cosine_distance",
    "dino",
    "dino_pairs",
    "entropies",
    "feature_std",
    "info_nce",
    "info_nce_batch",
    "nearest_neighbour",
    "negative_cosine",
    "nnclr",
    "nt_xent",
    "pairwise_cosine_distance",
    "sinkhorn",
    "supcon",
    "swav",
    "vicreg",
    "vicreg_terms",
]
