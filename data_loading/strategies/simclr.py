"""SimCLR's augmentation (Chen et al., arXiv:2002.05709, appendix A and B.9 for CIFAR-10).

Differs from the paper: the blur's sigma is in pixels of the view whatever its size, as in popular code.
"""

from data_loading.ops import ColorJitter, GaussianBlur, Grayscale, HorizontalFlip
from data_loading.strategies.base import STRATEGIES, Strategy


@STRATEGIES.register
def simclr() -> Strategy:
    """SimCLR for ImageNet: crop, flip, strong colour jitter, grayscale, blur."""
    jitter = ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8)
    return Strategy("simclr", [[HorizontalFlip(), jitter, Grayscale(0.2), GaussianBlur((0.1, 2.0), p=0.5)]])


@STRATEGIES.register
def simclr32() -> Strategy:
    """SimCLR for small images (CIFAR-10): colour jitter of half the strength, no blur."""
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8)
    return Strategy("simclr32", [[HorizontalFlip(), jitter, Grayscale(0.2)]], size=32)
