"""Pretrain: the function under `massrl pretrain` and `massrl.pretrain`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from data_loading.beton.mapping import named
from data_loading.beton.reader import Reader
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UserError, one_of
from data_loading.kernel.rng import checked_seed
from data_loading.loading.datamodule import BetonDataModule
from data_loading.loading.state import batch_size
from data_loading.views import growing
from massrl.callbacks import Health, OnlineKNN, OnlineLinear, Throughput
from massrl.distributed import dismiss_others, lost_peer, not_met
from massrl.exporting.run_folder import export_run
from massrl.methods import Method
from massrl.parsing.places import Keywords
from massrl.report import build
from massrl.runs import heartbeat
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.folder import CONFIG, EXPORT, METRICS, Claim, Run, check_free, claimed, run_of
from massrl.runs.quiet import is_first, quiet
from massrl.runs.trainer import make_trainer
from massrl.training import global_batch
from massrl.training.fit import fit
from massrl.training.keywords import from_keywords
from massrl.training.length import PASSED_ON, batches_of_epoch, fitted
from massrl.training.progress import progress
from massrl.training.resume import CHOICES, begun, compare, length_of
from massrl.training.settings import Settings, errors_placed, say
from massrl.training.signals import Stopped


def pretrain(
    train: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    method: str | type[Method] | Method | None = None,
    *,
    out: str | os.PathLike | None = None,
    minutes: float | None = None,
    config: str | os.PathLike | Mapping[str, Any] | Sequence[Any] | None = None,
    ckpt_path: str | os.PathLike | None = None,
    resume: str | None = None,
    save_minutes: float | None = None,
    on_nan: str | None = None,
    logger: Any = None,
    seed: int | None = None,
    report: bool | None = None,
    export: bool | None = None,
    **options: Any,
) -> Run:
    """Train an encoder without labels, as `massrl pretrain` does, and return its run folder.

    Examples:
        >>> run = massrl.pretrain("my_images/", method="BYOL", minutes=10, batch_size=128, backbone="resnet50")

    Args:
        train: a folder of images, or .beton files (a path, a pattern or a list).
        method: a name (`massrl.list_methods()`), a class, or an object; without it MASSRL.
        out: the run folder; without it runs/METHOD-DATA-TIME.
        minutes: how long to train where neither max_epochs nor max_steps is given: a few steps are measured, and the
            schedule is fitted to what they take; 4 unless said.
        config: the name of a recipe ("digits/byol"), a YAML file, or a mapping of that form; of several, later ones
            override earlier ones, and keywords override all.
        ckpt_path: continue from this checkpoint, run folder or `Run`; without `config` and `method` with the settings
            and in the folder of its run.
        resume: "auto", unless said: where `out` has begun already, go on with it, and do nothing where it is complete;
            "never" refuses a folder in use.
        save_minutes: from one checkpoint to the next; 10 unless said, 0 for the ends of epochs alone.
        on_nan: "stop", unless said, at the first loss or gradient that is not finite; "skip" leaves its step out.
        logger: "csv" (RUN/metrics.csv, which is written always), "wandb" or "tensorboard", a logger of Lightning, or a
            list of these.
        seed: of weights, order of samples and views (the options seed_everything and data.seed); 0 unless said.
        report: write report.html at the end; true unless said.
        export: write export/ at the end, the encoder alone, for timm or `massrl.load_encoder`; true unless said.
        options: any other option of `massrl pretrain`, by the last part of its name: an argument of the method
            (tau=0.1, optim={"base_lr": 0.3}), of BetonDataModule (views="simclr", size=64) or of Lightning's Trainer
            (max_epochs=100, devices=2, callbacks=[...]). The whole name fits, too: **{"data.seed": 1}; so do groups,
            as in a config file: trainer={"max_epochs": 100}.

    Raises:
        massrl.errors.UserError: a setting, file or checkpoint that does not fit, in one line; nothing is written then.
    """
    call = {"train": train, "method": method, "out": out, "minutes": minutes, "config": config, "ckpt_path": ckpt_path}
    call |= {
        "resume": resume,
        "save_minutes": save_minutes,
        "on_nan": on_nan,
        "logger": logger,
        "seed": seed,
        "report": report,
        "export": export,
        **options,
    }
    keywords = Keywords(given=call)
    with errors_placed(keywords):
        if "run" in options and out is not None:
            raise ConfigError("out and run are both given; leave run out")
        out = options.pop("run", out)
        if isinstance(resume, bool):
            raise ConfigError(
                f'resume is {resume}; it is "auto" or "never"; for data.resume give **{{"data.resume": ...}}'
            )
        if not isinstance(out, str | os.PathLike | None):
            raise ConfigError(f"out is {out!r}; name a folder")
        if ckpt_path is not None:
            ckpt_path = find(ckpt_path)
            if config is None and method is None and (own := run_of(ckpt_path)):
                config, out = own.path / CONFIG, own.path if out is None else out
        named, objects = _loggers(logger)
        options |= {"logger": objects} if objects is not None else {}
        settings, made = from_keywords(train, method, config, options, keywords)
        start = {"minutes": minutes, "report": report, "export": export, "run": out, "ckpt_path": ckpt_path}
        start |= {"resume": resume, "save_minutes": save_minutes, "on_nan": on_nan}
        settings |= {name: value for name, value in start.items() if value is not None}
        settings |= {"logger": named} if named else {}
        settings |= {name: os.fspath(settings[name]) for name in ("run", "ckpt_path") if settings.get(name)}
        if seed is not None:
            settings["seed_everything"] = settings.setdefault("data", {})["seed"] = checked_seed(seed)
    with errors_placed(keywords), quiet():
        ready = Settings(settings, made, keywords)
    return run_settings(ready, f"massrl.pretrain({_shown(call)})")


def _loggers(given: Any) -> tuple[list[str] | None, Any]:
    """(names for the option logger, what Lightning's Trainer gets as logger), None for either where there is nothing.

    Names of ours are in lower case; "WandbLogger" or "package.Class" are Lightning's.
    """
    every = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    named = [one for one in every if isinstance(one, str) and one.islower() and "." not in one]
    others = [one for one in every if not any(one is name for name in named)]
    return named or None, (others[0] if not isinstance(given, list | tuple) else others) if others else None


def _shown(call: Mapping[str, Any]) -> str:
    """The arguments of a call that were given, as Python writes them; a method object by its class."""
    given = {name: value for name, value in call.items() if value is not None}
    shown = {name: f"{type(v).__name__}(...)" if isinstance(v, nn.Module) else repr(v) for name, v in given.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def run_settings(settings: Settings, command: str, rehearsal: bool = False) -> Run:
    """Check that everything fits, then train in the run folder, from its newest checkpoint where it has one.

    command: what was called, for environment.json.  rehearsal: say nothing of the run, and write no report.
    Where anything does not fit, nothing is left.
    """
    try:
        return _run_settings(settings, command, rehearsal)
    except UserError:
        if is_first():
            dismiss_others()
        raise
    finally:
        os.environ.pop(PASSED_ON, None)  # a second run of this process measures its own length


def _run_settings(settings: Settings, command: str, rehearsal: bool) -> Run:
    with errors_placed(settings.words), quiet():
        given = find(settings.config.ckpt_path) if settings.config.ckpt_path else None
        resume = one_of("--resume", settings.config.resume, CHOICES, ConfigError) == "auto" and bool(
            settings.config.run
        )
        if is_first() and settings.config.run:  # the processes that this one starts find its folder in use
            check_free(Path(settings.config.run), given, resume and given is None)
    with errors_placed(settings.words), _own_folder(settings) as (run, claim):
        checkpoint = Checkpoint.read(given) if given else _begun(run) if resume else None
        if _train(settings, run, claim, checkpoint, given is None, command, rehearsal) and not rehearsal:
            _finish(run, settings)
    return run


@contextlib.contextmanager
def _own_folder(settings: Settings) -> Iterator[tuple[Run, Claim | None]]:
    """The run folder and, on the first process, the claim of it: nobody else works in it."""
    named = settings.config.run
    folders = iter([Path(named)]) if named else _default_folders(settings.method, settings.data)
    if not is_first():
        yield Run(next(folders)), None
        return
    with contextlib.ExitStack() as stack:
        for path in folders:
            with contextlib.suppress(FileExistsError):  # a run that was started in the same second
                claim = stack.enter_context(claimed(path, alone=not named))
                break
        yield Run(path), claim


def _begun(run: Run) -> Checkpoint | None:
    """The checkpoint from which the same command goes on."""
    path = begun(run.path)
    if path is None and (run.path / METRICS).exists():
        raise ConfigError(f"--run {run.path} has ended, and its checkpoints are gone; name another folder")
    if path is None and (run.path / CONFIG).exists():
        say(f"run {run.path} ended before its first checkpoint: it starts again")
    return Checkpoint.read(path) if path else None


def _train(
    settings: Settings,
    run: Run,
    claim: Claim | None,
    checkpoint: Checkpoint | None,
    same: bool,
    command: str,
    rehearsal: bool,
) -> bool:
    """Check, and train; whether this process has what follows to do.

    same: the checkpoint is continued as the run was begun, and nothing is to be done where it is complete.
    """
    method, data = settings.method, settings.data
    with quiet():
        data.view_set = data.resolve(method)
        _share_batch(settings, checkpoint)
        others = _as_begun(settings, run, checkpoint) if checkpoint and same else []
        if checkpoint:
            checkpoint.check_continues(method)
        method.check(data.view_set)
        data.prepare_data()
        if data.val is not None and not rehearsal and is_first() and _same_content(data):
            say("WARNING: data.val has the content of data.train, so that its accuracies are those of training images")
        if method.needs.labels:
            with Reader(data.file()) as reader:
                method.check_labels(torch.from_numpy(reader.labels.copy()))
        with _interrupted(run):
            trainer_args = _trainer_args(settings, method, data, checkpoint, same)
    text, resolved = settings.resolved()
    if checkpoint and same:
        longer = any(line.startswith("trainer.max_") for line in others)
        complete = _complete(trainer_args, checkpoint) or (not longer and run.ended == checkpoint.steps)
        what = "is complete" if complete else "goes on"
        say(f"run {run.path} {what}: epochs done {checkpoint.epochs}, steps {checkpoint.steps}")
        for line in others:
            say(f"  {line}")
        if complete:
            if claim:
                claim.begun = True
                _finished(run, trainer_args, checkpoint)
            return claim is not None
    elif not rehearsal:
        say(f"{type(method).__name__} on {data.train}: {len(data.view_set)} views of {_sizes(data)}, run {run.path}")
    if trainer_args.get("enable_progress_bar") is not False:
        trainer_args["callbacks"].append(progress())
    with _interrupted(run):
        fit(run.path, method, data, trainer_args, resolved, text, command, checkpoint, claim)
    return claim is not None


def _finished(run: Run, trainer_args: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Let the heartbeat of a complete run say so, where the process that completed it could not."""
    try:
        heard = heartbeat.read(run.path)
        if heard is None or heard["state"] != "finished":
            epochs = trainer_args.get("max_epochs")
            length = {"epochs": epochs if epochs and epochs > 0 else None, "steps": checkpoint.steps}
            heartbeat.write(run.path, "finished", step=checkpoint.steps, epoch=checkpoint.epochs, **length)
    except UserError as error:
        say(f"{error}; `massrl runs` does not know that this run is complete")


def _share_batch(settings: Settings, checkpoint: Checkpoint | None) -> None:
    """Images per process and accumulation that make up --global_batch, where one is set, into the settings."""
    total, given = settings.config.global_batch, settings.trainer_args.get("accumulate_grad_batches")
    if total is None:
        return
    if any(hasattr(callback, "scheduling") for callback in own_callbacks(settings.trainer_args)):
        raise ConfigError("--global_batch does not go with GradientAccumulationScheduler; leave one of them out")
    world, data = _world(settings.trainer_args), settings.data
    begun = global_batch.as_begun(total, checkpoint, world) if checkpoint and data.resume else None
    images, parts = begun or global_batch.share(total, data.batch_size, world)
    global_batch.check_accumulation(given, parts, images, world)
    data.batch_size = settings.config.data.batch_size = images
    settings.trainer_args["accumulate_grad_batches"] = settings.config.trainer.accumulate_grad_batches = parts
    say(global_batch.sentence(images, world, parts))


def _as_begun(settings: Settings, run: Run, checkpoint: Checkpoint) -> list[str]:
    """Take the length of a run that was fitted to minutes; returns in words in what it goes on otherwise."""
    if length_is_open(settings.trainer_args):
        for name, value in length_of(checkpoint).items():
            settings.trainer_args[name] = settings.config.trainer[name] = value
    return compare(run.path, checkpoint, settings.resolved()[1])


def _finish(run: Run, settings: Settings) -> None:
    """What a training ends by: RUN/export and the report, where they are wanted."""
    method = settings.method
    _say_exported(run, method, settings.config.export)
    if settings.config.report:
        build(run.path)


def _sizes(data: BetonDataModule) -> str:
    """The side of the global views in pixels, and where they grow, from which epoch on."""
    first, *later = growing.by_epoch(data.size).items()
    side = data.view_set.size if first[1] is None and data.view_set is not None else first[1]
    return f"{side} px" + "".join(f", from epoch {epoch} on {size}" for epoch, size in later)


def _same_content(data: BetonDataModule) -> bool:
    """Whether training and validation images are the same; the files are read whole only where sizes and labels are."""
    files = [named(data.file(path)) for path in (data.train, data.val)]
    if [file.resolve() for file in files[0]] == [file.resolve() for file in files[1]]:
        return True
    with Reader(files[0]) as train, Reader(files[1]) as val:
        sizes = [[part.found.st_size for part in one.parts] for one in (train, val)]
        alike = sizes[0] == sizes[1] and np.array_equal(train.labels, val.labels)
        return alike and train.sha256() == val.sha256()


def _say_exported(run: Run, method: Method, wanted: bool | None) -> None:
    """Write RUN/export where it is wanted, and say so, also where it cannot be written: the training is done."""
    path = run.path / EXPORT
    stale = f"; {path} is of an earlier state of this run" if path.exists() else ""
    if not wanted:
        if stale:
            say(f"no export was written, as export is false{stale}")
        return
    try:
        say(export_run(run, method))
    except Exception as error:  # of any library that makes, writes or reads the network
        line = " ".join(str(error).split())[:300] or type(error).__name__
        say(f"no export was written: {line}{stale}")


def _default_folders(method: Method, data: BetonDataModule) -> Iterator[Path]:
    """Folders of runs/ that are not there yet, named after method, data and time."""
    train = data.train if isinstance(data.train, str) else data.train[0]
    name = re.sub(r"[^\w.-]+", "_", Path(train).resolve().with_suffix("").name)[:48]  # at most 192 of 255 bytes
    stem = f"{type(method).__name__.lower()}-{name}-{datetime.now():%Y%m%d-%H%M%S}"
    return (path for i in range(1000) if not (path := Path("runs", f"{stem}{f'-{i}' if i else ''}")).exists())


def _trainer_args(
    settings: Settings, method: Method, data: BetonDataModule, checkpoint: Checkpoint | None, same: bool
) -> dict[str, Any]:
    """Arguments of the Trainer, with its callbacks and the length of the run; what was fitted goes into the config.

    same: the length may have been reached.
    """
    found = dict(settings.trainer_args)
    found["callbacks"] = callbacks_of_run(found)
    world = _world(found)
    if checkpoint and checkpoint.global_batch and data.resume:
        batch_size(checkpoint.global_batch, world)
    if length_is_open(found) and found.get("limit_train_batches") != 0:
        if isinstance(data.size, dict) and len(data.size) > 1:
            raise ConfigError("data.size grows by epochs, so that their number is needed: give --trainer.max_epochs")
        minutes = _minutes(found.get("max_time")) or settings.config.minutes
        length, why = fitted(method, data, found, minutes, world)
        say(why)
        done = checkpoint.epochs if checkpoint else 0
        fitting = {**length.settings, "max_epochs": done + length.epochs}
        found.update(fitting)
        for key, value in fitting.items():
            settings.config.trainer[key] = value
    check_length(found, None if same else checkpoint)
    if settings.config.global_batch is not None:
        _whole_batches(found, data, world)
    if found.get("log_every_n_steps") is None:
        batches = _batches_of_process(found, data, world)
        found["log_every_n_steps"] = max(1, min(10, batches // (found.get("accumulate_grad_batches") or 1)))
    last, epochs = max(growing.by_epoch(data.size)), found.get("max_epochs")
    if last and epochs not in (None, -1) and last >= epochs:
        say(f"WARNING: data.size has a size from epoch {last} on, which a run of {epochs} epochs does not reach")
    return found


def callbacks_of_run(trainer_args: Mapping[str, Any]) -> list[Any]:
    """The user's callbacks, and those that every run has."""
    own = own_callbacks(trainer_args)
    kinds = tuple(type(callback) for callback in own)
    return [*own, *(make() for make in (Throughput, OnlineKNN, OnlineLinear, Health) if make not in kinds)]


def own_callbacks(trainer_args: Mapping[str, Any]) -> list[Any]:
    """The callbacks that the user has given."""
    own = trainer_args.get("callbacks") or []
    return own if isinstance(own, list) else [own]


def _world(trainer_args: Mapping[str, Any]) -> int:
    """Processes of the run."""
    quiet_one: dict[str, Any] = {"callbacks": None, "logger": False, "enable_progress_bar": False}
    return make_trainer(**{**trainer_args, **quiet_one}).world_size


def _batches_of_process(found: Mapping[str, Any], data: BetonDataModule, world: int) -> int:
    """Batches of an epoch that each process takes, after --trainer.limit_train_batches, which counts those."""
    batches = batches_of_epoch(data, {**found, "limit_train_batches": None}) // world
    limit = found.get("limit_train_batches")
    return batches if limit is None else min(batches, limit if isinstance(limit, int) else int(batches * limit))


def _whole_batches(found: dict[str, Any], data: BetonDataModule, world: int) -> None:
    """Let an epoch end with its last whole global batch: on more processes, which accumulate less, it does so, too."""
    parts = found["accumulate_grad_batches"]
    if parts == 1 or found.get("overfit_batches"):
        return
    batches = _batches_of_process(found, data, world)
    if batches < parts:
        raise ConfigError(
            f"an epoch has {batches} batches of {data.batch_size * world} images, fewer than the {parts} that make up "
            "--global_batch; choose a smaller one"
        )
    if batches % parts:
        found["limit_train_batches"] = batches // parts * parts


def length_is_open(trainer_args: Mapping[str, Any]) -> bool:
    """Whether neither epochs nor optimiser steps say how long to train; a limit of time alone says it in minutes."""
    counted = trainer_args.get("max_epochs") is not None or trainer_args.get("max_steps") not in (None, -1)
    return not counted and trainer_args.get("fast_dev_run") in (None, False)


def _minutes(max_time: Any) -> float | None:
    """Lightning's max_time, "DD:HH:MM:SS", a timedelta or its arguments, in minutes."""
    if max_time is None:
        return None
    timer = pl.callbacks.Timer(max_time)
    return timer._duration / 60 if timer._duration is not None else None


def check_length(trainer_args: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Refuse a length of no step, and one that the checkpoint has reached."""
    epochs, steps = trainer_args.get("max_epochs"), trainer_args.get("max_steps")
    steps = -1 if steps is None else steps  # Lightning's word for none
    if epochs is not None and epochs < 1 and not (epochs == -1 and steps != -1):
        raise ConfigError(f"--trainer.max_epochs is {epochs}; set it to 1 or more, or leave it out for --minutes")
    if steps < 1 and steps != -1:
        raise ConfigError(f"--trainer.max_steps is {steps}; set it to 1 or more, or leave it out")
    if trainer_args.get("limit_train_batches") == 0:
        raise ConfigError("--trainer.limit_train_batches is 0: nothing would be trained; set it to 1 or more")
    if checkpoint is None:
        return
    if epochs not in (None, -1) and epochs <= checkpoint.epochs:
        raise ConfigError(
            f"{checkpoint.path}: has {checkpoint.epochs} epochs done and --trainer.max_epochs is {epochs}; set it "
            "higher to continue"
        )
    if steps != -1 and steps <= checkpoint.steps:
        raise ConfigError(
            f"{checkpoint.path}: has {checkpoint.steps} steps done and --trainer.max_steps is {steps}; set it higher "
            "to continue"
        )


def _complete(trainer_args: Mapping[str, Any], checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint has all epochs or steps of its run."""
    epochs, steps = trainer_args.get("max_epochs"), trainer_args.get("max_steps")
    return (epochs not in (None, -1) and checkpoint.epochs >= epochs) or (
        steps not in (None, -1) and checkpoint.steps >= steps
    )


@contextlib.contextmanager
def _interrupted(run: Run) -> Iterator[None]:
    """Signals end a run with their own exit code, and with what to type next.

    Lightning would exit with 1 after Ctrl-C, and with 0 after SIGTERM.
    """
    try:
        yield
    except (Stopped, SystemExit, KeyboardInterrupt) as stop:
        if isinstance(stop, Stopped):
            number = stop.signal
        elif isinstance(stop, pl.utilities.exceptions.SIGTERMException):  # while the length was measured
            number = signal.SIGTERM
        elif isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
            number = signal.SIGINT
        else:
            raise
        if words := _to_continue(run):
            print(f"\n{words}", file=sys.stderr)
        raise (KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)) from None
    except RuntimeError as error:
        if line := not_met(error):
            raise ConfigError(line) from error
        if not lost_peer(error):
            raise
        said = str(error).partition(" This is")[0][:200]
        raise ConfigError(
            f"another process of this run has ended, and this one with it ({said}); its own words say why, unless it "
            f"was killed; {_to_continue(run) or 'process 0 says how to go on'}"
        ) from error


def _to_continue(run: Run) -> str:
    """What to type next, on the process that knows the folder, where there is a checkpoint; else ""."""
    there = is_first() and run.checkpoint.exists()
    return f"to continue: massrl pretrain --ckpt_path {shlex.quote(str(run.path))}" if there else ""
