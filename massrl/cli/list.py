"""`massrl list KIND`: the names that can be used, each with a line about it, from the registries themselves."""

from __future__ import annotations

import json
from typing import Any

from massrl.parsing.parser import Parser


def methods() -> list[dict[str, Any]]:
    from massrl.methods import METHODS

    return _entries(METHODS)


def strategies() -> list[dict[str, Any]]:
    from data_loading.strategies import STRATEGIES

    return _entries(STRATEGIES)


def ops() -> list[dict[str, Any]]:
    from data_loading.ops import OPS

    return _entries(OPS)


def views() -> list[dict[str, Any]]:
    from data_loading.views.view_sets import VIEW_SETS

    return _entries(VIEW_SETS)


def backbones() -> list[dict[str, Any]]:
    from massrl.backbones import BACKBONES, names

    def module(name: str) -> str:
        return BACKBONES.module(name) if name in BACKBONES else "timm" if name.startswith("timm:") else "torchvision"

    return [{"name": name, "summary": line, "module": module(name)} for name, line in names().items()]


def protocols() -> list[dict[str, Any]]:
    """With version, source, parameters, and how those that are chosen are chosen."""
    import massrl.dense.recipes  # noqa: F401  # registers its protocols
    from massrl.evaluation.protocol import SELECTIONS, protocols

    found = protocols()
    entries = []
    for entry in _entries(found):
        kind = found[entry["name"]]
        summary = entry["summary"] + (f" ({SELECTIONS['test']})" if kind.selection == "test" else "")
        facts = {"version": str(kind.version), "source": kind.source, "selection": SELECTIONS[kind.selection]}
        facts |= {"parameters": kind().parameters()}
        entries.append({**entry, "summary": summary, **facts})
    return entries


def recipes() -> list[dict[str, Any]]:
    """As for `massrl pretrain --config NAME`; the module is the one that finds the file."""
    from massrl.recipes import names, summary

    return [{"name": name, "summary": summary(name), "module": "massrl.recipes"} for name in names()]


def zoo() -> list[dict[str, Any]]:
    """Checkpoints that come with the package, as zoo:NAME wherever one is asked for."""
    from massrl import zoo

    entries = []
    for card in map(zoo.card, zoo.names()):
        figures = ", ".join(
            f"{title} {100 * of['accuracy']['mean']:.1f} %{' (optimistic)' * of['optimistic']}"
            for title, of in card["figures"].items()
        )
        summary = f"{card['method']}, {card['backbone']}, {card['data']}, {card['epochs']} epochs: {figures}"
        entries.append({"name": f"{zoo.PREFIX}{card['name']}", "summary": summary, "module": "massrl.zoo"})
    return entries


KINDS = {kind.__name__: kind for kind in (methods, strategies, ops, views, backbones, protocols, recipes, zoo)}


def _entries(registry) -> list[dict[str, Any]]:
    return [{"name": n, "summary": registry.summary(n), "module": registry.module(n)} for n in registry]


def parser() -> Parser:
    parser = Parser(prog="massrl list", description="Names of what can be used, each with a line about it.")
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--json", action="store_true", help="as a list of {name, summary, module}")
    parser.add_argument("--check", action="store_true", help="list everything once")
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.kind is None and not args.check:
        from data_loading.errors import ConfigError

        raise ConfigError(f"say what to list: one of {', '.join(KINDS)}")
    chosen = [args.kind] if args.kind else list(KINDS)
    for kind in chosen:
        entries = KINDS[kind]()
        if args.json:
            print(json.dumps(entries, indent=2))
            continue
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            print(f"{entry['name']:<{width}}  {entry['summary']}")
    return 0
