"""SimCLR's augmentation (Chen et al., arXiv:2002.05709, appendix A; appendix B.9 for CIFAR-10).

Differs from the paper: the blur's sigma is in pixels of the view and does not scale with its size, as in popular code.
"""

from collections.abc import Sequence

from data_loading.ops import Crop
from data_loading.strategies.chain import chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def simclr(
    jitter: Sequence[float] = (0.8, 0.8, 0.8, 0.2),
    blur: float = 0.5,
    solarize: float = 0.0,
    crop: Crop | str | dict | None = None,
) -> Strategy:
    """SimCLR for ImageNet: crop, flip, strong colour jitter, grayscale, blur.

    jitter: strengths of brightness, contrast, saturation and hue.  blur, solarize: probabilities.
    crop: a crop rule; None is RandomResizedCrop with area 0.08 to 1.
    The "SimCLR" of MASSRL's code has jitter (0.4, 0.4, 0.2, 0.1), blur 1 and solarize 0 or 0.2.
    """
    return Strategy("simclr", [chain(jitter, blur, solarize)], crop=crop)


@STRATEGIES.register
def simclr32() -> Strategy:
    """SimCLR for small images (CIFAR-10): colour jitter at half strength, no blur."""
    return Strategy("simclr32", [chain((0.4, 0.4, 0.4, 0.1))], size=32)
