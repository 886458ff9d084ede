"""SimCLR, SimCLR v2 and SupCon in PySSL's form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError
from data_loading.views.view_set import ViewSet
from massrl.methods import Method, simclr, simclr_v2, supcon
from massrl.simple.base import Setting, Simple


class SimCLR(Simple):
    """SimCLR, arXiv:2002.05709: views of one image attract, all other images of the batch repel.

    Differs from PySSL: crops of area 0.08 to 1, a projector with BatchNorm. The paper's temperature
    is 0.1 on ImageNet, 0.5 on CIFAR-10.

    Args:
        projection_dim: width of the embedding.
        temperature: of the loss.
    """

    of: type[Method] = simclr.SimCLR
    names = {"projection_dim": "out_dim", "temperature": "tau"}
    temperature = Setting("tau")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 128,
        temperature: float = 0.5,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        common = (backbone, feature_size, image_size, mean, std, views, seed)
        super().__init__(*common, projection_dim=projection_dim, temperature=temperature)


class SimCLRv2(SimCLR):
    """SimCLR v2, arXiv:2006.10029: SimCLR with a head of three layers, whose first one stays with the encoder.

    `model.method.encoder` is the backbone with that layer. Differs from PySSL: as SimCLR; `eval()` changes the mode
    alone and returns the model. The paper's temperature is 0.1.

    Args:
        projection_dim: width of the embedding.
        temperature: of the loss.
    """

    of = simclr_v2.SimCLRv2


class SupCon(Simple):
    """SupCon, arXiv:2004.11362: views of all images of a class attract, those of other classes repel.

    loss = model(images, labels), labels (N,) whole numbers from 0 on. Differs from PySSL: embeddings are brought to
    norm 1, without which the loss has no bound; AutoAugment, as the paper, in place of SimCLR's ops.

    Args:
        projection_dim: width of the embedding.
        temperature: of the loss; the paper's is 0.1, that of its PyTorch code 0.07.
    """

    of = supcon.SupCon
    method: supcon.SupCon
    names = {"projection_dim": "out_dim", "temperature": "tau"}
    temperature = Setting("tau")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 128,
        temperature: float = 0.07,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
    ):
        common, fixed = (backbone, feature_size, image_size, mean, std, views, seed), {"hidden_dim": feature_size}
        super().__init__(*common, fixed=fixed, projection_dim=projection_dim, temperature=temperature)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, 3, H, W) in 0..1, labels (N,) -> the scalar loss."""
        if labels is None:
            raise ConfigError("SupCon needs labels: loss = model(images, labels)")
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != images.shape[:1]:
            found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise ConfigError(f"SupCon takes labels ({len(images)},), one whole number for each image, got {found}")
        if int(labels.min()) < 0:
            raise ConfigError(f"SupCon takes labels from 0 on, got {int(labels.min())}; leave out images without one")
        return self._loss(images, labels.to(images.device, torch.int64))
