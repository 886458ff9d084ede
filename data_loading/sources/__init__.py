"""Sources: data sets that can be written to a .beton file, and a cache of folders as .beton files."""

from data_loading.sources.base import Source
from data_loading.sources.cached import as_beton
from data_loading.sources.merged import merge
from data_loading.sources.names import open
from data_loading.sources.split import split_indices

__all__ = ["Source", "as_beton", "merge", "open", "split_indices"]
