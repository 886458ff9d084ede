"""DINO: cross-entropy between the target network's centred, sharpened distribution and the online network's."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.losses.precision import full_precision
from massrl.losses.swapped import swapped_cross_entropy


@full_precision
def dino_pairs(online: Tensor, target: Tensor, centre: Tensor, tau: float = 0.1, tau_target: float = 0.07) -> Tensor:
    """DINO, arXiv:2104.14294, the terms of eq. 3 for every pair of a target view q and an online view v:
    H_qv = mean over images of -sum_k softmax((target_q - centre)/tau_target)^k log softmax(online_v/tau)^k.

    online: (V, B, K) logits, target: (G, B, K) logits, centre: (K,). Returns H, (G, V), with q = v included.
    Gradient flows to `online` only.
    """
    p = _sharpened(target, centre, tau_target)  # (G, B, K)
    log_p = (online / tau).log_softmax(-1)  # (V, B, K)
    # Sum over k for each image, then average over images: one sum over B*K terms loses three digits of float32.
    return -torch.einsum("gbk,vbk->bgv", p, log_p).mean(0)


@full_precision
def dino(online: Tensor, target: Tensor, centre: Tensor, tau: float = 0.1, tau_target: float = 0.07) -> Tensor:
    """DINO, arXiv:2104.14294, eq. 3:  mean over global views q and views v != q of H(P_target(q), P_online(v)), where
    P_target = softmax((target - centre)/tau_target) and P_online = softmax(online/tau).

    online: (V, B, K) logits of all views, target: (G, B, K) logits of the global views, which are the first G of the V
    views; centre: (K,), the running mean of the target's logits. Returns a scalar, also averaged over images.
    Gradient flows to `online` only.
    """
    return swapped_cross_entropy(online, _sharpened(target, centre, tau_target), tau)


def _sharpened(target: Tensor, centre: Tensor, tau: float) -> Tensor:
    """P_target of DINO, eq. 1 with the centre subtracted from the logits; detached."""
    return ((target.detach() - centre.detach()) / tau).softmax(-1)
