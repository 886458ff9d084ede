"""What the actions of `massrl data` share."""

from __future__ import annotations

import io
from pathlib import Path

from data_loading.whole import write_whole
from massrl.cli.parsing import Parser

CHECK = "do it once on 16 drawn images in a temporary folder"


def parse(parser: Parser, argv: list[str], *needed: str):
    """Parse; the `needed` positional words may be missing under --check only."""
    args = parser.parse_args(argv)
    missing = [name for name in needed if getattr(args, name) is None]
    if missing and not args.check:
        parser.error(f"missing: {' '.join(name.upper() for name in missing)}")
    return args


def drawn(folder: str) -> Path:
    """A folder of 16 drawn images, which stand for the user's."""
    from massrl.cli.check import sample_folder

    print("check: 16 drawn images in a temporary folder stand for your data")
    return sample_folder(Path(folder))


def checked_file(folder: str) -> Path:
    """The same as a .beton file."""
    from data_loading import sources

    return sources.as_beton(drawn(folder), cache=Path(folder) / "cache", progress=False)


def save_grid(columns: list, names: list[str], out: Path) -> Path:
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
    png = io.BytesIO()
    canvas.print_png(png)
    return write_whole(out, png.getvalue())
