"""`massrl data info`: what is in a .beton file."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING

from massrl.cli.data.common import CHECK, checked_file, parse
from massrl.cli.parsing import Parser

if TYPE_CHECKING:
    import numpy as np

    from data_loading.beton.reader import Reader

QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}


def make_parser() -> Parser:
    parser = Parser(prog="massrl data info", description="Say what is in a .beton file or a folder of images.")
    parser.add_argument("file", nargs="?", help="a .beton file, or a folder (which is written once to runs/.cache)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    from data_loading import Reader, sources

    args = parse(make_parser(), argv, "file")
    with tempfile.TemporaryDirectory() as folder:
        file = checked_file(folder) if args.check else sources.as_beton(args.file)
        with Reader(file) as reader:
            facts = describe(reader)
    print(json.dumps(facts, indent=2) if args.json else _text(facts))


def describe(reader: Reader) -> dict:
    """What is in an open file, as JSON values; sizes in pixels and bytes."""
    import numpy as np

    facts = {
        "path": str(reader.path),
        "samples": len(reader),
        "fields": {name: field.kind for name, field in reader.fields.items()},
        "bytes": reader.path.stat().st_size,
        "page_size": reader.page_size,
        "sha256": reader.sha256(),
        "images": {},
        "ints": {},
    }
    for name, kind in facts["fields"].items():
        if kind == "image":
            table = reader.image_table(name)
            modes = {"jpg": 0, "raw": 1, "png": 2}
            facts["images"][name] = {
                "modes": {word: n for word, mode in modes.items() if (n := int((table.mode == mode).sum()))},
                **{what: _quantiles(getattr(table, what)) for what in ("width", "height")},
                "stored_bytes": _quantiles(table.size),
            }
        elif kind == "int":
            values, counts = np.unique(reader.column(name), return_counts=True)
            facts["ints"][name] = {str(v): int(n) for v, n in zip(values, counts, strict=True)}
    return facts


def _quantiles(values: np.ndarray) -> dict[str, int]:
    import numpy as np

    if not len(values):
        return {}
    found = np.quantile(values, list(QUANTILES.values()), method="nearest")
    return {name: int(value) for name, value in zip(QUANTILES, found, strict=True)}


def _text(facts: dict) -> str:
    size = f"{facts['bytes'] / 1e6:.1f} MB, pages of {facts['page_size']} bytes"
    lines = [
        f"{facts['path']}: {facts['samples']} samples, {size}",
        f"fields   {', '.join(f'{name} ({kind})' for name, kind in facts['fields'].items())}",
    ]
    for name, found in facts["images"].items():
        modes = ", ".join(f"{n} {mode}" for mode, n in found["modes"].items())
        lines.append(f"{name:<8} {modes or 'none'}")
        for what in ("width", "height", "stored_bytes"):
            numbers = "  ".join(f"{q} {v}" for q, v in found[what].items())
            lines.append(f"  {what.replace('_', ' '):<14}{numbers}")
    for name, counts in facts["ints"].items():
        few = [f"{value}: {n}" for value, n in list(counts.items())[:12]]
        more = f", ... ({len(counts)} values)" if len(counts) > 12 else ""
        lines.append(f"{name:<8} {', '.join(few)}{more}")
    return "\n".join([*lines, f"sha256   {facts['sha256']}"])
