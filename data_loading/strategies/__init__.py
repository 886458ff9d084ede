"""Strategies: published augmentation recipes by name; each is a crop and one or more variants (lists of ops)."""

from data_loading.strategies import byol, digits, eval, simclr, supervised  # noqa: F401  (importing registers them)
from data_loading.strategies.base import STRATEGIES, Strategy, strategy

__all__ = ["STRATEGIES", "Strategy", "strategy"]
