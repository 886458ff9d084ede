"""Field, the base class of all fields."""

from data_loading.ffcv.fields import Field

__all__ = ["Field"]
