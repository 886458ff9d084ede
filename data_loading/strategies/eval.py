"""Views without augmentation, for evaluation."""

from data_loading.ops import CenterCrop, Resize
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register(name="eval")
def evaluation() -> Strategy:
    """Evaluation: resize the shorter side to 8/7 of the view size, centre crop (256 and 224 for ImageNet)."""
    return Strategy("eval", [[]], crop=CenterCrop(224 / 256))


@STRATEGIES.register
def whole() -> Strategy:
    """Evaluation of small images: resize the shorter side to the view size, centre crop (keeps a square whole)."""
    return Strategy("whole", [[]], crop=CenterCrop(1.0))


@STRATEGIES.register
def none() -> Strategy:
    """No augmentation: the whole image, resized to a square; the aspect ratio is not kept."""
    return Strategy("none", [[]], crop=Resize())
