"""Errors that a user can fix. Each message is one line: what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable
from unicodedata import category


def printable(text: str) -> str:
    r"""Text that is safe to show: control characters as \x1b, bytes of names that are no UTF-8 as \xff.

    Names of files may hold any bytes, among them sequences that a terminal obeys. Line breaks and tabs stay.
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable() or character in "\n\t" or category(character) == "Zs":  # Zs: spaces of other widths
        return character
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class UserError(Exception):
    """Base class. The command line prints the message without a traceback and exits with code 2."""

    def __str__(self) -> str:
        return printable(super().__str__())


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


def one_line(text: str) -> str:
    """`printable` text on one line, as an error is shown."""
    return printable(" ".join(text.split()))
