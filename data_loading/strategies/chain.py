"""SimCLR's sequence of ops, which most recipes vary: flip, colour jitter, grayscale, blur, solarize."""

from __future__ import annotations

from collections.abc import Sequence

from data_loading.config.described import plain
from data_loading.errors import ViewError
from data_loading.ops import OPS, ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, Op, Solarize


def chain(jitter: Sequence[float] = (0.4, 0.4, 0.2, 0.1), blur: float = 0.0, solarize: float = 0.0) -> list[Op]:
    """Flip (p = 0.5), jitter (p = 0.8), grayscale (p = 0.2), blur (sigma 0.1 to 2 pixels), solarize (threshold 128).

    jitter: strengths of brightness, contrast, saturation and hue.  blur, solarize: probabilities; 0 omits the op.
    ViewError if `jitter` is not four numbers.
    """
    strengths = plain(jitter, OPS)
    if not isinstance(strengths, list) or len(strengths) != 4:
        raise ViewError(f"jitter is {strengths!r}; it must be four numbers: brightness, contrast, saturation, hue")
    brightness, contrast, saturation, hue = strengths
    ops: list[Op] = [HorizontalFlip(), ColorJitter(brightness, contrast, saturation, hue, p=0.8), Grayscale(0.2)]
    ops += [GaussianBlur((0.1, 2.0), p=blur)] if blur != 0 else []
    return ops + ([Solarize(128, p=solarize)] if solarize != 0 else [])


def byol_pair() -> list[list[Op]]:
    """BYOL's two variants, used by many later recipes: a always blurs; b blurs (p = 0.1) and solarizes (p = 0.2)."""
    return [chain(blur=1.0), chain(blur=0.1, solarize=0.2)]
