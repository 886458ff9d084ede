"""Supervised: cross-entropy with labels, the baseline for methods without labels.

Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, arXiv:1706.02677, the recipe of sec.
5.1 for He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
    L = - sum_c y_c log softmax(W h + b)_c      h = backbone, y = the label as 0 and 1, smoothed, or mixed
    learning rate: a tenth after 30, 60 and 80 of 90 epochs
Differs from the paper: no warm-up of 5 epochs, which it needs for batches of thousands (`optim.warmup_epochs: 5`), and
weights begin as torchvision's do (its classifier: deviation 0.01; last BatchNorm of a block: 0); torchvision's own
recipe decays biases and norms too. Takes any number of views, the mean of their losses. A batch that was mixed
(Batch.mix) gives its soft labels. Collapse cannot happen; z_std is that of the features (healthy: about 1/sqrt(F), less
after a ReLU), and `accuracy` is of the batch, before it is learnt from; `val_accuracy` and `test_accuracy` are of all
images with the view of evaluation. FFCV's quick recipes are configs/pretrain/imagenet/supervised_*.yaml.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import world_size
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
        eval_flip: in validation and test, add the logits of each image's mirror image.
    """

    needs = Needs(global_views=1, or_more=True, labels=True)
    default_views = "rrc"
    val_views = ("eval",)  # val_loss, too, is of images without augmentation
    default_optim = OptimConfig(
        name="sgd", base_lr=0.1, weight_decay=1e-4, schedule="step", milestones=[30 / 90, 60 / 90, 80 / 90]
    )

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        num_classes: int = 1000,
        label_smoothing: float = 0.0,
        eval_flip: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        if num_classes < 2:
            raise ConfigError(f"num_classes is {num_classes}; there must be at least 2 to tell apart")
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {label_smoothing}; it must lie from 0 to below 1")
        self.num_classes, self.label_smoothing, self.eval_flip = num_classes, label_smoothing, eval_flip
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
        if self._logging is None:  # in validation it is of all images: `validation_step`
            self.log("accuracy", (logits[0].argmax(1) == batch.labels).float().mean())
        losses = [cross_entropy(view, y, label_smoothing=self.label_smoothing) for view in logits]
        return torch.stack(losses).mean()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """As a Method's, and log val_accuracy: the share of labelled images that the classifier names correctly."""
        found = super().validation_step(batch, batch_idx, dataloader_idx)
        self._log_accuracy(batch, found, "val")
        return found

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """As a Method's, and log test_accuracy."""
        found = super().test_step(batch, batch_idx, dataloader_idx)
        self._log_accuracy(batch, found, "test")
        return found

    def _log_accuracy(self, batch: Batch, found: dict[str, Tensor] | None, stage: str) -> None:
        if found is None:
            return
        y = found["labels"]  # (B,), -1 for none and for repeats
        known = y >= 0
        logits = self.classifier(found["features"])  # (B, num_classes)
        if self.eval_flip:
            logits = logits + self.classifier(self.backbone(batch.views[0].flip(-1)))
        n = int(known.sum())
        if n or world_size() > 1:  # a process without a labelled image logs, too: the others would wait for it
            right = ((logits.argmax(1) == y) & known).float().sum() / max(n, 1)
            usual = {"batch_size": n, "on_step": False, "on_epoch": True, "add_dataloader_idx": False}
            self.log(f"{stage}_accuracy", right, prog_bar=True, sync_dist=world_size() > 1, **usual)
