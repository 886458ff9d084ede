"""The metrics of data sets that encoders are transferred to, and the calibration of a classifier."""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

ACCURACY, PER_CLASS, MAP11 = "accuracy", "mean_per_class", "map11"
METRICS = {
    ACCURACY: "accuracy",
    PER_CLASS: "mean per class",  # accuracy of each class that test images are of, averaged
    MAP11: "11-point mAP",
}
BINS = 15  # of the expected calibration error


def top1(predicted: np.ndarray, y: np.ndarray, metric: str) -> float:
    """Accuracy in 0..1 of the predicted classes (N,), or the mean of the accuracies of the classes in y (N,)."""
    if metric == ACCURACY:
        return float(np.mean(predicted == y))
    classes = int(max(predicted.max(), y.max())) + 1
    each = multiclass_accuracy(
        torch.from_numpy(predicted), torch.from_numpy(y), num_classes=classes, average="none"
    ).numpy()
    return float(each[np.unique(y)].mean(dtype=np.float64))


def average_precision_11(scores: np.ndarray, positive: np.ndarray) -> float:
    """Average precision of PASCAL VOC 2007: the mean over recalls 0, 0.1, ..., 1 of the best precision at or above.

    scores (N,): larger for surer positives; images with equal scores enter together.  positive (N,): bool, with at
    least one True. Everingham et al., "The PASCAL VOC challenge", IJCV 2010, equations 1 and 2.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last of each run of equal scores
    hits, seen = hits[ends], ends + 1
    precision = hits / seen
    levels = (precision[hits * 10 >= tenth * hits[-1]].max() for tenth in range(11))  # integers: 0.3 is 3 of 10
    return float(sum(levels) / 11)


def calibration_error(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Expected calibration error in 0..1 of probabilities (N, K) with classes y (N,), over 15 bins of confidence."""
    error = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(y), num_classes=probabilities.shape[1], n_bins=BINS, norm="l1"
    )
    return float(error)
