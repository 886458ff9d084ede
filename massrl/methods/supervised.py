"""Supervised: cross-entropy with labels; the baseline that methods without labels are held against.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385; the recipe is the usual one of
torchvision: SGD 0.1 for a batch of 256, a tenth of it after 30, 60 and 80 of 90 epochs.
    L = -sum_c y_c log softmax(W h)_c      h = features of the backbone
Differs from the paper: crops of area 0.08 to 1, as everyone has them since. A batch that was mixed (Batch.mix) is
trained on its soft labels. No collapse: the labels forbid it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.losses import feature_std
from massrl.methods.base import Method, Needs, register
from massrl.optim import OptimConfig


@register
class Supervised(Method):
    """Supervised: cross-entropy with labels; the baseline that methods without labels are held against.

    Args:
        num_classes: number of classes; labels go from 0 to num_classes - 1.
        label_smoothing: share of the label that is spread over all classes; 0.1 in long recipes.
    """

    needs = Needs(global_views=1, or_more=True, labels=True)
    default_views = "rrc"
    default_optim = OptimConfig(
        name="sgd", base_lr=0.1, weight_decay=1e-4, schedule="step", milestones=[1 / 3, 2 / 3, 8 / 9]
    )

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        num_classes: int = 1000,
        label_smoothing: float = 0.0,
        **common,
    ):
        super().__init__(backbone, **common)
        if num_classes < 2 or not 0 <= label_smoothing < 1:
            raise ConfigError(
                f"num_classes is {num_classes}, label_smoothing {label_smoothing}; at least 2, and from 0 to below 1"
            )
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.classifier = nn.Linear(self.num_features, num_classes)

    def check_batch(self, batch: Batch) -> None:
        if int(batch.labels.max()) >= self.num_classes:
            raise ConfigError(
                f"a label is {int(batch.labels.max())} and num_classes {self.num_classes}; set model.init_args."
                "num_classes to the number of classes (massrl data info FILE shows it)"
            )

    def loss(self, batch: Batch) -> Tensor:
        h = torch.cat(self.encode(batch.global_views))  # (V*B, F)
        self.log("z_std", feature_std(h))
        labels = batch.labels if batch.soft_labels is None else batch.soft_labels
        labels = labels.repeat(len(batch.global_views), *[1] * (labels.ndim - 1))  # (V*B,) or (V*B, num_classes)
        logits = self.classifier(h)
        accuracy = (logits.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))).float().mean()
        self.log("accuracy", accuracy)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
