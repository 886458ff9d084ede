"""SupCon: NT-Xent with labels; all views of all images of a class are positives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def supcon(z: Tensor, labels: Tensor, tau: float = 0.1, base_tau: float | None = None) -> Tensor:
    """SupCon, arXiv:2004.11362, eq. 2 (L_out), A(i) all views but i, P(i) those of A(i) with the label of i:
    L_i = -1/|P(i)| sum_{p in P(i)} log exp(z_i.z_p/tau) / sum_{a in A(i)} exp(z_i.z_a/tau), mean over i.

    z: (V, B, D), any norm; labels: (B,). With one view an image that is alone in its class has no positive: it stays
    out of the mean; where none has one the loss is 0.  base_tau: the authors' code multiplies by tau / base_tau.
    Gradient flows to all of z.
    """
    V, B, _ = z.shape
    z = F.normalize(z.flatten(0, 1), dim=1)  # (V*B, D)
    labels = labels.repeat(V)  # (V*B,)
    itself = torch.eye(V * B, dtype=torch.bool, device=z.device)
    logits = (z @ z.T / tau).masked_fill(itself, float("-inf"))
    positive = (labels[:, None] == labels[None]) & ~itself  # (V*B, V*B)
    log_p = logits.log_softmax(1).masked_fill(~positive, 0.0)
    number = positive.sum(1)  # |P(i)|
    each = -log_p.sum(1) / number.clamp(min=1)
    loss = each.sum() / (number > 0).sum().clamp(min=1)
    return loss if base_tau is None else loss * (tau / base_tau)
