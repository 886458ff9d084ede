"""torchvision's transforms v2 on uint8 tensors whose memory is channels-last, which its resize is fastest with."""

from __future__ import annotations

import torch
from torchvision.transforms import v2 as T

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views
from data_loading.bench.works import ViewSpec


class Entry(TorchPeer):
    def recipe(self):
        return self.load, Views(self.work, geometry, self.colour)

    def load(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.images.by_simplejpeg(row)).permute(2, 0, 1)  # (3, H, W)

    def colour(self, spec: ViewSpec):
        steps = []
        if spec.jitter:
            steps += [T.RandomApply([T.ColorJitter(*spec.jitter)], spec.p_jitter), T.RandomGrayscale(spec.p_gray)]
        if spec.p_blur:
            steps += [T.RandomApply([T.GaussianBlur(spec.blur_kernel, (0.1, 2.0))], spec.p_blur)]
        if spec.p_solarize:
            steps += [T.RandomSolarize(128, spec.p_solarize)]
        if self.work.dtype == "float32":
            steps += [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
        return T.Compose(steps) if steps else T.Identity()


def geometry(spec: ViewSpec):
    if spec.geometry == "centre":
        return T.Compose([T.Resize(spec.size * 8 // 7, antialias=True), T.CenterCrop(spec.size)])
    if spec.geometry == "padded":
        return T.Compose([T.RandomCrop(spec.size, 4), T.RandomHorizontalFlip()])
    return T.Compose([T.RandomResizedCrop(spec.size, spec.scale, antialias=True), T.RandomHorizontalFlip()])
