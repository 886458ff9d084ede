"""NNCLR: the nearest neighbour of a view in a queue takes the view's place as the positive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.info_nce import info_nce_batch
from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def nearest_neighbour(z: Tensor, queue: Tensor) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 2:  NN(z, Q) = argmin over q in Q of |z - q|, of normalised vectors.

    z: (B, D), queue: (Q, D), any norm -> (B, D), rows of the queue. No gradient.
    """
    return queue[(F.normalize(z, dim=1) @ F.normalize(queue, dim=1).T).argmax(1)]


@full_precision
def nnclr(p: Tensor, n: Tensor, tau: float = 0.1) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 3 with the prediction head:  -log exp(n_i.p_i/tau) / sum_k exp(n_i.p_k/tau).

    p: (B, D) predictions of one view, n: (B, D) neighbours of the other view's embeddings, any norm, of all processes.
    Mean over i. Gradient flows to p; n comes from the queue.
    """
    return info_nce_batch(n.detach(), p, tau)
