"""The errors that massrl raises where its user can put something right; each is one line that says what and where.

UserError is the base of all. The command line prints the line and exits with 2; Python code can catch it.
"""

from data_loading.errors import (
    BetonError,
    CheckpointError,
    ConfigError,
    DecodeError,
    SourceError,
    UnknownName,
    UserError,
    ViewError,
)

__all__ = [
    "BetonError",
    "CheckpointError",
    "ConfigError",
    "DecodeError",
    "SourceError",
    "UnknownName",
    "UserError",
    "ViewError",
]
