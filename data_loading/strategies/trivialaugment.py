"""TrivialAugment (Müller & Hutter, arXiv:2103.10158) with the wide set of ops of torchvision's TrivialAugmentWide."""

from data_loading.ops import Choose, HorizontalFlip
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy

BINS = 31  # magnitudes per op


@STRATEGIES.register
def trivialaugment(flip: float = 0.5) -> Strategy:
    """TrivialAugment: flip, then one of 14 ops at one of 31 magnitudes, uniformly sampled.

    Translations are up to 32 pixels for any view size.  flip: probability.
    """
    from torchvision.transforms import TrivialAugmentWide

    space = TrivialAugmentWide()._augmentation_space(BINS)
    policies = [torchvision_op(space, name, index, pixels=True) for name in space for index in range(BINS)]
    return Strategy("trivialaugment", [[HorizontalFlip(flip), Choose(policies)]])
