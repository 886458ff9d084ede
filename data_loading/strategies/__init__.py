"""Strategies: published augmentation recipes, by name. Each has a crop rule and one or more variants (lists of ops)."""

from data_loading.strategies import (  # noqa: F401  (importing registers them)
    autoaugment,
    barlow,
    byol,
    digits,
    dino,
    eval,
    fastautoaugment,
    mae,
    massrl,
    moco,
    randaugment,
    simclr,
    supervised,
    swav,
    three_augment,
    trivialaugment,
    vicreg,
)
from data_loading.strategies.strategy import STRATEGIES, Strategy, strategy

__all__ = ["STRATEGIES", "Strategy", "strategy"]
