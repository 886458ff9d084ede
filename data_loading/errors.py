"""Errors that a user can mend: one sentence each that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The command line prints its sentence and exits with code 2; no traceback."""


class BetonError(UserError):
    """A .beton file that is cut short, damaged, of another version, or used wrongly."""


class SourceError(UserError):
    """A folder or data set that cannot be read or written as .beton."""


class DecodeError(UserError):
    """An image whose bytes do not decode."""


class ViewError(UserError):
    """A view set, strategy or op that cannot be built as asked."""


class ConfigError(UserError):
    """A setting that does not exist, does not fit, or contradicts another."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another method."""


class UnknownName(UserError, LookupError):
    """A name that no registry holds; the sentence names the nearest one."""


def near_miss(name: object, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" of the known name that is nearest, or "" where none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
