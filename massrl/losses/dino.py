"""DINO: the online network's distribution over prototypes follows the target network's, centred and sharpened."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.losses.precision import full_precision
from massrl.losses.swapped import swapped_cross_entropy


@full_precision
def dino_pairs(online: Tensor, target: Tensor, centre: Tensor, tau: float = 0.1, tau_target: float = 0.07) -> Tensor:
    """Cross-entropies H(softmax((target_q - centre)/tau_target), softmax(online_v/tau)), mean over images: (G, V).

    online: (V, B, K) logits, target: (G, B, K) logits, centre: (K,). The target's part carries no gradient.
    """
    p = _sharpened(target, centre, tau_target)  # (G, B, K)
    log_p = (online / tau).log_softmax(-1)  # (V, B, K)
    # Summed over k for each image, then over images: a single sum over B K terms loses three digits of float32.
    return -torch.einsum("gbk,vbk->bgv", p, log_p).mean(0)


@full_precision
def dino(online: Tensor, target: Tensor, centre: Tensor, tau: float = 0.1, tau_target: float = 0.07) -> Tensor:
    """DINO, arXiv:2104.14294, eq. 3:  mean over global q and views v != q of H(P_target(q), P_online(v)).

    online: (V, B, K) logits of all views, target: (G, B, K) logits of the G global views, which are the first G of the
    V; centre: (K,). Mean over images too. Only `online` carries gradient.
    """
    return swapped_cross_entropy(online, _sharpened(target, centre, tau_target), tau)


def _sharpened(target: Tensor, centre: Tensor, tau: float) -> Tensor:
    """P_target, DINO's eq. 1 with the centre taken away, without gradient."""
    return ((target.detach() - centre.detach()) / tau).softmax(-1)
