"""BYOL's augmentation (Grill et al., arXiv:2006.07733, appendix B): two variants, of other blur and solarize.

Crops are resized bicubically.
"""

from data_loading.strategies.chain import byol_pair, chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def byol() -> Strategy:
    """BYOL: variant a always blurs; variant b seldom blurs and sometimes solarizes."""
    return Strategy("byol", byol_pair(), interpolation="bicubic")


@STRATEGIES.register
def byol32() -> Strategy:
    """BYOL for small images (CIFAR-10), as solo-learn has it: no blur; variant b sometimes solarizes."""
    return Strategy("byol32", [chain(), chain(solarize=0.2)], size=32, interpolation="bicubic")
