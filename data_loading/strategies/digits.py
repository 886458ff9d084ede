"""Strategies for handwritten digits, 8 x 8 pixels, bright on black. No flips: a mirrored 2 is not a 2."""

from data_loading.ops import Affine, Elastic, Erasing, Gamma, GaussianBlur, GaussianNoise, RandomResizedCrop, Thickness
from data_loading.strategies.strategy import STRATEGIES, Strategy

WHOLE = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))  # no crop: Affine does the geometry


def _shift() -> Affine:
    return Affine(degrees=5, translate=0.04, scale=(0.95, 1.05))


def _bend() -> list:
    return [Affine(degrees=15, translate=0.075, scale=(0.8, 1.25), shear=0.25, aspect=0.15), Elastic(0.07)]


def _intensity() -> list:
    return [Gamma(gamma=(0.6, 1.65), gain=(0.6, 1.35), p=0.8), GaussianBlur((0.3, 0.8), p=0.5)]


def _erase(p: float, noise: float) -> list:
    return [Erasing(scale=(0.04, 0.25), ratio=(0.5, 2.0), p=p), GaussianNoise((0.0, noise))]


@STRATEGIES.register
def digits_affine() -> Strategy:
    """Digits: rotate, shear, scale, shift, bend, and change the thickness of strokes."""
    return Strategy("digits_affine", [[*_bend(), Thickness(0.6)]], crop=WHOLE, size=8)


@STRATEGIES.register
def digits_erase() -> Strategy:
    """Digits: erase a rectangle and add noise, after a small shift."""
    return Strategy("digits_erase", [[_shift(), *_erase(0.7, 38.0)]], crop=WHOLE, size=8)


@STRATEGIES.register
def digits_intensity() -> Strategy:
    """Digits: change gamma and gain, and blur, after a small shift."""
    return Strategy("digits_intensity", [[_shift(), *_intensity()]], crop=WHOLE, size=8)


@STRATEGIES.register
def digits_all() -> Strategy:
    """Digits: all ops of digits_affine, digits_intensity and digits_erase in one strategy."""
    return Strategy("digits_all", [[*_bend(), Thickness(0.6), *_intensity(), *_erase(0.5, 25.0)]], crop=WHOLE, size=8)
