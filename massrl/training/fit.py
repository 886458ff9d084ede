"""Fit: the training itself, from a method and its data to a complete run folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.config.lightning_package import pl
from data_loading.loading.datamodule import BetonDataModule
from massrl.callbacks import Health
from massrl.methods import Method
from massrl.runs import folder
from massrl.runs.checkpoint import LAST, Checkpoint, data_facts
from massrl.runs.quiet import quiet
from massrl.runs.record import environment, write_json
from massrl.runs.trainer import make_trainer
from massrl.training.metrics import Metrics


class Describe(pl.Callback):
    """Writes what a checkpoint says of its data and settings into each one; notes when the first step is done."""

    def __init__(self, content: dict[str, Any]):
        self.content = content
        self.stepped = False

    def on_train_batch_end(self, *_: Any) -> None:
        self.stepped = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["massrl"] = self.content


def fit(
    run: Path,
    method: Method,
    data: BetonDataModule,
    trainer_args: dict[str, Any],
    config: dict[str, Any],
    config_text: str,
    command: str,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train `method` on `data`, and leave a complete run folder.

    Args:
        run: the folder; made here, and removed again where the first step fails.
        method: what is trained.
        data: what it is trained on.
        trainer_args: arguments of Lightning's Trainer.
        config: all settings as plain values, for checkpoints.
        config_text: all settings as YAML, for config.yaml.
        command: what started the run, for environment.json.
        checkpoint: where the run continues; None starts it.
    """
    describe, metrics = Describe(data_facts(data, config)), Metrics(run / folder.LOG)
    # One file, replaced at the end of each epoch.
    keep = pl.callbacks.ModelCheckpoint(
        run / LAST.parent, filename=LAST.stem, save_top_k=1, enable_version_counter=False
    )
    others = trainer_args.get("logger")
    others = [] if others in (None, True, False) else others if isinstance(others, list) else [others]
    trainer_args = {
        **trainer_args,
        "logger": [metrics, *others],
        "callbacks": [*(trainer_args.get("callbacks") or []), describe, keep],
        "default_root_dir": os.fspath(run),
    }
    start: Any = {"ckpt_path": checkpoint.path} if checkpoint else {}
    started = time.perf_counter()
    with quiet():
        trainer = make_trainer(**trainer_args)
        if not trainer.is_global_zero:
            trainer.fit(method, datamodule=data, **start)
            return
        with folder.made(run, lambda: describe.stepped):
            write_whole(run / folder.CONFIG, config_text)
            write_json(run / folder.ENVIRONMENT, environment(command))
            metrics.resume(checkpoint.steps if checkpoint else 0)
            trainer.fit(method, datamodule=data, **start)
            seconds = round(time.perf_counter() - started, 2)
            last = {name: value for name, value in metrics.last.items() if name not in ("epoch", "step")}
            facts: dict[str, Any] = {"epochs": trainer.current_epoch, "steps": trainer.global_step, **last}
            alarms = [one.alarm for one in trainer_args["callbacks"] if isinstance(one, Health) and one.alarm]
            facts |= {"alarm": alarms[0]} if alarms else {}
            folder.save_metrics(run, {"seconds": {"pretrain": seconds}, "training": facts})
