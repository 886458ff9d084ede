"""`massrl bench`: losses beside their equations, and methods on digits."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from data_loading.errors import ConfigError, near_miss
from massrl.cli.parsing import Parser

ACTIONS = {
    "conformance": "how far each loss is from its equation in loops, in one process and over two",
    "methods": "each method trained on digits for about ten seconds: what it learns, and what a step costs",
}


def usage() -> str:
    actions = "\n".join(f"  {name:<13}{line}" for name, line in ACTIONS.items())
    return (
        "usage: massrl bench ACTION [OPTIONS]\n\n"
        f"actions:\n{actions}\n\n"
        "options:\n"
        "  --help       this text; after an action, the help of that action\n"
        "  --check      do each action once, as small as it goes, in a temporary folder\n\n"
        "Our loader and ops beside other libraries': massrl data bench\n"
    )


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    runs = {"conformance": conformance, "methods": methods}
    if argv == ["--check"]:
        return max(run(["--check"]) for run in runs.values())
    if argv[0] not in ACTIONS:
        hint = near_miss(argv[0], ACTIONS)
        raise ConfigError(f"no action {argv[0]!r}.{hint} Actions: {', '.join(ACTIONS)}")
    return runs[argv[0]](argv[1:])


def conformance(argv: list[str]) -> int:
    """0 where every difference is within the tolerance of its case, else 1."""
    parser = Parser(
        prog="massrl bench conformance",
        description="The largest difference between each loss and its equation written out in loops, in value and "
        "gradient, and between two processes and one. Exit code 1 where one leaves its tolerance.",
    )
    add = parser.add_argument
    add("--out", type=str | None, default=None, help="write the table to this Markdown page, as docs/conformance.md")
    add("--json", type=str | None, default=None, help="write the figures to this file")
    add("--seeds", type=int, default=5, help="draws of the inputs, of each size")
    add("--check", action="store_true", help="one draw of one size; writes nothing")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        raise ConfigError(f"--seeds is {args.seeds}; at least 1 draw is needed")

    from data_loading.whole import write_whole
    from massrl.bench import conformance as bench
    from massrl.bench import table

    sizes, seeds = (bench.SIZES[:1], 1) if args.check else (bench.SIZES, args.seeds)
    _may_write(args.out, args.json)
    rows = bench.measure(sizes, seeds)
    print(table.conformance(rows))
    outside = [row.name for row in rows if not row.within]
    if not args.check:
        if args.out:
            print(f"page: {write_whole(args.out, bench.page(rows, sizes, seeds))}")
        if args.json:
            text = json.dumps(bench.as_json(rows), indent=2) + "\n"
            print(f"figures: {write_whole(args.json, text)}")
    print(f"outside their tolerance: {', '.join(outside)}" if outside else f"{len(rows)} cases, all within tolerance")
    if args.check:
        print("check passed: nothing was kept" if not outside else "check failed")
    return 1 if outside else 0


def methods(argv: list[str]) -> int:
    raise NotImplementedError


def _may_write(*paths: str | None) -> None:
    """Refuse a file that cannot be written before the minutes that it takes to fill it."""
    for path in filter(None, paths):
        place = Path(path).absolute()
        if place.is_dir():
            raise ConfigError(f"{path} is a folder; name a file")
        folder = next(parent for parent in place.parents if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {folder}: {error.strerror}") from None
