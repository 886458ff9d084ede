"""DINO's augmentation (Caron et al., arXiv:2104.14294, and the authors' code): BYOL's two variants and a local one.

Crops are resized bicubically. With a ResNet-50 its areas are SwAV's.
"""

from data_loading.ops import RandomResizedCrop
from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def dino() -> Strategy:
    """DINO: global crops of area 0.4 to 1 under BYOL's variants a and b, local ones of 0.05 to 0.4 under a third."""
    crops = {"crop": RandomResizedCrop((0.4, 1.0)), "local_crop": RandomResizedCrop((0.05, 0.4))}
    return Strategy("dino", byol_pair(), local=chain(blur=0.5), interpolation="bicubic", **crops)
