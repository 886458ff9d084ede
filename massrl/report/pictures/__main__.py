"""Write the pictures of README and docs/pictures.md into a folder: `python -m massrl.report.pictures images/`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from data_loading.views.view_set import ViewSet
from massrl.report import pictures
from massrl.report.pictures.contents import contents
from massrl.report.style import save_png

DPI = 90


def figures() -> dict[str, Callable]:
    """{file name: function that returns its Figure}, for the photographs that scikit-learn ships."""
    china, flower = photographs = pictures.photographs()
    two = ViewSet(["simclr", "byol"], crops=2, size=224, shared_crops=True, local=2, crop_scale=(0.2, 0.7))
    seeding = partial(pictures.seeding, photographs)
    return {
        "views.png": partial(pictures.view_set, flower, two, seed=4),
        "ops.png": partial(pictures.ops, china),
        "strategies.png": partial(pictures.strategies, flower, samples=5),
        "seeding_order_fresh_ops_fresh.png": seeding,
        "seeding_order_fixed_ops_fresh.png": partial(seeding, order_seed=0),
        "seeding_order_fresh_ops_fixed.png": partial(seeding, op_seed=0),
        "seeding_order_fixed_ops_fixed.png": partial(seeding, order_seed=0, op_seed=0),
        "seeding_shared.png": partial(pictures.shared_draws, flower, seed=1),
        "replay.png": partial(pictures.replay, flower),
    }


GIF = "massrl.gif"


def draw_all(folder: Path) -> list[Path]:
    """Write every picture, with its `contents` as the comment of the file; return the paths."""
    plots = {name: plot() for name, plot in figures().items()}
    files = [save_png(figure, folder / name, DPI, contents(figure), few=True) for name, figure in plots.items()]
    return [*files, pictures.gif(pictures.photographs()[1], folder / GIF, epochs=5, dpi=60)]


if __name__ == "__main__":
    for file in draw_all(Path(sys.argv[1])):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
