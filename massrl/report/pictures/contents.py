"""Contents of a picture as a comment in its file, from which a test sees whether a stored picture is up to date."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def contents(figure: Figure) -> str:
    """JSON of a figure: "words", its texts, and "colours", the mean RGB of each of its images, 0 to 255."""
    axes = figure.axes[0]
    return json.dumps(
        {
            "words": [text.get_text() for text in axes.texts if text.get_text()],
            "colours": [image.get_array().mean((0, 1)).round(1).tolist() for image in axes.images],
        },
        separators=(",", ":"),
    )


def read_contents(path: Path) -> dict:
    """The `contents` stored in a PNG or GIF file; {} for a file without them."""
    with Image.open(path) as file:
        return json.loads(file.info.get("Comment") or file.info.get("comment") or "{}")
