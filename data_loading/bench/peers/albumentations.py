"""albumentations on OpenCV arrays. INTER_LINEAR does not antialias, and colours go through tables of 8 bits."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing asks the network for a newer version

import albumentations as A  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views  # noqa: E402
from data_loading.bench.works import ViewSpec  # noqa: E402


class Entry(TorchPeer):
    def recipe(self):
        return self.images.by_opencv, Views(self.work, lambda spec: run(geometry(spec)), self.colour)

    def colour(self, spec: ViewSpec):
        steps = []
        if spec.jitter:
            b, c, s, h = spec.jitter
            around = [(max(0.0, 1 - v), 1 + v) for v in (b, c, s)]
            jitter = dict(zip(("brightness", "contrast", "saturation"), around, strict=True))
            steps += [A.ColorJitter(**jitter, hue=(-h, h), p=spec.p_jitter), A.ToGray(p=spec.p_gray)]
        if spec.p_blur:
            steps += [A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=spec.p_blur)]
        if spec.p_solarize:
            steps += [A.Solarize(threshold_range=(0.5, 0.5), p=spec.p_solarize)]
        if self.work.dtype == "float32":
            steps += [A.Normalize(MEAN, STD)]
        finish = run(steps) if steps else lambda image: image
        return lambda image: torch.from_numpy(np.ascontiguousarray(finish(image).transpose(2, 0, 1)))  # (3, S, S)


def run(steps: list):
    composed = A.Compose(steps)
    return lambda image: composed(image=image)["image"]


def geometry(spec: ViewSpec) -> list:
    size = (spec.size, spec.size)
    if spec.geometry == "centre":
        return [A.SmallestMaxSize(spec.size * 8 // 7, interpolation=cv2.INTER_LINEAR), A.CenterCrop(*size)]
    if spec.geometry == "padded":
        padded = A.PadIfNeeded(spec.size + 8, spec.size + 8, border_mode=cv2.BORDER_CONSTANT)
        return [padded, A.RandomCrop(*size), A.HorizontalFlip(p=0.5)]
    return [A.RandomResizedCrop(size, spec.scale, interpolation=cv2.INTER_LINEAR), A.HorizontalFlip(p=0.5)]
