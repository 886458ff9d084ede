"""AutoAugment (Cubuk et al., arXiv:1805.09501): policies found by a search with labels; torchvision's tables."""

from data_loading.errors import ViewError, one_of
from data_loading.ops import Choose, HorizontalFlip
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy

BINS = 10  # magnitudes per op


@STRATEGIES.register
def autoaugment(policy: str = "imagenet", flip: float = 0.5) -> Strategy:
    """AutoAugment: flip, then one of 25 pairs of ops, each op with its own probability and magnitude.

    policy: "imagenet", "cifar10" or "svhn", the data set of the search.  flip: probability.
    """
    return Strategy("autoaugment", [[HorizontalFlip(flip), autoaugment_policies(policy)]])


def autoaugment_policies(policy: str) -> Choose:
    """torchvision's 25 pairs of ops, equally likely. policy: "imagenet", "cifar10" or "svhn", else ViewError."""
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    one_of("autoaugment: policy", policy, [known.value for known in AutoAugmentPolicy], ViewError)
    theirs = AutoAugment(AutoAugmentPolicy(policy))
    space = theirs._augmentation_space(BINS, (1, 1))
    pairs = theirs.policies
    return Choose([[op for name, p, index in pair for op in torchvision_op(space, name, index, p)] for pair in pairs])
