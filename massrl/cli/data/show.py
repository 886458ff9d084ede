"""`massrl data show`: samples and the views made of them, ops and strategies, as a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data_loading.errors import ConfigError, UserError
from massrl.cli.data.common import CHECK, checked_file, ends_in, parse, refuse, save_grid
from massrl.parsing.parser import Parser

# What can be drawn of one image in place of the grid of samples; the words of --help.
FIGURES = {
    "boxes": "of one image: the boxes of its crops, and its views",
    "replay": "of one image: its views drawn twice from one seed and epoch, then from others",
    "ops": "of one image: every op over a range of its parameter",
    "strategies": "of one image: every strategy, a row each, over samples",
    "gif": "of one image: its views over epochs, an animated GIF",
}
# Which options a picture does not take; "views" is the grid of samples.
STRANGERS = {
    "views": ("index",),
    "boxes": ("n",),
    "replay": ("n", "epoch"),
    "gif": ("epoch",),
    **dict.fromkeys(("ops", "op", "strategies"), ("views", "n", "epoch")),
}


VIEWS = (
    "a view set or strategy by its name, several strategies as NAME+NAME, your own strategy by its class_path "
    "(module.function), or YAML; not with --ops, --op and --strategies, which draw registered ones"
)


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data show",
        description="Draw samples, and the views made of them, into a PNG; or one image under ops and strategies.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        help="a .beton file, several as 'train-*.beton', or a folder (written once to runs/.cache); without it one of "
        "the photographs that scikit-learn ships, where one image is drawn",
    )
    parser.add_argument("--views", type=str | dict | list, default="massrl", help=VIEWS)
    parser.add_argument("--size", type=int | None, default=None, help="side of the global views; the view set's own")
    for name, words in FIGURES.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    parser.add_argument("--op", type=str | None, default=None, help="of one image: this op of `massrl list ops`")
    parser.add_argument(
        "--out", type=str | None, default=None, help="the PNG to write, with --gif the GIF; views.png, ..."
    )
    parser.add_argument(
        "--n", type=int, default=4, help="samples, taken evenly from the whole file; with --gif epochs; with no other"
    )
    parser.add_argument("--index", type=int, default=0, help="row of the file, where one image is drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--epoch", type=int, default=0, help="whose views are drawn, of samples and with --boxes")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    parser = make_parser()
    args = parse(parser, argv)
    what = _chosen(args)
    if what == "views" and args.file is None and not args.check:
        parser.error("missing: FILE")
    where = "without a picture of one image (--boxes, --ops, ...)" if what == "views" else f"with --{what}"
    refuse(parser, STRANGERS[what], f"{where}; see massrl data show --help")
    args.out = args.out or {"views": "views.png", "gif": "views.gif"}.get(what, f"{args.op or what}.png")
    ends_in(".gif" if what == "gif" else ".png", args.out)
    if not args.check:
        print(_show(args) if what == "views" else _figure(args, what))
        return
    with tempfile.TemporaryDirectory() as folder:
        args.file, args.out, args.size = str(checked_file(folder)), f"{folder}/{Path(args.out).name}", 32
        print(f"{_show(args) if what == 'views' else _figure(args, what)}: drawn and removed again")


def _chosen(args) -> str:
    chosen = [name for name in FIGURES if getattr(args, name)] + (["op"] if args.op is not None else [])
    if len(chosen) > 1:
        raise ConfigError(f"--{' and --'.join(chosen)} are different pictures; ask for one at a time")
    return chosen[0] if chosen else "views"


def _figure(args, what: str) -> str:
    """Draw one image as `what` asks; returns a line that says what was drawn."""
    from massrl.report import pictures
    from massrl.report.style import save_png

    image, out = _image(args), Path(args.out)
    if what == "gif":
        pictures.gif(image, out, args.views, args.n, args.seed, size=args.size)
        return f"{out}: views {args.views}, seed {args.seed}, epochs 0 to {args.n - 1}"
    side = {} if args.size is None else {"size": args.size}
    draw = {
        "boxes": lambda: pictures.view_set(image, args.views, args.seed, args.epoch, args.index, args.size),
        "replay": lambda: pictures.replay(image, args.views, args.seed, **side),
        "ops": lambda: pictures.ops(image, seed=args.seed, **side),
        "strategies": lambda: pictures.strategies(image, seed=args.seed, **side),
        "op": lambda: pictures.op(image, args.op, seed=args.seed, **side),
    }
    return f"{save_png(draw[what](), out)}: {args.op or what}, seed {args.seed}"


def _image(args):
    """Row --index of the file as uint8 (H, W, 3); without a file, the photograph of that number."""
    from data_loading import Reader, sources
    from massrl.report.pictures import photographs

    if args.file is None:
        images = photographs()
        if not 0 <= args.index < len(images):
            raise ConfigError(f"index is {args.index}; scikit-learn ships the photographs 0 to {len(images) - 1}")
        return images[args.index]
    with Reader(sources.as_beton(args.file)) as reader:
        if not 0 <= args.index < len(reader):
            raise ConfigError(f"index is {args.index}; {reader.path} has the samples 0 to {len(reader) - 1}")
        return reader.value(reader.image_field, args.index)


def _show(args) -> str:
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
    out = save_grid(columns, [f"sample {row}" for row in rows], Path(args.out))
    return f"{out}: {args.n} samples, views {args.views}, seed {args.seed}, epoch {args.epoch}"
