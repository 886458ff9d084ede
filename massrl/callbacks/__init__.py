"""Callbacks that watch a method while it trains; none changes its weights, its optimiser or its random numbers."""

from massrl.callbacks.health import Health
from massrl.callbacks.on_nan import OnNaN
from massrl.callbacks.online_knn import OnlineKNN
from massrl.callbacks.online_linear import OnlineLinear
from massrl.callbacks.throughput import MACHINE, Throughput

__all__ = ["MACHINE", "Health", "OnNaN", "OnlineKNN", "OnlineLinear", "Throughput"]
