"""AutoAugment (Cubuk et al., arXiv:1805.09501): policies that were searched with labels, from torchvision's tables."""

from data_loading.ops import Choose, HorizontalFlip
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy, one_of

BINS = 10


@STRATEGIES.register
def autoaugment(policy: str = "imagenet", flip: float = 0.5) -> Strategy:
    """AutoAugment: flip, then one of 25 pairs of ops, each op with its own probability and magnitude.

    policy: "imagenet", "cifar10" or "svhn", the data that it was searched on.  flip: probability.
    """
    return Strategy("autoaugment", [[HorizontalFlip(flip), autoaugment_policies(policy)]])


def autoaugment_policies(policy: str) -> Choose:
    """The 25 pairs of ops as torchvision has them."""
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    one_of("autoaugment", "policy", policy, [known.value for known in AutoAugmentPolicy])
    theirs = AutoAugment(AutoAugmentPolicy(policy))
    space = theirs._augmentation_space(BINS, (1, 1))
    pairs = theirs.policies
    return Choose([[op for name, p, place in pair for op in torchvision_op(space, name, place, p)] for pair in pairs])
