"""Fit: the training itself, from a method and its data to a complete run folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.config.lightning_package import pl
from data_loading.loading.datamodule import BetonDataModule
from massrl.callbacks import Health, OnNaN, Throughput
from massrl.methods import Method
from massrl.runs import folder
from massrl.runs.checkpoint import Checkpoint, data_facts
from massrl.runs.checkpoint_files import WholeCheckpoints
from massrl.runs.quiet import quiet
from massrl.runs.record import environment, write_json
from massrl.runs.trainer import make_trainer
from massrl.training import loggers
from massrl.training.first_views import FirstViews
from massrl.training.heartbeat import Heartbeat
from massrl.training.metrics import Metrics
from massrl.training.saving import Saving
from massrl.training.signals import Signals


def fit(
    run: Path,
    method: Method,
    data: BetonDataModule,
    trainer_args: dict[str, Any],
    config: dict[str, Any],
    config_text: str,
    command: str,
    checkpoint: Checkpoint | None = None,
    claim: folder.Claim | None = None,
) -> None:
    """Train `method` on `data`, and leave a complete run folder.

    Args:
        run: the folder, which is there.
        method: what is trained.
        data: what it is trained on.
        trainer_args: arguments of Lightning's Trainer.
        config: all settings as plain values, for checkpoints.
        config_text: all settings as YAML, for config.yaml.
        command: what started the run, for environment.json.
        checkpoint: where the run continues; None starts it.
        claim: of the folder, on the process that writes it: begun with the first step.
    """
    metrics = Metrics(run / folder.LOG)
    others = trainer_args.get("logger")
    others = [] if others in (None, True, False) else others if isinstance(others, list) else [others]
    start: Any = {"ckpt_path": checkpoint.path} if checkpoint else {}
    started, steps = time.perf_counter(), checkpoint.steps if checkpoint else 0
    beside = loggers.made(loggers.chosen(config["logger"]), run, steps, config, metrics)
    with quiet(), Signals() as signals:
        on_nan = OnNaN(config["on_nan"], run / folder.NAN if claim else None, {"data": config["data"]})
        heart = Heartbeat(run, metrics)
        views = FirstViews(run / folder.VIEWS, data.mean, data.std)
        saving = Saving(run, data_facts(data, config), config["save_minutes"], signals, on_nan.check_weights)
        trainer = make_trainer(
            **{
                **trainer_args,
                "logger": [metrics, *beside, *others],
                "callbacks": [on_nan, *(trainer_args.get("callbacks") or []), views, heart, saving],
                "plugins": _with_whole_checkpoints(trainer_args.get("plugins")),
                "default_root_dir": os.fspath(run),
            }
        )
        # With max_steps Lightning takes each start for one in the middle of an epoch, and goes on with other batches.
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
        if checkpoint:
            for part in ("state_dict", "optimizer_states", "processes"):
                checkpoint.content.pop(part, None)  # Lightning reads the file again
        if claim is None:  # another process writes the folder
            trainer.fit(method, datamodule=data, **start)
            return
        write_json(run / folder.ENVIRONMENT, environment(command))  # first: it tells a run from a folder with a config
        with loggers.begun(beside, trainer):
            write_whole(run / folder.CONFIG, config_text)
            (run / folder.NAN).unlink(missing_ok=True)  # of an earlier start
            if checkpoint is None:
                (run / folder.VIEWS).unlink(missing_ok=True)
            metrics.resume(steps)
            try:
                with heart.around(trainer, steps, checkpoint.epochs if checkpoint else 0):
                    trainer.fit(method, datamodule=data, **start)
                claim.begun = True  # where a strategy trains in other processes, nothing here has seen a step
            finally:
                claim.begun = claim.begun or saving.stepped or (run / folder.NAN).exists()
    seconds = round(time.perf_counter() - started, 2)
    last = {name: value for name, value in metrics.last.items() if name not in ("epoch", "step")}
    facts: dict[str, Any] = {"epochs": trainer.current_epoch, "steps": trainer.global_step, **last}
    alarms = [one.alarm for one in trainer_args["callbacks"] if isinstance(one, Health) and one.alarm]
    facts |= {"alarm": alarms[0]} if alarms else {}
    advice = [one.advice for one in trainer_args["callbacks"] if isinstance(one, Throughput) and one.advice]
    facts |= {"advice": advice[0]} if advice else {}
    folder.save_metrics(run, {"seconds": {"pretrain": seconds}, "training": facts})


def _with_whole_checkpoints(plugins: Any) -> list[Any]:
    """The Trainer's plugins, with our reading and writing of checkpoints where there is no other."""
    given = [] if plugins is None else plugins if isinstance(plugins, list) else [plugins]
    return given if any(isinstance(one, pl.plugins.CheckpointIO) for one in given) else [*given, WholeCheckpoints()]
