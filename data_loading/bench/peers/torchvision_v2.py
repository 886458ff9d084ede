"""torchvision's transforms v2 in the form of image that is fastest for the work.

That is a uint8 tensor with channels-last memory, for which its resize is fastest; for works with RandAugment and
AutoAugment it is a Pillow image, on which their warps and histograms take half to a third of the time.
"""

from __future__ import annotations

import torch
from PIL import Image
from torchvision.transforms import v2 as T

from data_loading.bench.peers.base import MEAN, STD, TorchPeer, Views
from data_loading.bench.peers.torchvision_v1 import augmentations, geometry
from data_loading.bench.works import ViewSpec


class Entry(TorchPeer):
    """The peer `torchvision-v2`; see the file's docstring."""

    def recipe(self):
        """Tensors or Pillow images, decoded by simplejpeg; see TorchPeer.recipe."""
        self.on_pillow = any(spec.policy for spec in self.work.views)
        load = self.pillow if self.on_pillow else self.tensor
        return load, Views(self.work, lambda spec: geometry(T, spec), self.colour)

    def pillow(self, row: int) -> Image.Image:
        """The image of a row, RGB."""
        return Image.fromarray(self.images.by_simplejpeg(row))

    def tensor(self, row: int) -> torch.Tensor:
        """The image of a row, uint8 (3, H, W), in memory (H, W, 3)."""
        return torch.from_numpy(self.images.by_simplejpeg(row)).permute(2, 0, 1)

    def colour(self, spec: ViewSpec):
        """Function of a cropped image that returns the finished view, a (3, S, S) tensor."""
        steps = augmentations(T, spec)
        if self.on_pillow:  # without contiguous(), normalising takes half as long again
            steps += [T.PILToTensor(), T.Lambda(torch.Tensor.contiguous)]
        if self.work.dtype == "float32":
            steps += [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
        return T.Compose(steps) if steps else T.Identity()
