"""`massrl pretrain`: train an encoder without labels; every setting is an option, a key of a YAML file, or both."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, UnknownName
from data_loading.loading.datamodule import BetonDataModule
from data_loading.views import view_sets
from massrl import backbones
from massrl.callbacks import OnlineKNN, OnlineLinear, Throughput
from massrl.cli import check
from massrl.cli.progress import progress
from massrl.methods import Method
from massrl.parsing.messages import load_class
from massrl.parsing.parser import OneLine
from massrl.parsing.places import place_of_value
from massrl.training.fit import LAST, check_free, epochs_done, fit, quiet, read_checkpoint
from massrl.training.length import batches_of_epoch, fitted

SMALL = 64  # pixels: up to here a ResNet gets the CIFAR stem
NOT_KEPT = ("config", "run", "ckpt_path", "check", "skip_bad")  # of one start, not of the run
say = rank_zero_only(print)


class TrainParser(OneLine, LightningArgumentParser):
    pass


class Trainer(LightningCLI):
    """Lightning's command line for a Method and a BetonDataModule; the Trainer itself is made later, in `run.fit`."""

    def __init__(self, argv: list[str], small: check.Small | None = None):
        self.small = small
        description = "Train an encoder without labels. Without --model: MASSRL with a ResNet-18."
        super().__init__(
            Method,
            BetonDataModule,
            subclass_mode_model=True,
            run=False,
            args=argv,
            parser_class=TrainParser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint names its method and arguments itself
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "use_distributed_sampler": False},
            parser_kwargs={"prog": "massrl pretrain", "description": description},
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        self.config = parser.parse_args(args)  # Lightning's own warns where sys.argv differs

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.set_defaults({"model": {"class_path": "MASSRL", "init_args": {"backbone": "resnet18"}}})
        add = parser.add_argument
        add("--run", type=str | None, default=None, help="folder of results (default: runs/METHOD-DATA-TIME)")
        add("--ckpt_path", type=str | None, default=None, help="go on from this checkpoint; settings are its run's own")
        add("--minutes", type=float, default=4.0, help="fit the length to this where no --trainer.max_epochs is set")
        add("--skip-bad", action="store_true", help="the same as --data.skip_bad true")
        add("--report", type=bool, default=True, help="write report.html at the end")
        add(
            "--check", action="store_true", help="two steps on little data in a temporary folder; leaves nothing behind"
        )

    def before_instantiate_classes(self) -> None:
        if self.config.skip_bad:
            self.config.data.skip_bad = True
        small_stem(self.config)
        if self.small:
            self.small.replace(self.config)

    def instantiate_classes(self) -> None:
        # A run that goes on has its weights in the checkpoint; the file that it began with may be gone.
        with backbones.without_weights() if self.config.ckpt_path else contextlib.nullcontext():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> None:
        self.settings = dict(self._get(self.config_init, "trainer"))


