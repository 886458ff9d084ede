"""Callbacks: what is watched while a method trains; none of them touches the method's weights or optimiser."""

from massrl.callbacks.online_knn import OnlineKNN
from massrl.callbacks.online_linear import OnlineLinear
from massrl.callbacks.throughput import Throughput

__all__ = ["OnlineKNN", "OnlineLinear", "Throughput"]
