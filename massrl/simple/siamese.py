"""Barlow Twins, BYOL and SimSiam in PySSL's form: two views, no negatives."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from data_loading.views.view_set import ViewSet
from massrl.methods import barlow_twins, byol, simsiam
from massrl.simple.base import Setting, Simple


class BarlowTwins(Simple):
    """Barlow Twins, arXiv:2103.03230: each channel correlates with itself in the other view, and with no other.

    Differs from PySSL: the first view always blurs and the second seldom does, as the paper; correlations are those of
    the batch of all processes.

    Args:
        projection_dim: width of the embedding.
        hidden_dim: width of the projector's two hidden layers.
        lamda: weight of the correlations between different channels.
    """

    of = barlow_twins.BarlowTwins
    method: barlow_twins.BarlowTwins
    hidden_dim: int
    names = {"projection_dim": "out_dim", "lamda": "lambd"}
    lamda = Setting("lambd")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 8192,
        hidden_dim: int = 8192,
        lamda: float = 0.005,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        common = (backbone, feature_size, image_size, mean, std, views, seed)
        super().__init__(*common, projection_dim=projection_dim, hidden_dim=hidden_dim, lamda=lamda)


class BYOL(Simple):
    """BYOL, arXiv:2006.07733: predict the target network's embedding of one view from the other; no negatives.

    Differs from PySSL: the target moves after the step of the optimiser, never by a mere forward; `total_steps` for a
    momentum that rises to 1, as the paper's; the first view always blurs and the second seldom does.

    Args:
        projection_dim: width of embedding and prediction.
        hidden_dim: hidden width of projector and predictor.
        tau: momentum of the target.
    """

    of = byol.BYOL
    method: byol.BYOL
    hidden_dim: int
    names = {"projection_dim": "out_dim", "tau": "ema"}
    tau = Setting("ema")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 256,
        hidden_dim: int = 4096,
        tau: float = 0.996,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
        total_steps: int | None = None,
    ):
        common = (backbone, feature_size, image_size, mean, std, views, seed, total_steps)
        super().__init__(*common, projection_dim=projection_dim, hidden_dim=hidden_dim, tau=tau)

    @property
    def online_encoder(self) -> nn.Sequential:
        """Normalised images (N, 3, H, W) -> embeddings (N, projection_dim)."""
        return self.encoder

    @property
    def online_predictor(self) -> nn.Module:
        """Embeddings (N, projection_dim) -> predictions (N, projection_dim)."""
        return self.method.predictor

    @property
    def target_encoder(self) -> nn.Sequential:
        """The target network: normalised images (N, 3, H, W) -> embeddings (N, projection_dim)."""
        return self._target()


class SimSiam(Simple):
    """SimSiam, arXiv:2011.10566: two views, one encoder, a stop-gradient; no negatives and no momentum.

    Differs from PySSL: no scale and shift on the projector's output; any widths.

    Args:
        projection_dim: width of embedding and prediction.
        hidden_dim_proj: hidden width of the projector.
        hidden_dim_pred: hidden width of the predictor, a bottleneck.
    """

    of = simsiam.SimSiam
    method: simsiam.SimSiam
    hidden_dim_proj: int
    hidden_dim_pred: int
    names = {"projection_dim": "out_dim", "hidden_dim_proj": "hidden_dim", "hidden_dim_pred": "pred_dim"}

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 2048,
        hidden_dim_proj: int = 2048,
        hidden_dim_pred: int = 512,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        common = (backbone, feature_size, image_size, mean, std, views, seed)
        super().__init__(
            *common, projection_dim=projection_dim, hidden_dim_proj=hidden_dim_proj, hidden_dim_pred=hidden_dim_pred
        )

    @property
    def predictor(self) -> nn.Module:
        """Embeddings (N, projection_dim) -> predictions (N, projection_dim)."""
        return self.method.predictor
