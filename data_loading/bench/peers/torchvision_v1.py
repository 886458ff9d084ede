"""torchvision's transforms v1 on Pillow images, which most training scripts use."""

from __future__ import annotations

from types import ModuleType

from torchvision import transforms

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views
from data_loading.bench.works import ViewSpec


class Entry(TorchPeer):
    """The peer `torchvision`; see the file's docstring."""

    def recipe(self):
        """Pillow images, decoded by Pillow; see TorchPeer.recipe."""
        return self.images.pil, Views(self.work, lambda spec: geometry(transforms, spec), self.colour)

    def colour(self, spec: ViewSpec):
        """Function of a cropped Pillow image that returns the finished view, a (3, S, S) tensor."""
        last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        if self.work.dtype == "uint8":
            last = [transforms.PILToTensor()]
        return transforms.Compose([*augmentations(transforms, spec), *last])


def augmentations(T: ModuleType, spec: ViewSpec) -> list:
    """The transforms after the crop; T: torchvision.transforms or torchvision.transforms.v2, which name them alike."""
    steps = [T.RandomHorizontalFlip()] if spec.flip else []
    if spec.policy:  # their defaults are ImageNet's; there is no Fast AutoAugment
        steps += [T.RandAugment() if spec.policy == "randaugment" else T.AutoAugment()]
    if spec.jitter:
        steps += [T.RandomApply([T.ColorJitter(*spec.jitter)], spec.p_jitter), T.RandomGrayscale(spec.p_gray)]
    if spec.p_blur:
        steps += [T.RandomApply([T.GaussianBlur(spec.blur_kernel, (0.1, 2.0))], spec.p_blur)]
    if spec.p_solarize:
        steps += [T.RandomSolarize(128, spec.p_solarize)]
    return steps


def geometry(T: ModuleType, spec: ViewSpec):
    """The crop of a view and its resize, bilinear and antialiased; T: as in `augmentations`."""
    if spec.geometry == "centre":
        return T.Compose([T.Resize(spec.size * 8 // 7, antialias=True), T.CenterCrop(spec.size)])
    if spec.geometry == "padded":
        return T.RandomCrop(spec.size, 4)
    return T.RandomResizedCrop(spec.size, spec.scale, antialias=True)
