"""MAE's augmentation (He et al., arXiv:2111.06377, appendix A.1): crop and flip only; the mask makes the task hard."""

from data_loading.ops import HorizontalFlip, RandomResizedCrop
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def mae() -> Strategy:
    """MAE: crops of area 0.2 to 1, bicubic; flip."""
    return Strategy("mae", [[HorizontalFlip()]], crop=RandomResizedCrop((0.2, 1.0)), interpolation="bicubic")
