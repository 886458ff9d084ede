"""Draw the README's pictures into a folder: `python -m massrl.report.pictures images/`."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from data_loading.views import ViewSet
from massrl.report import pictures
from massrl.report.style import save_png

DPI = 100


def draw_all(folder: Path) -> list[Path]:
    """Every picture of the README that is drawn from scikit-learn's photographs -> the files, as they are written."""
    china, flower = pictures.photographs()
    two = ViewSet(["simclr", "byol"], crops=2, size=224, shared_crops=True, local=2, crop_scale=(0.2, 0.7))
    drawn: dict[str, Figure] = {
        "views": pictures.view_set(flower, two, seed=4),
        "ops": pictures.ops(china),
        "strategies": pictures.strategies(flower),
        "seeding_order_fresh_ops_fresh": pictures.seeding([china, flower]),
        "seeding_order_fixed_ops_fresh": pictures.seeding([china, flower], order_seed=0),
        "seeding_order_fresh_ops_fixed": pictures.seeding([china, flower], op_seed=0),
        "seeding_order_fixed_ops_fixed": pictures.seeding([china, flower], order_seed=0, op_seed=0),
        "seeding_shared": pictures.shared_draws(flower, seed=1),
        "replay": pictures.replay(flower),
    }
    files = [save_png(figure, folder / f"{name}.png", DPI) for name, figure in drawn.items()]
    return [*files, pictures.gif(flower, folder / "massrl.gif")]


if __name__ == "__main__":
    for file in draw_all(Path(sys.argv[1])):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
