"""RandAugment (Cubuk et al., arXiv:1909.13719), and MASSRL's version with more ops (Tran et al., arXiv:2205.11772).

Differs from the paper: ops and magnitudes are those of torchvision's table, which differ from the authors' code.
"""

from data_loading.errors import ViewError, one_of
from data_loading.ops import Brightness, Choose, Contrast, GaussianBlur, Grayscale, HorizontalFlip, Hue, Op, Saturation
from data_loading.ops.base import is_number
from data_loading.strategies.policy_ops import torchvision_op
from data_loading.strategies.strategy import STRATEGIES, Strategy

BINS = 31  # magnitudes per op


@STRATEGIES.register
def randaugment(num_ops: int = 2, magnitude: int = 9, ops: str = "torchvision", flip: float = 0.5) -> Strategy:
    """RandAugment: flip, then two of 14 ops (or of MASSRL's 20), sampled with replacement, all of one magnitude.

    num_ops: 1 to 16.  magnitude: 0 to 30.  flip: probability.
    ops: "torchvision" for its 14 ops, or "extended" for those of MASSRL's code: shears about the centre, and six more
    (jitter of brightness, contrast, saturation and hue; blur; grayscale). That code passes images in [0, 1] to
    posterize and equalize, which makes them black; this does not copy that bug.
    """
    from torchvision.transforms import RandAugment

    one_of("randaugment: ops", ops, ("torchvision", "extended"), ViewError)
    for name, value, low, high in (("num_ops", num_ops, 1, 16), ("magnitude", magnitude, 0, BINS - 1)):
        if not is_number(value) or value not in range(low, high + 1):
            raise ViewError(f"randaugment: {name} is {value!r}; it must be an integer from {low} to {high}")
    num_ops, magnitude = int(num_ops), int(magnitude)
    extended = ops == "extended"
    space = RandAugment()._augmentation_space(BINS, (1, 1))
    policies = [torchvision_op(space, name, magnitude, centre=extended) for name in space]
    if extended:
        policies += [[op] for op in _extension(magnitude)]
    return Strategy("randaugment", [[HorizontalFlip(flip), Choose(policies, times=num_ops)]])


def _extension(magnitude: int) -> list[Op]:
    """The six further ops of "extended": jitter up to 0.8, hue up to 0.5, blur kernels of 1 to 11 pixels (odd)."""
    jitter, hue, kernel = 0.8 * magnitude / 30, 0.5 * magnitude / 30, 1 + magnitude // 3
    factors = (1 - jitter, 1 + jitter)
    return [
        *(op(factors, p=1.0) for op in (Brightness, Contrast, Saturation)),
        Hue((-hue, hue), p=1.0),
        GaussianBlur((0.1, 2.0), kernel_size=kernel - 1 + kernel % 2, p=1.0),
        Grayscale(1.0),
    ]
