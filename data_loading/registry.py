"""Registry: a name is given once, by the class or function itself; a wrong name is answered with the nearest one."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from data_loading.errors import UnknownName


class Registry:
    """Names and what they stand for. `kind` is the word used in errors, as in "no strategy named 'simclt'"."""

    def __init__(self, kind: str):
        self.kind = kind
        self._items: dict[str, Any] = {}

    def register(self, item: Any = None, *, name: str | None = None):
        """Use as `@registry.register` or `@registry.register(name="...")`; a name given twice is an error."""
        if item is None:
            return lambda it: self.register(it, name=name)
        key = name or item.__name__
        if key in self._items:
            raise ValueError(f"two {self.kind}s are named {key!r}: {self.module(key)} and {item.__module__}")
        self._items[key] = item
        return item

    def __getitem__(self, name: str) -> Any:
        if name not in self._items:
            near = difflib.get_close_matches(name, self._items, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownName(f"no {self.kind} named {name!r}.{hint} Known: {', '.join(sorted(self._items))}")
        return self._items[name]

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self):
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def items(self):
        return [(name, self._items[name]) for name in self]

    def summary(self, name: str) -> str:
        """The first line of the item's own docstring."""
        return (inspect.getdoc(self[name]) or "").partition("\n")[0]

    def module(self, name: str) -> str:
        return self[name].__module__
