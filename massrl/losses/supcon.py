"""SupCon: a contrastive loss whose positives are all views of all images with the anchor's label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def supcon(z: Tensor, labels: Tensor, tau: float = 0.1, base_tau: float | None = None) -> Tensor:
    """SupCon, arXiv:2004.11362, eq. 2 (L_out):
    L_i = -1/|P(i)| sum_{p in P(i)} log exp(s_ip/tau) / sum_{a in A(i)} exp(s_ia/tau),
    where s is the cosine, A(i) are all views except i, and P(i) the views in A(i) with the label of i.

    z: (V, B, D) float, z[v, b] is the embedding of view v of image b; normalised here.  labels: (B,) integers.
    base_tau: multiply the loss by tau / base_tau, as the authors' code does (base_tau is 0.07 in PyTorch, 1 in
    TensorFlow); None (the default) is the paper's equation.
    Returns a scalar: the mean of L_i over the anchors i that have a positive. Anchors without one (possible only with
    V = 1) are left out; without any positive the loss is 0. Gradient flows to all of z.
    """
    V, B, _ = z.shape
    z = F.normalize(z.flatten(0, 1), dim=1)  # (V*B, D)
    labels = labels.repeat(V)  # (V*B,)
    itself = torch.eye(V * B, dtype=torch.bool, device=z.device)
    log_p = (z @ z.T / tau).masked_fill(itself, float("-inf")).log_softmax(1)  # (V*B, V*B), a != i
    positive = (labels[:, None] == labels) & ~itself  # (V*B, V*B), p in P(i)
    number = positive.sum(1)  # (V*B,), |P(i)|
    terms = -log_p.masked_fill(~positive, 0.0).sum(1) / number.clamp(min=1)  # (V*B,), L_i
    loss = terms.sum() / (number > 0).sum().clamp(min=1)
    return loss if base_tau is None else loss * (tau / base_tau)
