"""Errors that a user can fix. Each message is one line: what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Base class. The command line prints the message without a traceback and exits with code 2."""


class BetonError(UserError):
    """A .beton file that is truncated, damaged, of an unsupported version, or used wrongly."""


class SourceError(UserError):
    """A folder, archive or data set that cannot be read or written to a .beton file."""


class DecodeError(UserError):
    """An image that cannot be decoded."""


class ViewError(UserError):
    """A view set, strategy or op with invalid arguments."""


class ConfigError(UserError):
    """An option that does not exist, has an invalid value, or contradicts another option."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another method than expected."""


class UnknownName(UserError, LookupError):
    """A name that is not in a registry; the message suggests the most similar name."""


def near_miss(name: object, known: Iterable[str]) -> str:
    """A hint for error messages: " Did you mean 'x'?" with the most similar known name, or "" if none is similar."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_of(what: str, value: object, known: Iterable[str], error: type[UserError]) -> str:
    """Return `value` if it is in `known`; else raise `error`, which lists them. what: the option's name in it."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        hint = near_miss(value, known)
        raise error(f"{what} is {value!r}{f'.{hint} Choose' if hint else '; choose'} one of {', '.join(known)}")
    return value


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would obey, as an escape character in a file's name, written out."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
