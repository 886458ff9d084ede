"""VICReg's augmentation (Bardes et al., arXiv:2105.04906): in the authors' code, that of BYOL.

Crops are resized with bicubic interpolation.
"""

from data_loading.ops import RandomResizedCrop
from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def vicreg() -> Strategy:
    """VICReg: BYOL's two variants, crops of area 0.08 to 1."""
    return Strategy("vicreg", byol_pair(), interpolation="bicubic")


@STRATEGIES.register
def vicreg32() -> Strategy:
    """VICReg for small images (CIFAR-10), from solo-learn: one variant, crops of area 0.2 to 1, no blur."""
    crop = RandomResizedCrop((0.2, 1.0))
    return Strategy("vicreg32", [chain(solarize=0.1)], crop=crop, size=32, interpolation="bicubic")
