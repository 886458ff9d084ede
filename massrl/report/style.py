"""Style of the figures: colours, a light and a dark theme, and saving a figure in both."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_loading.config.atomic import write_whole

COLOURS = ("#2f6fde", "#e07b1a", "#159a7e", "#c0449a", "#8a63d2", "#b59a00")  # of methods
GREYS = ("#b3bac4", "#7d8794")  # of the baselines: raw pixels, untrained
RIGHT, WRONG = "#1f9d55", "#d64545"
# Ten hues of different lightness, readable on white and on near-black.
CLASSES = (
    *("#3b7ddd", "#f08a24", "#2ca05a", "#d8423f", "#9467d8"),
    *("#9c6b4e", "#e377c2", "#7f8a99", "#b5b021", "#17a7b8"),
)
DPI = 144
WIDE = 10.5  # inches: the width of the page

LIGHT = {"paper": "#ffffff", "ink": "#1f2430", "muted": "#5d6673", "line": "#dfe3e8"}
DARK = {"paper": "#1a1d23", "ink": "#e8eaee", "muted": "#a3abb8", "line": "#3a404a"}


def rc(theme: dict[str, str]) -> dict:
    """matplotlib's rcParams for a theme."""
    return {
        **dict.fromkeys(
            ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), theme["paper"]
        ),
        **dict.fromkeys(("text.color", "axes.titlecolor"), theme["ink"]),
        **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), theme["muted"]),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), theme["line"]),
        "font.family": "DejaVu Sans",  # ships with matplotlib: equal pictures on every machine
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "text.parse_math": False,  # names of runs and classes may hold a $
    }


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches that is not registered with pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(path: Path, plot: Callable[[], Figure], both: bool = True) -> Path:
    """Write a figure in both themes: the light one to `path`, the dark one to NAME_dark.png in the same folder.

    plot: makes the figure; called once per theme.  both: False writes the light one alone.  Returns `path`.
    """
    for theme, target in (((DARK, dark(path)),) if both else ()) + ((LIGHT, path),):
        with matplotlib.rc_context(rc(theme)):
            save_png(plot(), target)
    return path


def save_png(figure: Figure, path: Path, dpi: int = DPI, comment: str | None = None, few: bool = False) -> Path:
    """Write a figure as a PNG file, creating its folder; return the path.

    comment: text stored in the file.  few: reduce to 256 colours, a third of the bytes for photographs.
    """
    png = io.BytesIO()
    figure.savefig(png, dpi=dpi, format="png", metadata={"Comment": comment} if comment else None)
    if few:
        text = PngInfo()
        text.add_text("Comment", comment or "")
        image = few_colours(Image.open(png).convert("RGB"))
        png = io.BytesIO()
        image.save(png, "PNG", optimize=True, pnginfo=text)
    return write_whole(path, png.getvalue())


def few_colours(image: Image.Image) -> Image.Image:
    """The image with 256 colours, dithered. The palette covers the colour range, to keep rare bright colours."""
    palette = image.quantize(256, Image.Quantize.MAXCOVERAGE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def dark(path: Path) -> Path:
    """Path of the dark version of a figure: NAME_dark.png for NAME.png."""
    return path.with_name(f"{path.stem}_dark{path.suffix}")


def ink(name: str) -> str:
    """A colour of the current theme: "ink", "muted", "line" or "paper"."""
    keys = {"ink": "text.color", "muted": "axes.labelcolor", "line": "axes.edgecolor", "paper": "figure.facecolor"}
    return matplotlib.rcParams[keys[name]]
