"""Sources: what can be written as a .beton file, and the cache that keeps folders as such files."""

from data_loading.sources.base import Source
from data_loading.sources.cached import as_beton
from data_loading.sources.names import open
from data_loading.sources.split import split_indices

__all__ = ["Source", "as_beton", "open", "split_indices"]
