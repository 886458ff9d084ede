"""`massrl pretrain --check`: two steps on little data in a temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from data_loading import sources
from data_loading.beton.layout import is_beton
from data_loading.beton.mapping import is_pattern
from data_loading.loading.datamodule import BetonDataModule
from massrl.cli.samples import BATCH, IMAGES, STEPS, is_there, sample_folder
from massrl.methods import Method
from massrl.runs.checkpoint import Checkpoint

SIZES = (32, 64, 96, 128, 160, 192, 224)
TRAINER = {
    "max_epochs": 1,
    "max_steps": -1,
    "max_time": None,
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


class Rehearsal:
    """Two steps of a pretraining in a temporary folder: which given settings it replaces."""

    def __init__(self, tmp: Path):
        self.tmp, self.run = tmp, tmp / "run"
        self.images = str(sample_folder(tmp))

    def words(self) -> list[str]:
        """Options that name the generated images in a file, which other files and options of the command override."""
        file = self.tmp / "generated.yaml"
        file.write_text(yaml.safe_dump({"data": {"train": self.images}}), encoding="utf-8")
        return ["--config", str(file)]

    def adjust(self, config: Any) -> None:
        """Replace values of a parsed config by small ones, and say which."""
        said = []
        config.data.train, what = self._data(config.data.train)
        said.append(f"data.train: {what}")
        config.data.batch_size, config.data.num_workers, config.data.resume = BATCH, 1, False
        config.global_batch = None
        config.data.val = config.data.test = config.data.predict = None
        config.data.cache_dir = str(self.tmp / "cache")
        for key, value in TRAINER.items():
            config.trainer[key] = value
        if config.ckpt_path is not None and not Path(config.ckpt_path).exists():
            config.ckpt_path = None
            said.append("from the start, as there is no checkpoint")
        elif config.ckpt_path is not None:
            config.trainer["max_epochs"] = Checkpoint.read(config.ckpt_path).epochs + 1
        config.run = str(self.run)
        said.append(f"batches of {BATCH}, {STEPS} steps on the CPU, in a temporary folder")
        print(f"check: {'; '.join(said)}", flush=True)

    def _data(self, path: str | list[str]) -> tuple[str | list[str], str]:
        if path == self.images or not is_there(path):
            return self.images, f"{IMAGES} generated images" + (
                "" if path == self.images else f" ({path} is not there)"
            )
        if not isinstance(path, str) or is_pattern(path) or is_beton(Path(path)):
            return path, str(path)
        n = len(sources.open(path))
        rows = sorted({i * n // IMAGES for i in range(IMAGES)})
        file = sources.as_beton(path, self.tmp / "cache", "check", rows, progress=False)
        return str(file), f"{len(rows)} images of {path}"

    def size(self, method: Method, data: BetonDataModule) -> int | None:
        """The smallest size of SIZES that the backbone takes, or the run's own where that is smaller.

        None where each strategy has a size of its own, which stays.
        """
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
