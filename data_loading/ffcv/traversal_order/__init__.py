"""FFCV's orders: here they are the options of a loader."""

from data_loading.ffcv.loader import OrderOption

__all__ = ["QuasiRandom", "Random", "Sequential"]

Random, Sequential, QuasiRandom = OrderOption.RANDOM, OrderOption.SEQUENTIAL, OrderOption.QUASI_RANDOM
