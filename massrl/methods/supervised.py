"""Supervised: cross-entropy with labels, the baseline for methods without labels.

Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, arXiv:1706.02677, the recipe of sec.
5.1 for He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
    L = - sum_c y_c log softmax(W h + b)_c      h = backbone, y = the label as 0 and 1, smoothed, or mixed
    learning rate: a tenth after 30, 60 and 80 of 90 epochs
Differs from the paper: no warm-up of 5 epochs, which it needs for batches of thousands (`optim.warmup_epochs: 5`), and
weights begin as torchvision's do (its classifier: deviation 0.01; last BatchNorm of a block: 0); torchvision's own
recipe decays biases and norms too. Takes any number of views, the mean of their losses. A batch that was mixed
(Batch.mix) gives its soft labels. Collapse cannot happen; z_std is that of the features (healthy: about 1/sqrt(F), less
after a ReLU), and `accuracy` is of the batch, before it is learnt from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.losses import feature_std
from massrl.losses.precision import full_precision
from massrl.methods.base import Method, Needs, register
from massrl.optim import OptimConfig

cross_entropy = full_precision(F.cross_entropy)


@register
class Supervised(Method):
    """Supervised: cross-entropy with labels, the baseline for methods without labels.

    Args:
        num_classes: number of classes; labels go from 0 to num_classes - 1.
        label_smoothing: share of a label, from 0 to below 1, that is spread evenly over all classes.
    """

    needs = Needs(global_views=1, or_more=True, labels=True)
    default_views = "rrc"
    default_optim = OptimConfig(
        name="sgd", base_lr=0.1, weight_decay=1e-4, schedule="step", milestones=[30 / 90, 60 / 90, 80 / 90]
    )

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        num_classes: int = 1000,
        label_smoothing: float = 0.0,
        **common,
    ):
        super().__init__(backbone, **common)
        if num_classes < 2:
            raise ConfigError(f"num_classes is {num_classes}; there must be at least 2 to tell apart")
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {label_smoothing}; it must lie from 0 to below 1")
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.classifier = nn.Linear(self.num_features, num_classes)

    def check_labels(self, labels: Tensor) -> None:
        super().check_labels(labels)
        largest = int(labels.max())
        if largest >= self.num_classes:
            raise ConfigError(
                f"num_classes is {self.num_classes}, and labels go up to {largest}; set model.init_args.num_classes to "
                f"{largest + 1} or more"
            )

    def check_batch(self, batch: Batch) -> None:
        soft = batch.soft_labels
        if soft is not None and soft.shape[1] != self.num_classes:
            raise ConfigError(
                f"num_classes is {self.num_classes}, and the soft labels of this batch have {soft.shape[1]} classes; "
                "give Batch.mix the same num_classes"
            )

    def loss(self, batch: Batch) -> Tensor:
        h = torch.stack(self.encode(batch.global_views))  # (V, B, F)
        y = batch.labels if batch.soft_labels is None else batch.soft_labels  # (B,), or (B, num_classes)
        logits = self.classifier(h)  # (V, B, num_classes)
        self.log("z_std", feature_std(h[0]))
        self.log("accuracy", (logits[0].argmax(1) == batch.labels).float().mean())
        losses = [cross_entropy(view, y, label_smoothing=self.label_smoothing) for view in logits]
        return torch.stack(losses).mean()
