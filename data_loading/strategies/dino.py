"""DINO's augmentation (Caron et al., arXiv:2104.14294, and the authors' code): BYOL's variants and one for local crops.

Crops are resized with bicubic interpolation. For a ResNet-50 the authors use the crop areas of SwAV.
"""

from data_loading.ops import RandomResizedCrop
from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def dino() -> Strategy:
    """DINO: global crops of area 0.4 to 1, BYOL's variants a and b; local crops of area 0.05 to 0.4, blur p = 0.5."""
    crop, local_crop = RandomResizedCrop((0.4, 1.0)), RandomResizedCrop((0.05, 0.4))
    return Strategy("dino", byol_pair(), crop, local_crop, local=chain(blur=0.5), interpolation="bicubic")
