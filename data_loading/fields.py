"""The fields of a .beton file under FFCV's name for this module; see data_loading.beton.fields."""

from data_loading.beton.fields import FIELDS, Field, IntField, RGBImageField, StoredField

__all__ = ["FIELDS", "Field", "IntField", "RGBImageField", "StoredField"]
