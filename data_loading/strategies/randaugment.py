"""RandAugment (Cubuk et al., arXiv:1909.13719), and MASSRL's set of more ops (Tran et al., arXiv:2205.11772).

Differs from the paper: ops and magnitudes are torchvision's, read from its own table; the paper's code has others.
"""

from data_loading.errors import ViewError
from data_loading.ops import Brightness, Choose, Contrast, GaussianBlur, Grayscale, HorizontalFlip, Hue, Op, Saturation
from data_loading.ops.base import is_number
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy, one_of

BINS = 31


@STRATEGIES.register
def randaugment(num_ops: int = 2, magnitude: int = 9, ops: str = "torchvision", flip: float = 0.5) -> Strategy:
    """RandAugment: flip, then two ops of 14 (or of MASSRL's 20), drawn with replacement, all of one magnitude.

    num_ops: 1 to 16.  magnitude: 0 to 30.  flip: probability.
    ops: "torchvision", its 14; or "extended", as in the code of MASSRL's authors: shears about the centre, and six more
    (jitter of brightness, of contrast, of saturation and of hue, blur, grayscale). Their posterize and equalize, given
    images from 0 to 1, make them black; here they do not.
    """
    from torchvision.transforms import RandAugment

    one_of("randaugment", "ops", ops, ("torchvision", "extended"))
    for name, value, low, high in (("num_ops", num_ops, 1, 16), ("magnitude", magnitude, 0, BINS - 1)):
        if not is_number(value) or value not in range(low, high + 1):
            raise ViewError(f"randaugment: {name} is {value!r}; it must be a whole number from {low} to {high}")
    num_ops, magnitude = int(num_ops), int(magnitude)
    extended = ops == "extended"
    space = RandAugment()._augmentation_space(BINS, (1, 1))
    policies = [torchvision_op(space, name, magnitude, centre=extended) for name in space]
    if extended:
        policies += [[op] for op in _further(magnitude)]
    return Strategy("randaugment", [[HorizontalFlip(flip), Choose(policies, times=num_ops)]])


def _further(magnitude: int) -> list[Op]:
    """The six more: jitter of up to 0.8, hue of up to 0.5, and kernels of 1 to 11 pixels, made odd."""
    jitter, hue, kernel = 0.8 * magnitude / 30, 0.5 * magnitude / 30, 1 + magnitude // 3
    factors = (1 - jitter, 1 + jitter)
    return [
        *(op(factors, p=1.0) for op in (Brightness, Contrast, Saturation)),
        Hue((-hue, hue), p=1.0),
        GaussianBlur((0.1, 2.0), kernel_size=kernel - 1 + kernel % 2, p=1.0),
        Grayscale(1.0),
    ]
