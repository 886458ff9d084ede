"""What a picture shows, as a comment in its file: a test sees from it whether a stored picture is of today's code."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def contents(figure: Figure) -> str:
    """JSON of a figure's words (names of ops and strategies among them) and mean colours of its images, 0 to 255."""
    axes = figure.axes[0]
    return json.dumps(
        {
            "words": [text.get_text() for text in axes.texts if text.get_text()],
            "colours": [image.get_array().mean((0, 1)).round(1).tolist() for image in axes.images],
        },
        separators=(",", ":"),
    )


def read_contents(path: Path) -> dict:
    """The same of a PNG or GIF that was written with it; {} for any other."""
    with Image.open(path) as file:
        return json.loads(file.info.get("Comment") or file.info.get("comment") or "{}")
