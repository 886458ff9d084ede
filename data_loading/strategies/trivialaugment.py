"""TrivialAugment (Müller & Hutter, arXiv:2103.10158), its wide set of ops as in torchvision's TrivialAugmentWide."""

from data_loading.ops import Choose, HorizontalFlip
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy

BINS = 31


@STRATEGIES.register
def trivialaugment(flip: float = 0.5) -> Strategy:
    """TrivialAugment: flip, then one op of 14 at one of 31 magnitudes, each as likely as another.

    Translations are of up to 32 pixels, whatever the side of the view.  flip: probability.
    """
    from torchvision.transforms import TrivialAugmentWide

    space = TrivialAugmentWide()._augmentation_space(BINS)
    policies = [torchvision_op(space, name, place, pixels=True) for name in space for place in range(BINS)]
    return Strategy("trivialaugment", [[HorizontalFlip(flip), Choose(policies)]])