def main(argv: list[str]) -> Path | None:
    """Run the command; returns the run folder, or None for `--check`, which leaves none."""
    with contextlib.ExitStack() as stack:
        small = None
        if "--check" in argv:
            small = check.Small(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            argv = [*small.words(), *argv]  # first, so that what was given wins
        run = pretrain(_with_config_of_run(argv), small)
    if small is None:
        say(f"run: {run}\nnewest checkpoint: {run / LAST}")
        return run
    print("check passed: nothing was kept")
    return None


def pretrain(argv: list[str], small: check.Small | None = None) -> Path:
    """Build everything, then make the run folder and train; nothing is written before all is known to fit."""
    with _place_errors(argv), quiet():
        cli = Trainer(argv, small)
        config, method, data = cli.config, cli.model, cli.datamodule
        if small:
            data.size = small.size(method, data)
        run = small.run if small else Path(config.run or _default_run(method, data))
        if rank_zero_only.rank == 0:  # the processes that this one starts find its folder in use
            check_free(run, config.ckpt_path)
        checkpoint = read_checkpoint(config.ckpt_path, method) if config.ckpt_path else None
        data.view_set = data.resolve(method)
        method.check(data.view_set)
        data.prepare_data()
        if method.needs.labels:
            with Reader(data.file()) as reader:
                method.check_labels(torch.from_numpy(reader.labels.copy()))
        settings = _settings(cli, method, data, checkpoint, small is not None)
    text, resolved = _resolved(cli, data)
    if not small:
        say(
            f"{type(method).__name__} on {data.train}: {len(data.view_set)} views of {data.view_set.size} px, run {run}"
        )
    if settings.get("enable_progress_bar") is not False:
        settings["callbacks"].append(progress())
    with _place_errors(argv), _interrupted(run):
        fit(run, method, data, settings, resolved, text, argv, checkpoint, config.ckpt_path)
    if config.report and not small and rank_zero_only.rank == 0:
        from massrl.report import build

        build(run)
    return run


def small_stem(config) -> None:
    """Set stem: cifar for a ResNet on small views, where nothing was said of the stem; says so."""
    args = config.model.init_args
    name, given = args.get("backbone"), dict(args.get("backbone_args") or {})
    if not isinstance(name, str) or name in backbones.BACKBONES or "stem" in given:
        return
    size = _global_size(config)
    if size <= SMALL and backbones.takes_small_stem(name):
        if given.get("pretrained"):
            say(f"views of {size} px: the stem of {name} stays imagenet, as its pretrained weights have it")
            return
        args.backbone_args = {**given, "stem": "cifar"}
        what = "3 x 3, stride 1, no max-pool; --model.backbone_args.stem imagenet sets the other"
        say(f"views of {size} px: the stem of {name} is cifar ({what})")


def _global_size(config) -> int:
    which, size = config.data.views, config.data.size
    if size is not None:
        return size
    if which is None:
        which = load_class(config.model.class_path).views_for(**config.model.init_args.as_dict())
    return view_sets.get(which).size


def _with_config_of_run(argv: list[str]) -> list[str]:
    """With --ckpt_path RUN/checkpoints/... and neither --config nor --model: settings and folder of that run."""
    given = {word.partition("=")[0]: i for i, word in enumerate(argv)}
    if "--ckpt_path" not in given or {"--config", "-c", "--model"} & given.keys():
        return argv
    at = given["--ckpt_path"]
    path = argv[at].partition("=")[2] or (argv[at + 1] if at + 1 < len(argv) else "")
    run = Path(path).parent.parent
    if not (run / "config.yaml").is_file():
        return argv
    say(f"settings of {run / 'config.yaml'}; options given here override them")
    return ["--config", str(run / "config.yaml"), *([] if "--run" in given else ["--run", str(run)]), *argv]


def _default_run(method: Method, data: BetonDataModule) -> Path:
    train = data.train if isinstance(data.train, str) else data.train[0]
    name = re.sub(r"[^\w.-]+", "_", Path(train).resolve().with_suffix("").name)
    stem = f"{type(method).__name__.lower()}-{name}-{datetime.now():%Y%m%d-%H%M%S}"
    free = (Path("runs", f"{stem}{f'-{i}' if i else ''}") for i in range(1000))
    return next(path for path in free if not path.exists())


def _settings(
    cli: Trainer, method: Method, data: BetonDataModule, checkpoint: dict | None, small: bool
) -> dict[str, Any]:
    """Arguments of the Trainer, with the length of the run; what was fitted is written into the config, too."""
    settings = cli.settings
    if (settings.get("max_steps") or -1) != -1:
        raise ConfigError(
            "--trainer.max_steps: runs are counted in epochs here; set --trainer.max_epochs instead, cut "
            "with --trainer.limit_train_batches where one is too long"
        )
    own = settings.get("callbacks") or []
    own = own if isinstance(own, list) else [own]
    kinds = tuple(type(callback) for callback in own)
    defaults = [make() for make in (Throughput, OnlineKNN, OnlineLinear) if make not in kinds]
    settings["callbacks"] = [*own, *defaults]
    done = epochs_done(checkpoint)
    if settings.get("max_epochs") is None and settings.get("fast_dev_run") in (None, False):
        world = pl.Trainer(**{**settings, "callbacks": None, "logger": False, "enable_progress_bar": False}).world_size
        length, why = fitted(method, data, settings, cli.config.minutes, world)
        say(why)
        found = {**length.settings, "max_epochs": done + length.epochs}
        settings.update(found)
        for key, value in found.items():
            cli.config.trainer[key] = value
    epochs = settings.get("max_epochs")
    if epochs is not None and epochs < 1:
        raise ConfigError(f"--trainer.max_epochs is {epochs}; set it to 1 or more, or leave it out for --minutes")
    if checkpoint and small:  # two steps after those that the checkpoint has behind it
        epochs = settings["max_epochs"] = done + 1
    if checkpoint and epochs is not None and epochs <= done:
        raise ConfigError(
            f"{cli.config.ckpt_path}: has {done} epochs behind it and --trainer.max_epochs is "
            f"{settings['max_epochs']}; set it higher to go on"
        )
    if settings.get("log_every_n_steps") is None:
        settings["log_every_n_steps"] = max(1, min(10, batches_of_epoch(data, settings)))
    return settings


def _resolved(cli: Trainer, data: BetonDataModule) -> tuple[str, dict[str, Any]]:
    """config.yaml as text and as plain values: all settings, with the view set, size and seed that are in force."""
    config = yaml.safe_load(cli.parser.dump(cli.config, skip_none=False, format="yaml"))
    config = {key: value for key, value in config.items() if key not in NOT_KEPT}
    views = config["data"]["views"] = data.view_set.to_dict()
    config["data"].update(size=views["size"], seed=data.seed, resume=True)
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True), config


@contextlib.contextmanager
def _place_errors(argv: list[str]) -> Iterator[None]:
    """Say which file and key a wrong name comes from; take the one cause out of what jsonargparse wraps around it."""
    try:
        yield
    except UnknownName as error:
        raise UnknownName(_placed(argv, str(error))) from error
    except MisconfigurationException as error:  # as Lightning's own options that do not go together
        raise ConfigError(f"trainer: {error}") from error
    except ValueError as error:
        causes = re.findall(r"^\s*- (?!Expected an? |Does not validate)(.+)$", str(error), re.M)
        if not causes or "Given value type" not in str(error):
            raise
        raise ConfigError(_placed(argv, causes[-1])) from error


def _placed(argv: list[str], sentence: str) -> str:
    name = re.search(r"named '([^']+)'", sentence)
    return (place_of_value(argv, name[1]) if name else "") + sentence


@contextlib.contextmanager
def _interrupted(run: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM say how to go on, and end as they should: Lightning would exit with code 1 and 0."""
    try:
        yield
    except SystemExit as stop:
        terminated = isinstance(stop, SIGTERMException)
        if not terminated and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        if (run / LAST).exists():
            print(f"\nto go on: massrl pretrain --ckpt_path {run / LAST}", file=sys.stderr)
        raise (SystemExit(128 + signal.SIGTERM) if terminated else KeyboardInterrupt()) from None
