"""BYOL's augmentation (Grill et al., arXiv:2006.07733, appendix B): two variants that differ in blur and solarize.

Crops are resized with bicubic interpolation.
"""

from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def byol() -> Strategy:
    """BYOL: variant a always blurs; variant b blurs with p = 0.1 and solarizes with p = 0.2."""
    return Strategy("byol", byol_pair(), interpolation="bicubic")


@STRATEGIES.register
def byol32() -> Strategy:
    """BYOL for small images (CIFAR-10), from solo-learn: no blur; variant b solarizes with p = 0.2."""
    return Strategy("byol32", [chain(), chain(solarize=0.2)], size=32, interpolation="bicubic")
