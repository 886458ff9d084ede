"""The metrics of data sets that encoders are transferred to, and the calibration of a classifier."""

from __future__ import annotations

import numpy as np

ACCURACY, PER_CLASS, MAP11 = "accuracy", "mean_per_class", "map11"
METRICS = {
    ACCURACY: "accuracy",
    PER_CLASS: "mean per class",  # accuracy of each class that test images are of, averaged
    MAP11: "11-point mAP",
}
BINS = 15  # of the expected calibration error


def top1(predicted: np.ndarray, y: np.ndarray, metric: str) -> float:
    """Accuracy in 0..1 of the predicted classes (N,), or the mean of the accuracies of the classes in y (N,)."""
    right = predicted == y
    if metric == ACCURACY:
        return float(np.mean(right))
    _, codes = np.unique(y, return_inverse=True)
    return float(np.mean(np.bincount(codes, right) / np.bincount(codes)))


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


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error in 0..1, over 15 bins of equal width (Guo et al., arXiv:1706.04599, equation 3).

    confidence (N,): probability of the predicted class, in 0..1.  right (N,): bool, whether it is the true one.
    """
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)  # of a bin: images times the gap
    return float(np.abs(gaps).sum() / len(right))
