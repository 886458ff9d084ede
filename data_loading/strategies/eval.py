"""The view that encoders are judged on: no augmentation."""

from data_loading.ops import CenterCrop
from data_loading.strategies.base import STRATEGIES, Strategy


@STRATEGIES.register(name="eval")
def evaluation() -> Strategy:
    """Evaluation: shorter side to 8/7 of the size, then the centre (256 and 224 for ImageNet)."""
    return Strategy("eval", [[]], crop=CenterCrop(224 / 256))


@STRATEGIES.register
def whole() -> Strategy:
    """Evaluation of small images: shorter side to the size, then the centre; nothing is cut from a square."""
    return Strategy("whole", [[]], crop=CenterCrop(1.0))
