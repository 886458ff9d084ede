"""lightly's own transform classes on Pillow images; they blur with Pillow, which is faster than torchvision's blur.

It has no RandAugment and no AutoAugment.
"""

from __future__ import annotations

from lightly.transforms import BYOLTransform, SimCLRTransform, SwaVTransform

from data_loading.bench.peers.base import TorchPeer
from data_loading.bench.works import Work

TRANSFORMS = {
    "simclr": SimCLRTransform,
    "byol": BYOLTransform,
    "multicrop": lambda: SwaVTransform(cj_strength=1.0),  # 2 x 224 and 6 x 96, SimCLR's colours
    "simclr32": lambda: SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0),
}


class Entry(TorchPeer):
    """The peer `lightly`, for the works that are among its transforms."""

    @classmethod
    def can(cls, work: Work) -> bool:
        """Whether lightly has a transform of these views."""
        return work.name in TRANSFORMS

    def recipe(self):
        """Pillow images, decoded by Pillow; see TorchPeer.recipe."""
        return self.images.pil, TRANSFORMS[self.work.name]()
