"""3-Augment of DeiT III (Touvron et al., arXiv:2204.07118), a simple recipe for supervised training of ViTs.

Crops are resized with bicubic interpolation. Differs from the paper: the "simple random crop" with reflected borders,
used with ImageNet-21k, is not implemented.
"""

from data_loading.ops import Choose, ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, Op, Round, Solarize
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def three_augment(jitter: float = 0.3) -> Strategy:
    """3-Augment: flip; grayscale, solarize or blur; jitter of brightness, contrast and saturation.

    jitter: strength of the three.
    """
    policies: list[list[Op]] = [[Grayscale(1.0)], [Round(), Solarize(128, p=1.0)], [GaussianBlur((0.1, 2.0), p=1.0)]]
    ops = [HorizontalFlip(), Choose(policies), ColorJitter(jitter, jitter, jitter, 0.0, p=1.0)]
    return Strategy("three_augment", [ops], interpolation="bicubic")
