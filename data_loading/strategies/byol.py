"""BYOL's augmentation (Grill et al., arXiv:2006.07733, appendix B): two variants, of other blur and solarize."""

from data_loading.ops import ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, Solarize
from data_loading.strategies.base import STRATEGIES, Strategy


def _variant(blur: float, solarize: float) -> list:
    jitter = ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8)
    return [HorizontalFlip(), jitter, Grayscale(0.2), GaussianBlur((0.1, 2.0), p=blur), Solarize(128, p=solarize)]


@STRATEGIES.register
def byol() -> Strategy:
    """BYOL: variant a always blurs; variant b seldom blurs and sometimes solarizes."""
    return Strategy("byol", [_variant(blur=1.0, solarize=0.0), _variant(blur=0.1, solarize=0.2)])
