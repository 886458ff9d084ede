"""Barlow Twins' augmentation (Zbontar et al., arXiv:2103.03230, and the authors' code): that of BYOL.

Crops are resized with bicubic interpolation.
"""

from data_loading.strategies.chain import byol_pair
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def barlow() -> Strategy:
    """Barlow Twins: BYOL's two variants, crops of area 0.08 to 1."""
    return Strategy("barlow", byol_pair(), interpolation="bicubic")
