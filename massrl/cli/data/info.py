"""`massrl data info`: summarise .beton files: fields, sizes, classes, hash."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING

from massrl.cli.data.common import CHECK, checked_file, parse
from massrl.parsing.parser import Parser

if TYPE_CHECKING:
    import numpy as np

    from data_loading.beton.reader import Reader

MOST = 20  # most frequent values listed per int field; an id field has as many values as samples
QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data info",
        description="Print the fields, sizes, classes and hash of .beton files or of a folder of images.",
    )
    parser.add_argument(
        "file",
        nargs="*",
        help="a .beton file, several as 'train-*.beton', or a folder (cached as .beton in runs/.cache)",
    )
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
    """Summary of an open file as JSON values. Image sides are in pixels, stored sizes in bytes."""
    facts = {
        "path": str(reader.path),
        "samples": len(reader),
        "fields": {name: field.kind for name, field in reader.fields.items()},
        "bytes": sum(part.size for part in reader.parts),
        "page_size": reader.page_size,
        "sha256": reader.sha256(),
        "images": {},
        "ints": {},
        "floats": {},
        "arrays": {},
        "stored_bytes": {},
    }
    for name, kind in facts["fields"].items():
        if kind == "image":
            table = reader.image_table(name)
            modes = {"jpg": 0, "raw": 1, "png": 2}
            facts["images"][name] = {
                "modes": {mode_name: n for mode_name, mode in modes.items() if (n := int((table.mode == mode).sum()))},
                **{what: _quantiles(getattr(table, what)) for what in ("width", "height")},
                "stored_bytes": _quantiles(table.size),
            }
        elif kind == "int":
            facts["ints"][name] = _frequencies(reader.column(name))
        elif kind == "float":
            facts["floats"][name] = _numbers(reader.column(name))
        elif kind in ("ndarray", "tensor"):
            field = reader.fields[name]
            facts["arrays"][name] = {"dtype": field.dtype.str, "shape": list(field.shape)}
        elif kind in ("bytes", "json"):
            facts["stored_bytes"][name] = _quantiles(reader.stored_sizes(name))
    return facts


def _quantiles(values: np.ndarray) -> dict[str, int]:
    """Minimum, 10th, 50th and 90th percentile (nearest value) and maximum; {} for no values."""
    import numpy as np

    if not len(values):
        return {}
    quantiles = np.quantile(values, list(QUANTILES.values()), method="nearest")
    return {name: int(value) for name, value in zip(QUANTILES, quantiles, strict=True)}


def _frequencies(values: np.ndarray) -> dict:
    """Number of distinct integers, minimum, maximum, and the counts of the most frequent values."""
    import numpy as np

    different, counts = np.unique(values, return_counts=True)
    ends = {"min": int(different[0]), "max": int(different[-1])} if len(different) else {}
    most = np.argsort(-counts, kind="stable")[:MOST]
    return {"distinct": len(different), **ends, "most_frequent": {str(different[i]): int(counts[i]) for i in most}}


def _numbers(values: np.ndarray) -> dict[str, float]:
    """Minimum, mean and maximum of the finite numbers, and the number of NaNs and infinities."""
    import numpy as np

    finite = values[np.isfinite(values)]
    facts = {"min": finite.min(), "mean": finite.mean(), "max": finite.max()} if len(finite) else {}
    return {**{name: float(number) for name, number in facts.items()}, "not_finite": len(values) - len(finite)}


def _text(facts: dict) -> str:
    """The summary of `describe` as lines of text."""
    size = f"{facts['bytes'] / 1e6:.1f} MB, pages of {facts['page_size']} bytes"
    lines = [
        f"{facts['path']}: {facts['samples']} samples, {size}",
        f"fields   {', '.join(f'{name} ({kind})' for name, kind in facts['fields'].items())}",
    ]
    for name, image in facts["images"].items():
        modes = ", ".join(f"{n} {mode}" for mode, n in image["modes"].items())
        lines.append(f"{name:<8} {modes or 'none'}")
        for what in ("width", "height", "stored_bytes"):
            numbers = "  ".join(f"{q} {v}" for q, v in image[what].items())
            lines.append(f"  {what.replace('_', ' '):<14}{numbers}")
    for name, ints in facts["ints"].items():
        listed = sorted(ints["most_frequent"].items(), key=lambda pair: int(pair[0]))
        more = ""
        if ints["distinct"] > len(listed):
            more = f", ... ({ints['distinct']} values from {ints['min']} to {ints['max']})"
        lines.append(f"{name:<8} {', '.join(f'{value}: {n}' for value, n in listed)}{more}")
    for name, floats in facts["floats"].items():
        lines.append(f"{name:<8} {'  '.join(f'{key} {number:.6g}' for key, number in floats.items())}")
    for name, array in facts["arrays"].items():
        lines.append(f"{name:<8} {array['dtype']} {tuple(array['shape'])}")
    for name, sizes in facts["stored_bytes"].items():
        lines.append(f"{name:<8} stored bytes  {'  '.join(f'{q} {v}' for q, v in sizes.items())}")
    return "\n".join([*lines, f"sha256   {facts['sha256']}"])
