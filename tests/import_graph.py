"""The imports of the two packages, read from their source: rooms, floors, arrows and circles.

A room is a file or a folder that lies directly in a package; an arrow is an import between two rooms, inside functions
too, but not under TYPE_CHECKING, which never runs; a floor is a step of the longest way down.

Run as a command it prints both packages of a checkout:  python tests/import_graph.py [CHECKOUT]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("massrl", "data_loading")


def files(root: Path = ROOT) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def module(path: Path, root: Path = ROOT) -> str:
    """massrl/cli/main.py -> "massrl.cli.main"; massrl/cli/__init__.py -> "massrl.cli"."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """The room of a module: "massrl.cli.main" -> "massrl.cli"; a package's own __init__ is a room, too."""
    return ".".join(name.split(".")[:2])


def imports(path: Path, root: Path = ROOT) -> list[tuple[int, str]]:
    """(line, module) of every import of ours that may run: the file itself where a name is imported from one."""
    here = path.relative_to(root).parent.parts
    found = []
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            up = here[: len(here) - node.level + 1] if node.level else ()
            base = ".".join([*up, *filter(None, [node.module])])
            names = [_target(base, alias.name, root) for alias in node.names]
        found += [(node.lineno, name) for name in dict.fromkeys(names) if name.split(".")[0] in PACKAGES]
    return found


def _statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from _statements(other)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from _statements(node)


def _target(base: str, name: str, root: Path) -> str:
    """The module behind `from base import name`."""
    path = root.joinpath(*base.split("."), name)
    if path.is_dir() or path.with_suffix(".py").exists():
        return f"{base}.{name}"
    if base in PACKAGES and (home := _homes(root / base / "__init__.py").get(name)):
        return f"{base}.{home}"
    return base


@cache
def _homes(init: Path) -> dict[str, str]:
    """The table _HOME of a package whose names are loaded when they are first used."""
    for node in ast.parse(init.read_text()).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "_HOME" for target in node.targets):
            return ast.literal_eval(node.value)
    return {}


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """module -> the modules that it imports."""
    return {module(path, root): {name for _, name in imports(path, root)} for path in files(root)}


def of_rooms(modules: dict[str, set[str]], package: str) -> dict[str, set[str]]:
    """room -> the other rooms of its package that it imports."""
    rooms: dict[str, set[str]] = {}
    for name, below in modules.items():
        if name.startswith(f"{package}."):
            here = rooms.setdefault(room(name), set())
            here |= {room(other) for other in below if other.startswith(f"{package}.")} - {room(name)}
    return rooms


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each can be reached from each other one (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for below in arrows.get(name, ()):
            if below not in arrows:
                continue
            if below not in number:
                visit(below)
                low[name] = min(low[name], low[below])
            elif below in stack:
                low[name] = min(low[name], number[below])
        if low[name] == number[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in arrows:
        if name not in number:
            visit(name)
    return found


def floors(arrows: dict[str, set[str]]) -> int:
    """Rooms on the longest way down; arrows must have no circle."""

    @cache
    def height(name: str) -> int:
        return 1 + max((height(below) for below in arrows[name] if below in arrows), default=0)

    return max(map(height, arrows))


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT).resolve()
    modules = graph(root)
    for package in PACKAGES:
        rooms = of_rooms(modules, package)
        among = circles(rooms)
        inside = circles({name: below for name, below in modules.items() if name.startswith(f"{package}.")})
        height = "no" if among else floors(rooms)
        arrows = sum(map(len, rooms.values()))
        print(f"{package}: {len(rooms)} rooms, {height} floors, {arrows} arrows,", end=" ")
        print(f"{len(among)} circles of rooms, {len(inside)} circles of files")
        for group in [*among, *inside]:
            print(f"    circle: {', '.join(group)}")


if __name__ == "__main__":
    main()
