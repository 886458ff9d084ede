"""`massrl data write|info|show`: write .beton files, say what is in them, and look at the views drawn from them."""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from data_loading.errors import ConfigError, UserError
from massrl.cli.parsing import Parser

if TYPE_CHECKING:
    import numpy as np

    from data_loading.beton.reader import Reader

QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
WORTH_WORKERS = 2000  # images; starting processes takes longer than writing fewer
CHECK = "do it once on 16 drawn images in a temporary folder"

USAGE = """usage: massrl data ACTION [OPTIONS]

actions:
  write SOURCE OUT   write a folder of images, or digits, into a .beton file
  info FILE          what is in a .beton file or folder: fields, sizes, classes, hash
  show FILE          draw samples and their views into a PNG

options:
  --help             this text; after an action, the help of that action
  --check            do each action once on 16 drawn images in a temporary folder
"""


def main(argv: list[str]) -> int:
    actions = {"write": write, "info": info, "show": show}
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if argv == ["--check"]:
        for action in actions.values():
            action(["--check"])
        return 0
    if argv[0] not in actions:
        near = difflib.get_close_matches(argv[0], actions, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no action {argv[0]!r}.{hint} Actions: {', '.join(actions)}")
    actions[argv[0]](argv[1:])
    return 0


# massrl data write


def write_parser() -> Parser:
    parser = Parser(
        prog="massrl data write",
        description="Write images into a .beton file. JPEG files are stored as they are, all else as raw pixels, "
        "unless --write_mode says otherwise.",
    )
    parser.add_argument("source", nargs="?", help="a folder of class folders, a folder of images, or digits")
    parser.add_argument("out", nargs="?", help="the file to write, FILE.beton; an existing one is replaced when done")
    parser.add_argument("--split", type=str | None, default=None, help="of digits: train or test; all without it")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that do not decode, and count them")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that read and encode; 0: as many as help")
    parser.add_argument("--write_mode", type=str | None, default=None, help="raw: pixels; jpg: JPEG")
    parser.add_argument(
        "--max_resolution", type=int | None, default=None, help="shrink the longer side to this, pixels"
    )
    parser.add_argument("--jpeg_quality", type=int, default=90, help="1 to 100, of JPEGs that are encoded here")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def write(argv: list[str]) -> None:
    args = _parse(write_parser(), argv, "source", "out")
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.source, args.split, args.out = str(_drawn(folder)), None, f"{folder}/check.beton"
        _write(args)


def _write(args) -> None:
    from data_loading import DatasetWriter, sources

    out = Path(args.out)
    if out.suffix != ".beton":
        raise ConfigError(f"{out}: the file to write ends in .beton, by which it is known from a folder")
    started = time.monotonic()
    source = sources.open(args.source, args.split)
    fields = source.fields(args.write_mode, args.max_resolution, args.jpeg_quality)
    workers = args.num_workers or (os.cpu_count() or 1 if len(source) >= WORTH_WORKERS else 1)
    writer = DatasetWriter(out, fields, num_workers=workers)
    writer.from_indexed_dataset(source, skip_bad=args.skip_bad)
    for sentence in writer.skipped:
        print(f"left out: {sentence}")
    kinds = f" of {len(source.classes)} classes" if source.classes else ", no labels"
    left_out = f", {len(writer.skipped)} left out" if writer.skipped else ""
    size, seconds = out.stat().st_size / 1e6, time.monotonic() - started
    print(f"{out}: {len(writer.rows)} images{kinds}{left_out}; {size:.1f} MB in {seconds:.1f} s")


# massrl data info


def info_parser() -> Parser:
    parser = Parser(prog="massrl data info", description="Say what is in a .beton file or a folder of images.")
    parser.add_argument("file", nargs="?", help="a .beton file, or a folder (which is written once to runs/.cache)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def info(argv: list[str]) -> None:
    from data_loading import Reader, sources

    args = _parse(info_parser(), argv, "file")
    with tempfile.TemporaryDirectory() as folder:
        file = _checked_file(folder) if args.check else sources.as_beton(args.file)
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


# massrl data show


def show_parser() -> Parser:
    parser = Parser(prog="massrl data show", description="Draw samples, and the views made of them, into a PNG.")
    parser.add_argument("file", nargs="?", help="a .beton file, or a folder (which is written once to runs/.cache)")
    parser.add_argument("--views", type=str, default="massrl", help="a view set or strategy of `massrl list views`")
    parser.add_argument("--size", type=int | None, default=None, help="side of the global views; the view set's own")
    parser.add_argument("--out", type=str, default="views.png", help="the PNG to write")
    parser.add_argument("--n", type=int, default=4, help="samples, taken evenly from the whole file")
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--epoch", type=int, default=0, help="whose views are drawn")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def show(argv: list[str]) -> None:
    args = _parse(show_parser(), argv, "file")
    if not args.check:
        print(f"{_show(args)}: {args.n} samples, views {args.views}, seed {args.seed}, epoch {args.epoch}")
        return
    with tempfile.TemporaryDirectory() as folder:
        args.file, args.out, args.size = str(_checked_file(folder)), f"{folder}/views.png", 32
        print(f"{_show(args)}: drawn and removed again")


def _show(args) -> Path:
    import numpy as np

    from data_loading import Loader, Reader, sources

    if args.n < 1:
        raise ConfigError(f"n is {args.n}; at least one sample is drawn")
    file = sources.as_beton(args.file)
    with Reader(file) as reader:
        args.n = min(args.n, len(reader))
        if not args.n:
            raise UserError(f"{file} holds no samples; there is nothing to draw")
        rows = np.linspace(0, len(reader) - 1, args.n).round().astype(np.int64)
        images = [reader.value("image", int(row)) for row in rows]
    options = {"size": args.size, "seed": args.seed, "order": "sequential", "dtype": "uint8", "num_workers": 1}
    loader = Loader(file, args.n, args.views, indices=rows, **options)
    loader.set_epoch(args.epoch)
    batch = next(iter(loader))
    columns = [("image", images)]
    for view, drawn in zip(loader.view_set.views, batch.views, strict=True):
        columns.append((view.name, drawn.permute(0, 2, 3, 1).numpy()))  # (n, S, S, 3)
    return _grid(columns, [f"sample {row}" for row in rows], Path(args.out))


def _grid(columns: list, names: list[str], out: Path) -> Path:
    """Draw columns of (title, images) into a PNG, one row per name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * len(columns) + 0.4, 1.7 * len(names) + 0.3), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(names), len(columns), squeeze=False)
    for c, (title, images) in enumerate(columns):
        grid[0, c].set_title(title, fontsize=8)
        for r, image in enumerate(images):
            grid[r, c].imshow(image)
            grid[r, c].set(xticks=[], yticks=[])
    for r, name in enumerate(names):
        grid[r, 0].set_ylabel(name, fontsize=8)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        with open(beside, "wb") as file:
            canvas.print_png(file)
        beside.replace(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    return out


# What the actions share.


def _parse(parser: Parser, argv: list[str], *needed: str):
    args = parser.parse_args(argv)
    missing = [name for name in needed if getattr(args, name) is None]
    if missing and not args.check:
        parser.error(f"missing: {' '.join(name.upper() for name in missing)}")
    return args


def _drawn(folder: str) -> Path:
    from massrl.cli.check import sample_folder

    print("check: 16 drawn images in a temporary folder stand for your data")
    return sample_folder(Path(folder))


def _checked_file(folder: str) -> Path:
    from data_loading import sources

    return sources.as_beton(_drawn(folder), cache=Path(folder) / "cache", progress=False)
