"""`massrl data show`: samples and the views made of them, as a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data_loading.errors import ConfigError, UserError
from massrl.cli.data.common import CHECK, checked_file, parse, save_grid
from massrl.cli.parsing import Parser


def make_parser() -> Parser:
    parser = Parser(prog="massrl data show", description="Draw samples, and the views made of them, into a PNG.")
    parser.add_argument(
        "file", nargs="?", help="a .beton file, several as 'train-*.beton', or a folder (written once to runs/.cache)"
    )
    parser.add_argument("--views", type=str | dict, default="massrl", help="a view set or strategy: its name, or YAML")
    parser.add_argument("--size", type=int | None, default=None, help="side of the global views; the view set's own")
    parser.add_argument("--out", type=str, default="views.png", help="the PNG to write")
    parser.add_argument("--n", type=int, default=4, help="samples, taken evenly from the whole file")
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--epoch", type=int, default=0, help="whose views are drawn")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    args = parse(make_parser(), argv, "file")
    if not args.check:
        print(f"{_show(args)}: {args.n} samples, views {args.views}, seed {args.seed}, epoch {args.epoch}")
        return
    with tempfile.TemporaryDirectory() as folder:
        args.file, args.out, args.size = str(checked_file(folder)), f"{folder}/views.png", 32
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
        images = [reader.value(reader.image_field, int(row)) for row in rows]
    options = {"size": args.size, "seed": args.seed, "order": "sequential", "dtype": "uint8", "num_workers": 1}
    loader = Loader(file, args.n, args.views, indices=rows, **options)
    loader.set_epoch(args.epoch)
    batch = next(iter(loader))
    columns = [("image", images)]
    for view, drawn in zip(loader.view_set.views, batch.views, strict=True):
        columns.append((view.name, drawn.permute(0, 2, 3, 1).numpy()))  # (n, S, S, 3)
    return save_grid(columns, [f"sample {row}" for row in rows], Path(args.out))
