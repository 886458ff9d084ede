"""MoCo, MoCo v2 and MoCo v3 in PySSL's form."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from data_loading.views.view_set import ViewSet
from massrl.methods import Method, moco, moco_v2, moco_v3
from massrl.simple.base import Setting, Simple


class MoCo(Simple):
    """MoCo, arXiv:1911.05722: a query against its key among a queue of keys, which a slowly moving network has made.

    Differs from PySSL: runs on any device; any size of batch up to K; the target moves after the step of the optimiser,
    never by a mere forward.

    Args:
        projection_dim: width of the embedding.
        K: keys in the queue.
        m: momentum of the target.
        temperature: of the loss.
    """

    of: type[Method] = moco.MoCo
    method: moco.MoCo
    K: int
    names = {"projection_dim": "out_dim", "K": "queue_size", "m": "ema", "temperature": "tau"}
    m, temperature = Setting("ema"), Setting("tau")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 128,
        K: int = 65536,
        m: float = 0.999,
        temperature: float = 0.07,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        common, fixed = (backbone, feature_size, image_size, mean, std, views, seed), {"ema_end": m}
        super().__init__(*common, fixed=fixed, projection_dim=projection_dim, K=K, m=m, temperature=temperature)

    @property
    def encoder_q(self) -> nn.Sequential:
        """The online network: normalised images (N, 3, H, W) -> queries (N, projection_dim)."""
        return self.encoder

    @property
    def encoder_k(self) -> nn.Sequential:
        """The target network: normalised images (N, 3, H, W) -> keys (N, projection_dim)."""
        return self._target()

    @property
    def queue(self) -> Tensor:
        """The keys (projection_dim, K)."""
        return self.method.queue.ring.T

    @property
    def queue_ptr(self) -> Tensor:
        """The column that the next key takes, (1,)."""
        return self.method.queue.pushed[None] % self.K


class MoCoV2(MoCo):
    """MoCo v2, arXiv:2003.04297: MoCo with a head of two layers, stronger augmentation and a higher temperature.

    Differs from PySSL: as MoCo, and the temperature is the paper's 0.2, not 0.07.

    Args:
        projection_dim: width of the embedding.
        K: keys in the queue.
        m: momentum of the target.
        temperature: of the loss.
    """

    of = moco_v2.MoCoV2

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 128,
        K: int = 65536,
        m: float = 0.999,
        temperature: float = 0.2,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        super().__init__(
            backbone, feature_size, projection_dim, K, m, temperature, image_size, mean, std, views=views, seed=seed
        )


class MoCoV3(Simple):
    """MoCo v3, arXiv:2104.02057: a prediction against the keys of the batch, both ways round; no queue.

    Differs from PySSL: the factor 2 tau of the loss; no scale and shift on the projector's output; keys of all
    processes; `total_steps` for a momentum that rises to 1, as the paper's does from 0.99. The paper's ResNet-50 has a
    hidden width of 4096 and the temperature 1.

    Args:
        projection_dim: width of embedding and prediction.
        hidden_dim: hidden width of projector and predictor.
        temperature: of the loss.
        m: momentum of the target.
    """

    of = moco_v3.MoCoV3
    method: moco_v3.MoCoV3
    hidden_dim: int
    names = {"projection_dim": "out_dim", "temperature": "tau", "m": "ema"}
    m, temperature = Setting("ema"), Setting("tau")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 256,
        hidden_dim: int = 2048,
        temperature: float = 0.5,
        m: float = 0.999,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
        total_steps: int | None = None,
    ):
        common = (backbone, feature_size, image_size, mean, std, views, seed, total_steps)
        super().__init__(*common, projection_dim=projection_dim, hidden_dim=hidden_dim, temperature=temperature, m=m)

    @property
    def predictor(self) -> nn.Module:
        """Embeddings (N, projection_dim) -> predictions (N, projection_dim)."""
        return self.method.predictor

    @property
    def encoder_q(self) -> nn.Sequential:
        """The online network: normalised images (N, 3, H, W) -> queries (N, projection_dim)."""
        return self.encoder

    @property
    def encoder_k(self) -> nn.Sequential:
        """The target network: normalised images (N, 3, H, W) -> keys (N, projection_dim)."""
        return self._target()
