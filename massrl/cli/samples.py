"""Generated images and a small run, for `--check` and for tests."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

IMAGES, BATCH, STEPS = 16, 4, 2


def sample_folder(tmp: Path) -> Path:
    """Generate 16 JPEG images of 48 x 40 pixels in two class folders, `discs` and `bars`; returns their folder."""
    import numpy as np
    from PIL import Image

    folder = Path(tmp) / "sample_images"
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    for i in range(IMAGES):
        name, (cx, cy) = ("discs", "bars")[i % 2], rng.integers(12, 28, 2)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < 90 if name == "discs" else abs(x - cx) < 5
        colours = rng.integers(0, 256, (2, 3))
        image = np.where(inside[..., None], *colours) + rng.integers(-8, 9, (40, 48, 3))
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i:02}.jpg", quality=90)
    return folder


def sample_checkpoint(
    tmp: Path, data: Path, seed: int = 0, backbone: str = "tiny_resnet", **backbone_args: Any
) -> Path:
    """A checkpoint of SimCLR after two steps on `data`, at 16 pixels; prints nothing.

    backbone_args: of the backbone; the width of a tiny ResNet is 4 unless said.
    """
    from massrl.runs.quiet import quiet
    from massrl.training.pretrain import pretrain

    with contextlib.redirect_stdout(io.StringIO()), quiet(everything=True):
        run = pretrain(
            data,
            "SimCLR",
            out=Path(tmp) / "sample_run",
            report=False,
            export=False,
            seed=seed,
            backbone=backbone,
            backbone_args={"width": 4, **backbone_args} if backbone == "tiny_resnet" else backbone_args,
            size=16,
            batch_size=BATCH,
            num_workers=1,
            cache_dir=str(Path(tmp) / "cache"),
            max_epochs=1,
            limit_train_batches=STEPS,
            accelerator="cpu",
            devices=1,
            enable_progress_bar=False,
        )
    return run.checkpoint


def few_steps(checkpoint: str | None, tmp: Path, images: Path, **options: Any) -> tuple[str, list[str]]:
    """`checkpoint` where it is there, else that of `sample_checkpoint`; and in words what took its place, if it did.

    options: of `sample_checkpoint`.
    """
    from massrl import zoo

    if checkpoint is not None and (zoo.is_zoo(checkpoint) or Path(checkpoint).exists()):
        return checkpoint, []
    was = f" ({checkpoint} is not there)" if checkpoint else ""
    network = options.get("backbone", "a tiny ResNet")
    return str(sample_checkpoint(tmp, images, **options)), [f"checkpoint: {network} after two steps{was}"]


def is_there(path: str | list[str]) -> bool:
    """Whether a folder exists, or every .beton file that a path, a pattern or a list names."""
    from data_loading.beton.mapping import named
    from data_loading.errors import BetonError

    try:
        return all(file.exists() for file in named(path))
    except BetonError:  # a pattern that nothing fits
        return False
