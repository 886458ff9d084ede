"""TrivialAugment (Müller & Hutter, arXiv:2103.10158), its wide set of ops as in torchvision's TrivialAugmentWide."""

from data_loading.errors import ViewError
from data_loading.ops import Choose, HorizontalFlip
from data_loading.strategies.base import STRATEGIES, Strategy
from data_loading.strategies.policy_ops import torchvision_op

BINS = 31


@STRATEGIES.register
def trivialaugment(size: int = 224, flip: float = 0.5) -> Strategy:
    """TrivialAugment: flip, then one op of 14 at one of 31 magnitudes, each as likely as another.

    size: side of the view, at least 32; translations, of up to 32 pixels, are kept as fractions of it.
    flip: probability.
    """
    from torchvision.transforms import TrivialAugmentWide

    if size < 32:
        raise ViewError(f"trivialaugment: size is {size}; it must be at least 32, the longest translation")
    space = TrivialAugmentWide()._augmentation_space(BINS)
    for name in ("TranslateX", "TranslateY"):
        pixels, mirror = space[name]
        space[name] = (pixels.int().double() / size, mirror)  # torchvision cuts them to whole pixels
    policies = [torchvision_op(space, name, place, whole=False) for name in space for place in range(BINS)]
    return Strategy("trivialaugment", [[HorizontalFlip(flip), Choose(policies)]], size=size)
