"""SupCon: the contrastive loss whose positives are all views of all images of a class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def supcon(z: Tensor, labels: Tensor, tau: float = 0.1, base_tau: float | None = None) -> Tensor:
    """SupCon, arXiv:2004.11362, eq. 2 (L_out), with A(i) all views but i, P(i) those of A(i) with i's label, s cosine:
    L_i = -1/|P(i)| sum_{p in P(i)} log exp(s_ip/tau) / sum_{a in A(i)} exp(s_ia/tau).

    z: (V, B, D), z[v, b] is view v of image b; any norm, it is normalised here.  labels: (B,), any integers.
    Mean over the anchors i that have a positive; one that has none (only with V = 1) is left out, and where no anchor
    has one the loss is 0.  base_tau: times tau / base_tau, as the authors' codes have it (0.07 in PyTorch, 1 in
    TensorFlow); None leaves the equation as it is.  Gradient flows to all of z.
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
