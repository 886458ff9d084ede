"""Animated and interactive pictures: a GIF of views over epochs, a slider over the parameter of an op."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_loading.config.atomic import write_whole
from data_loading.decode.jpeg import encode_jpeg
from data_loading.views.view_set import ViewSet
from massrl.report.pictures.contents import contents
from massrl.report.pictures.draw import at_least_one
from massrl.report.pictures.of_ops import op, over_range
from massrl.report.pictures.of_views import view_set
from massrl.report.pictures.ranges import range_of
from massrl.report.style import few_colours


def gif(
    image: np.ndarray,
    path: str | Path,
    which: str | dict | ViewSet = "massrl",
    epochs: int = 8,
    seed: int = 0,
    seconds: float = 1.1,
    dpi: int = 80,
    size: int | None = None,
) -> Path:
    """Write a GIF of the views of an image, one frame per epoch, each with its own palette of 256 colours.

    image: uint8 (H, W, 3).  which: a view set, its name, or a strategy's.  seconds: duration of a frame.  size: side of
    the global views in pixels (default: the view set's).  The comment of the file is the `contents` of the first frame.
    Returns `path`. Raises ConfigError for epochs < 1.
    """
    at_least_one(epochs=epochs)
    frames, first = [], None
    for epoch in range(epochs):
        figure = view_set(image, which, seed, epoch, size=size)
        first = first or figure
        figure.set_dpi(dpi)
        figure.canvas.draw()
        pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        frames.append(few_colours(pixels))
    out = io.BytesIO()
    moving = {"save_all": True, "append_images": frames[1:], "duration": int(1000 * seconds), "loop": 0}
    frames[0].save(out, "GIF", comment=contents(first).encode(), **moving)
    return write_whole(Path(path), out.getvalue())


def slider(image: np.ndarray, name: str, size: int = 224, seed: int = 0, n: int = 25, **arguments: Any) -> Any:
    """A notebook widget that shows an op with a slider over n values of its parameter.

    image: uint8 (H, W, 3).  name: a registered op or crop, or the class_path of your own.  arguments: of the op.
    Without ipywidgets, and for an op without a parameter, returns the Figure of `op` instead.
    """
    at_least_one(n=n)
    shown = range_of(name)
    try:
        import ipywidgets
    except ImportError:
        ipywidgets = None
    if ipywidgets is None or shown is None:
        return op(image, name, size=size, seed=seed, **arguments)
    row = over_range(image, name, n, size, seed, **arguments)
    files = [encode_jpeg(cell.pixels) for cell in row.cells]
    picture = ipywidgets.Image(value=files[0], format="jpeg", width=size, height=size)
    options = [(cell.caption, at) for at, cell in enumerate(row.cells)]
    bar = ipywidgets.SelectionSlider(options=options, description=shown.argument, continuous_update=True)
    bar.observe(lambda change: setattr(picture, "value", files[change["new"]]), "value")
    return ipywidgets.VBox([ipywidgets.HTML(f"<b>{name}</b>"), bar, picture])
