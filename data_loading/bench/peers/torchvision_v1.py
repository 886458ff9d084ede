"""torchvision's transforms v1 on Pillow images: what most training scripts use."""

from __future__ import annotations

from torchvision import transforms as T

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views
from data_loading.bench.works import ViewSpec


class Entry(TorchPeer):
    def recipe(self):
        return self.images.pil, Views(self.work, geometry, self.colour)

    def colour(self, spec: ViewSpec):
        steps = []
        if spec.jitter:
            steps += [T.RandomApply([T.ColorJitter(*spec.jitter)], spec.p_jitter), T.RandomGrayscale(spec.p_gray)]
        if spec.p_blur:
            steps += [T.RandomApply([T.GaussianBlur(spec.blur_kernel, (0.1, 2.0))], spec.p_blur)]
        if spec.p_solarize:
            steps += [T.RandomSolarize(128, spec.p_solarize)]
        last = [T.PILToTensor()] if self.work.dtype == "uint8" else [T.ToTensor(), T.Normalize(MEAN, STD)]
        return T.Compose([*steps, *last])


def geometry(spec: ViewSpec):
    if spec.geometry == "centre":
        return T.Compose([T.Resize(spec.size * 8 // 7), T.CenterCrop(spec.size)])
    cut = T.RandomCrop(spec.size, 4) if spec.geometry == "padded" else T.RandomResizedCrop(spec.size, spec.scale)
    return T.Compose([cut, T.RandomHorizontalFlip()])
