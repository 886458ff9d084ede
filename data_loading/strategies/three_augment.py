"""3-Augment of DeiT III (Touvron et al., arXiv:2204.07118), a supervised recipe for ViTs as plain as SSL's.

Crops are resized bicubically. Differs from the paper: its simple random
crop (reflected borders), used with ImageNet-21k, is not here.
"""

from data_loading.ops import Choose, ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, Round, Solarize
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def three_augment(jitter: float = 0.3) -> Strategy:
    """3-Augment: flip; one of grayscale, solarize and blur; then a jitter of brightness, contrast and saturation.

    jitter: its strength.
    """
    one = [[Grayscale(1.0)], [Round(), Solarize(128, p=1.0)], [GaussianBlur((0.1, 2.0), p=1.0)]]
    ops = [HorizontalFlip(), Choose(one), ColorJitter(jitter, jitter, jitter, 0.0, p=1.0)]
    return Strategy("three_augment", [ops], interpolation="bicubic")
