"""`--check`: what takes the place of data and checkpoints that are not there, and the small settings."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_loading.loading.datamodule import BetonDataModule
    from massrl.methods import Method

IMAGES, BATCH, STEPS = 16, 4, 2
SIZES = (32, 64, 96, 128, 160, 192, 224)
TRAINER = {
    "max_epochs": 1,
    "limit_train_batches": STEPS,
    "accumulate_grad_batches": 1,
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "precision": "32-true",  # bfloat16 takes minutes on many CPUs
    "strategy": "auto",
    "sync_batchnorm": False,
    "logger": False,
    "enable_progress_bar": False,
}


def sample_folder(tmp: Path) -> Path:
    """Draw 16 JPEG images of 48 x 40 pixels in two class folders, `discs` and `bars`; returns their folder."""
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


def sample_checkpoint(tmp: Path, data: Path) -> Path:
    """A checkpoint of SimCLR with a tiny ResNet after two steps on `data`, at 16 pixels; prints nothing."""
    from massrl.cli.pretrain import main
    from massrl.training.fit import quiet

    run = Path(tmp) / "sample_run"
    words = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--model.backbone_args", "{width: 4}"]
    words += [
        "--data.train",
        str(data),
        "--data.size",
        "16",
        "--data.batch_size",
        str(BATCH),
        "--data.num_workers",
        "1",
    ]
    words += ["--data.cache_dir", str(Path(tmp) / "cache"), "--run", str(run), "--report", "false"]
    words += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", str(STEPS), "--trainer.accelerator", "cpu"]
    with contextlib.redirect_stdout(io.StringIO()), quiet(everything=True):
        main([*words, "--trainer.devices", "1", "--trainer.enable_progress_bar", "false"])
    return run / "checkpoints" / "last.ckpt"


def is_there(path: str | list[str]) -> bool:
    """Whether a folder, or every .beton file that a path, a pattern or a list names, is there."""
    from data_loading.beton.mapping import named
    from data_loading.errors import BetonError

    try:
        return all(file.exists() for file in named(path))
    except BetonError:  # a pattern that nothing fits
        return False


class Small:
    """Two steps of a pretraining in a temporary folder."""

    def __init__(self, tmp: Path):
        self.tmp, self.run = tmp, tmp / "run"
        self.drawn = str(sample_folder(tmp))

    def words(self) -> list[str]:
        return ["--data.train", self.drawn]

    def replace(self, config) -> None:
        """Put small values in place of a config's own, and say which."""
        said = []
        config.data.train, what = self._data(config.data.train)
        said.append(f"data.train: {what}")
        config.data.batch_size, config.data.num_workers, config.data.resume = BATCH, 1, False
        config.data.val = config.data.test = config.data.predict = None
        config.data.cache_dir = str(self.tmp / "cache")
        for key, value in TRAINER.items():
            config.trainer[key] = value
        if config.ckpt_path is not None and not Path(config.ckpt_path).exists():
            config.ckpt_path = None
            said.append("from the start, as there is no checkpoint")
        said.append(f"batches of {BATCH}, {STEPS} steps on the CPU, in a temporary folder")
        print(f"check: {'; '.join(said)}", flush=True)

    def _data(self, path: str | list[str]) -> tuple[str | list[str], str]:
        from data_loading import sources

        if path == self.drawn or not is_there(path):
            return self.drawn, f"{IMAGES} drawn images" + ("" if path == self.drawn else f" ({path} is not there)")
        if not isinstance(path, str) or Path(path).suffix == ".beton":
            return path, str(path)
        n = len(sources.open(path))
        rows = sorted({i * n // IMAGES for i in range(IMAGES)})
        file = sources.as_beton(path, self.tmp / "cache", "check", rows, progress=False)
        return str(file), f"{len(rows)} images of {path}"

    def size(self, method: Method, data: BetonDataModule) -> int | None:
        """The smallest size of SIZES that the backbone takes, or the run's own where that is smaller.

        None where each strategy has a size of its own, which stays.
        """
        import torch

        view_set = data.resolve(method)
        if view_set.own_sizes:
            return None
        own = view_set.size
        training = method.training
        method.eval()
        for size in sorted({own, *(s for s in SIZES if s < own)}):
            try:
                with torch.no_grad():
                    method.backbone(torch.zeros(1, 3, size, size))
            except (RuntimeError, AssertionError, ValueError):  # as a ViT of a fixed size
                continue
            break
        method.train(training)
        print(f"check: views of {size} px" + (f" in place of {own}" if size != own else ""), flush=True)
        return size
