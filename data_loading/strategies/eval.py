"""Views without augmentation: what encoders are judged on, and the image as it is."""

from data_loading.ops import CenterCrop, Resize
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register(name="eval")
def evaluation() -> Strategy:
    """Evaluation: shorter side to 8/7 of the size, then the centre (256 and 224 for ImageNet)."""
    return Strategy("eval", [[]], crop=CenterCrop(224 / 256))


@STRATEGIES.register
def whole() -> Strategy:
    """Evaluation of small images: shorter side to the size, then the centre; nothing is cut from a square."""
    return Strategy("whole", [[]], crop=CenterCrop(1.0))


@STRATEGIES.register
def none() -> Strategy:
    """No augmentation: the whole image, resized to a square whatever its shape."""
    return Strategy("none", [[]], crop=Resize())
