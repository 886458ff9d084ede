"""MoCo's augmentations (He et al., arXiv:1911.05722; v2: Chen et al., arXiv:2003.04297; v3: arXiv:2104.02057)."""

from data_loading.ops import ColorJitter, Grayscale, HorizontalFlip, RandomResizedCrop
from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy

CROP = (0.2, 1.0)  # fraction of the area
WEAK = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue


@STRATEGIES.register
def moco_v1() -> Strategy:
    """MoCo v1: crops of area 0.2 to 1, grayscale (p = 0.2), colour jitter (always), flip."""
    ops = [Grayscale(0.2), ColorJitter(0.4, 0.4, 0.4, 0.4, p=1.0), HorizontalFlip()]
    return Strategy("moco_v1", [ops], crop=RandomResizedCrop(CROP))


@STRATEGIES.register
def moco_v2() -> Strategy:
    """MoCo v2 and SimSiam: crops of area 0.2 to 1, flip, weaker jitter than SimCLR's, grayscale, blur."""
    return Strategy("moco_v2", [chain(WEAK, blur=0.5)], crop=RandomResizedCrop(CROP))


@STRATEGIES.register
def moco_v3(crop_min: float = 0.2) -> Strategy:
    """MoCo v3: BYOL's two variants, crops of area 0.2 to 1.

    crop_min: smallest area of a crop, as a fraction; the authors use 0.08 with ViTs.
    """
    return Strategy("moco_v3", byol_pair(), crop=RandomResizedCrop((crop_min, 1.0)))


@STRATEGIES.register
def moco32() -> Strategy:
    """MoCo v2 and SimSiam for small images (CIFAR-10), from solo-learn: crops of area 0.08 to 1, bicubic."""
    return Strategy("moco32", [chain(WEAK, blur=0.5)], size=32, interpolation="bicubic")
