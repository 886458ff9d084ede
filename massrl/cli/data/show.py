"""`massrl data show`: render samples and their views, or ops and strategies on one image, to a PNG or GIF."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data_loading.errors import ConfigError, UserError
from massrl.cli.data.common import CHECK, checked_file, ends_in, parse, refuse, save_grid
from massrl.parsing.parser import Parser

# Options for a figure of one image instead of the grid of samples, and their --help texts.
FIGURES = {
    "boxes": "one image: the boxes of its crops, and its views",
    "replay": "one image: its views rendered twice with the same seed and epoch, then with others",
    "ops": "one image: every op over a range of its parameter",
    "strategies": "one image: every strategy, one row each with several samples",
    "gif": "one image: its views over epochs, as an animated GIF",
}
# Figure -> options that have no effect on it and are refused; "views" is the grid of samples.
UNUSED_OPTIONS = {
    "views": ("index",),
    "boxes": ("n",),
    "replay": ("n", "epoch"),
    "gif": ("epoch",),
    **dict.fromkeys(("ops", "op", "strategies"), ("views", "n", "epoch")),
}


VIEWS = (
    "name of a view set or strategy, several strategies as NAME+NAME, class_path of your own strategy "
    "(module.function), or YAML; not with --ops, --op and --strategies, which show what is registered"
)


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data show",
        description="Render samples and their views, or one image under ops and strategies, to a PNG or GIF.",
    )
    parser.add_argument(
        "file",
        nargs="*",
        help="a .beton file, several as 'train-*.beton', or a folder (cached as .beton in runs/.cache); figures of one "
        "image do not need it: default is a photograph that scikit-learn ships",
    )
    parser.add_argument("--views", type=str | dict | list, default="massrl", help=VIEWS)
    parser.add_argument(
        "--size", type=int | None, default=None, help="side of the global views, pixels; default: the view set's"
    )
    for name, words in FIGURES.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    parser.add_argument(
        "--op", type=str | None, default=None, help="one image: the op of this name, see `massrl list ops`"
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="the file to write, a PNG or with --gif a GIF; default: views.png, ...",
    )
    parser.add_argument(
        "--n", type=int, default=4, help="number of samples, evenly spaced over the file; with --gif number of epochs"
    )
    parser.add_argument("--index", type=int, default=0, help="row of the file, for figures of one image")
    parser.add_argument("--seed", type=int, default=0, help="seed of the views")
    parser.add_argument("--epoch", type=int, default=0, help="epoch of the views, for the grid of samples and --boxes")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    parser = make_parser()
    args = parse(parser, argv)
    what = _chosen(args)
    if what == "views" and args.file is None and not args.check:
        parser.error("missing: FILE")
    where = "without a figure of one image (--boxes, --ops, ...)" if what == "views" else f"with --{what}"
    refuse(parser, UNUSED_OPTIONS[what], f"{where}; see massrl data show --help")
    args.out = args.out or {"views": "views.png", "gif": "views.gif"}.get(what, f"{args.op or what}.png")
    ends_in(".gif" if what == "gif" else ".png", args.out)
    if not args.check:
        print(_show(args) if what == "views" else _figure(args, what))
        return
    with tempfile.TemporaryDirectory() as folder:
        args.file, args.out, args.size = str(checked_file(folder)), f"{folder}/{Path(args.out).name}", 32
        print(f"{_show(args) if what == 'views' else _figure(args, what)}: rendered and removed")


def _chosen(args) -> str:
    """The figure that the options ask for: a key of FIGURES, "op" or "views". ConfigError for more than one."""
    chosen = [name for name in FIGURES if getattr(args, name)] + (["op"] if args.op is not None else [])
    if len(chosen) > 1:
        raise ConfigError(f"--{' and --'.join(chosen)} are different figures; give only one of them")
    return chosen[0] if chosen else "views"


def _figure(args, what: str) -> str:
    """Write the figure `what`, a key of FIGURES or "op", of one image. Returns a line that describes the file."""
    from massrl.report import pictures
    from massrl.report.style import save_png

    image, out = _image(args), Path(args.out)
    if what == "gif":
        pictures.gif(image, out, args.views, args.n, args.seed, size=args.size)
        return f"{out}: views {args.views}, seed {args.seed}, epochs 0 to {args.n - 1}"
    side = {} if args.size is None else {"size": args.size}
    figures = {
        "boxes": lambda: pictures.view_set(image, args.views, args.seed, args.epoch, args.index, args.size),
        "replay": lambda: pictures.replay(image, args.views, args.seed, **side),
        "ops": lambda: pictures.ops(image, seed=args.seed, **side),
        "strategies": lambda: pictures.strategies(image, seed=args.seed, **side),
        "op": lambda: pictures.op(image, args.op, seed=args.seed, **side),
    }
    return f"{save_png(figures[what](), out)}: {args.op or what}, seed {args.seed}"


def _image(args):
    """The image to show, uint8 (H, W, 3): row --index of the file, or without a file the photograph --index."""
    from data_loading import Reader, sources
    from massrl.report.pictures import photographs

    if args.file is None:
        images = photographs()
        if not 0 <= args.index < len(images):
            raise ConfigError(f"index is {args.index}; scikit-learn has photographs 0 to {len(images) - 1}")
        return images[args.index]
    with Reader(sources.as_beton(args.file)) as reader:
        if not 0 <= args.index < len(reader):
            raise ConfigError(f"index is {args.index}; {reader.path} has samples 0 to {len(reader) - 1}")
        return reader.value(reader.image_field, args.index)


def _show(args) -> str:
    """Write the grid of samples and their views. Returns a line that describes the file."""
    import numpy as np

    from data_loading import Loader, Reader, sources

    if args.n < 1:
        raise ConfigError(f"n is {args.n}; it must be at least 1")
    file = sources.as_beton(args.file)
    with Reader(file) as reader:
        args.n = min(args.n, len(reader))
        if not args.n:
            raise UserError(f"{reader.path} has no samples to show")
        rows = np.linspace(0, len(reader) - 1, args.n).round().astype(np.int64)
        images = [reader.value(reader.image_field, int(row)) for row in rows]
    options = {"size": args.size, "seed": args.seed, "order": "sequential", "dtype": "uint8", "num_workers": 1}
    loader = Loader(file, args.n, args.views, indices=rows, **options)
    loader.set_epoch(args.epoch)
    batch = next(iter(loader))
    columns = [("image", images)]
    for view, pixels in zip(loader.view_set.views, batch.views, strict=True):
        columns.append((view.name, pixels.permute(0, 2, 3, 1).numpy()))  # (n, S, S, 3)
    out = save_grid(columns, [f"sample {row}" for row in rows], Path(args.out))
    return f"{out}: {args.n} samples, views {args.views}, seed {args.seed}, epoch {args.epoch}"
