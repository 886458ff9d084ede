"""Registry: classes and functions by name. A name is given once; an unknown name is an error that gives the nearest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from data_loading.errors import ConfigError, UnknownName, near_miss

T = TypeVar("T")


class Registry:
    """Names and what they stand for. `kind` is the word used in errors, as in "no strategy named 'simclt'"."""

    def __init__(self, kind: str):
        self.kind = kind
        self._items: dict[str, Any] = {}

    @overload
    def register(self, item: T, *, name: str | None = None) -> T: ...
    @overload
    def register(self, *, name: str | None = None) -> Callable[[T], T]: ...
    def register(self, item: Any = None, *, name: str | None = None) -> Any:
        """Use as `@registry.register` or `@registry.register(name="...")`.

        name: by default the item's own. ConfigError where another item has the name; an item that is defined again, as
        in a notebook's cell, replaces its former self.
        """
        if item is None:
            return lambda it: self.register(it, name=name)
        key = name or item.__name__
        known = self._items.get(key, item)
        if (known.__module__, known.__qualname__) != (item.__module__, item.__qualname__):
            kinds = f"{self.kind[:-1]}ies" if self.kind.endswith("y") else f"{self.kind}s"
            raise ConfigError(
                f"two {kinds} are named {key!r}: {known.__module__}.{known.__qualname__} and "
                f"{item.__module__}.{item.__qualname__}; give one of them another name"
            )
        self._items[key] = item
        return item

    def __getitem__(self, name: str) -> Any:
        """The item of this name; UnknownName lists the known names and the nearest one."""
        if name not in self._items:
            hint = near_miss(name, self._items)
            raise UnknownName(f"no {self.kind} named {name!r}.{hint} Known: {', '.join(sorted(self._items))}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> list[tuple[str, Any]]:
        """(name, item) pairs, sorted by name."""
        return [(name, self._items[name]) for name in self]

    def summary(self, name: str) -> str:
        """The first line of the docstring of the item of this name."""
        return (inspect.getdoc(self[name]) or "").partition("\n")[0]

    def module(self, name: str) -> str:
        """The module in which the item of this name is defined."""
        return self[name].__module__
