"""The loader."""

from data_loading.ffcv.loader.loader import Loader, OrderOption

__all__ = ["Loader", "OrderOption"]
