"""Settings: a command line, a file or keywords of a Python call become a method, its data and arguments of a Trainer.

All three go through one parser, so that a wrong name, type or value is answered by the same line wherever it was given.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UnknownName, UserError
from data_loading.kernel.rng import checked_seed
from data_loading.loading.datamodule import BetonDataModule
from data_loading.views import growing, view_sets
from massrl import backbones
from massrl.methods import Method
from massrl.parsing.messages import load_class
from massrl.parsing.parser import Parser
from massrl.parsing.places import Keywords, place_of_value
from massrl.runs.checkpoint import plain
from massrl.runs.checkpoint_files import begun_in
from massrl.runs.trainer import as_launched, trainer_errors
from massrl.training.loggers import chosen

if TYPE_CHECKING:
    from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
else:
    cli = import_module(f"{pl.__name__}.cli")
    LightningArgumentParser, LightningCLI = cli.LightningArgumentParser, cli.LightningCLI

SMALL = 64  # pixels: up to here a ResNet gets the CIFAR stem
ONE_START = (
    "config",
    "run",
    "resume",
    "ckpt_path",
    "check",
    "skip_bad",
)  # options of one start, not settings of the run
OBJECTS = ("callbacks", "logger", "plugins", "profiler", "strategy")  # of the Trainer, which may be given as objects
say = pl.utilities.rank_zero_only(print)


class PretrainParser(Parser, LightningArgumentParser):
    """The options of `massrl pretrain`."""


class Settings(LightningCLI):
    """The settings of a pretraining, and what is made of them.

    method: a Method.  data: a BetonDataModule.  trainer_args: of Lightning's Trainer, which is made later.
    config: all settings, as jsonargparse holds them.

    Args:
        given: the words of a command line, or settings in the form of a config file: {"model": {"class_path": ...,
            "init_args": {...}}, "data": {...}, "trainer": {...}, "run": ..., ...}.
        method: a Method object, in place of `model`.
        keywords: of a Python call: which one set an option, for errors.
        adjust: called with the parsed config before anything is made of it.
    """

    PROG = "massrl pretrain"
    DESCRIPTION = "Train an encoder without labels. Without --model: MASSRL with a ResNet-18."

    def __init__(
        self,
        given: list[str] | dict[str, Any],
        method: Method | None = None,
        keywords: Keywords | None = None,
        adjust: Callable[[Any], None] | None = None,
    ):
        self.words: list[str] | Keywords = (keywords or Keywords()) if isinstance(given, dict) else given
        self._given_method, self._adjust = method, adjust
        self._objects: dict[str, Any] = {}
        if isinstance(given, dict):
            given = self._without_objects(given)
        super().__init__(
            Method,
            BetonDataModule,
            subclass_mode_model=True,
            run=False,
            args=given,
            parser_class=PretrainParser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint names its method and arguments itself
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "use_distributed_sampler": False},
            parser_kwargs={"prog": self.PROG, "description": self.DESCRIPTION},
        )
        self.method = self.model if method is None else method
        self.data = self.datamodule

    def _without_objects(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given` without the Trainer's arguments that are objects, which no parser and no config.yaml can hold."""
        trainer = dict(given.get("trainer") or {})
        for name in OBJECTS:
            value = trainer.get(name)
            if value is not None and not _is_plain(value):
                self._objects[name] = trainer.pop(name)
        return {**given, "trainer": trainer}

    def parse_arguments(self, parser: Any, args: Any) -> None:
        if isinstance(self.words, Keywords):
            self.config = parser.parse_settings(args, self.words)
        else:
            self.config = parser.parse_args(args)  # Lightning's own warns where sys.argv differs
        self._check_start()

    def _check_start(self) -> None:
        """Refuse what LightningCLI would answer with a traceback, and what would have no effect."""
        seed = self.config.seed_everything
        if seed is not None and not isinstance(seed, bool):
            checked_seed(seed, "--seed_everything")
        chosen(self.config.logger)
        if self.config.trainer.default_root_dir is not None:
            raise ConfigError("--trainer.default_root_dir has no effect; --run names the folder of results")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        keep_integers(parser)
        parser.set_defaults({"model": {"class_path": "MASSRL", "init_args": {"backbone": "resnet18"}}})
        add = parser.add_argument
        add("--run", type=str | None, default=None, help="folder of results (default: runs/METHOD-DATA-TIME)")
        add("--ckpt_path", type=str | None, default=None, help="continue from this checkpoint, with its run's settings")
        add(
            "--resume",
            type=str,
            default="auto",
            help="auto: a named --run that has begun goes on where it is; never: a folder in use is refused",
        )
        add(
            "--save_minutes",
            type=float,
            default=10.0,
            help="minutes between checkpoints; 0: at the ends of epochs alone",
        )
        add("--on_nan", type=str, default="stop", help="stop at numbers that are not finite, or skip their step")
        add(
            "--global_batch",
            type=int | None,
            default=None,
            help="images of an optimiser step, of all processes: with --data.batch_size it sets the accumulation",
        )
        add("--minutes", type=float, default=4.0, help="fit the length to this where no --trainer.max_epochs is set")
        add("--skip-bad", action="store_true", help="short for --data.skip_bad true")
        add(
            "--logger",
            type=str | list[str],
            default="csv",
            help="csv (RUN/metrics.csv, which is written always), wandb or tensorboard, or a list of them",
        )
        add("--report", type=bool, default=True, help="write report.html at the end")
        add("--export", type=bool, default=True, help="write export/ at the end: the encoder, for timm or load_encoder")
        add(
            "--check", action="store_true", help="two steps on little data in a temporary folder; leaves nothing behind"
        )

    def before_instantiate_classes(self) -> None:
        if self.config.skip_bad:
            self.config.data.skip_bad = True
        if self._given_method is None:
            small_stem(self.config)
        for name, value in as_launched(self.config.trainer).items():
            self.config.trainer[name] = value
        if self._adjust:
            self._adjust(self.config)

    def instantiate_classes(self) -> None:
        config = copy.copy(self.config)
        if self._given_method is not None:
            config["model"] = None
        # A continued run has its weights in the checkpoint; the file that they first came from may be gone.
        with backbones.without_weights() if self._continues() else contextlib.nullcontext():
            self.config_init = self.parser.instantiate_classes(config)
        self.datamodule, self.model = self.config_init["data"], self.config_init["model"]
        self.trainer_args = {**dict(self.config_init["trainer"]), **self._objects}

    def _continues(self) -> bool:
        """Whether the run goes on from a checkpoint, a given one or that of its own folder."""
        own = self.config.resume == "auto" and self.config.run and begun_in(Path(self.config.run))
        return bool(self.config.ckpt_path or own)

    def resolved(self) -> tuple[str, dict[str, Any]]:
        """config.yaml as text and as plain values: all settings, with the view set, size and seed that are in force."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False, format="yaml"))
        config = {key: value for key, value in config.items() if key not in ONE_START}
        if self._given_method is not None:
            kind = type(self.method)
            class_path = f"{kind.__module__}.{kind.__qualname__}"
            config["model"] = {"class_path": class_path, "init_args": plain(self.method.init_args)}
        views = config["data"]["views"] = self.data.view_set.to_dict()
        size = self.data.size if isinstance(self.data.size, dict) else views["size"]
        config["data"].update(size=size, seed=self.data.seed, resume=True)
        return yaml.safe_dump(config, sort_keys=False, allow_unicode=True), config


def keep_integers(parser: LightningArgumentParser) -> None:
    """Let `--trainer.limit_train_batches 1` be one batch: Lightning takes 1.0, which jsonargparse makes of it, for all.

    Its types are Union[float, int], of which jsonargparse takes the first that fits; here integers come first.
    """
    for action in parser._actions:
        kinds = get_args(getattr(action, "_typehint", None))
        if action.dest.startswith("trainer.") and {int, float} <= set(kinds):
            rest = [kind for kind in kinds if kind not in (int, float)]
            kind = functools.reduce(operator.or_, rest, int | float)  # Union[int, float] would be the cached one
            setattr(action, "_typehint", kind)  # noqa: B010  # jsonargparse's own attribute, which Action has not


def _is_plain(value: Any) -> bool:
    """Whether a config file could hold it."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def small_stem(config: Any) -> None:
    """Set stem: cifar for a ResNet on small views, where nothing was said of the stem; says so."""
    args = config.model.init_args
    name, given = args.get("backbone"), dict(args.get("backbone_args") or {})
    if not isinstance(name, str) or name in backbones.BACKBONES or "stem" in given:
        return
    size = _global_size(config)
    if 0 < size <= SMALL and backbones.takes_small_stem(name):
        if given.get("pretrained"):
            say(f"views of {size} px: the stem of {name} stays imagenet, as its pretrained weights have it")
            return
        args.backbone_args = {**given, "stem": "cifar"}
        what = "3 x 3, stride 1, no max-pool; --model.backbone_args.stem imagenet sets the other"
        say(f"views of {size} px: the stem of {name} is cifar ({what})")


def _global_size(config: Any) -> int:
    which, size = config.data.views, growing.last(config.data.size)
    if size is not None:
        return size
    if which is None:
        kind: Any = load_class(config.model.class_path) or Method
        which = kind.views_for(**config.model.init_args.as_dict())
    return view_sets.get(which).size


@contextlib.contextmanager
def errors_placed(words: list[str] | Keywords) -> Iterator[None]:
    """Say which file, option or keyword a wrong name comes from; in a Python call, name options by their keywords."""
    try:
        with _one_cause(words), trainer_errors():
            yield
    except UserError as error:
        if not isinstance(words, Keywords):
            raise
        raise type(error)(re.sub(r"--([A-Za-z_]+(?:\.[A-Za-z_]+)*)", _keyword, str(error))) from error


def _keyword(option: re.Match[str]) -> str:
    """The keyword of an option that an error names: --data.batch_size -> batch_size."""
    return {"run": "out", "model": "method"}.get(option[1], option[1].rpartition(".")[2])


@contextlib.contextmanager
def _one_cause(words: list[str] | Keywords) -> Iterator[None]:
    """Of what jsonargparse and Lightning wrap around an error, keep the one cause and where it comes from."""
    try:
        yield
    except UnknownName as error:
        raise UnknownName(_placed(words, str(error))) from error
    except ValueError as error:
        # A line that ends in a colon is told by the next one.
        causes = re.findall(r"^\s*- (?!Expected an? |Does not validate)(.+:\n.+|.+)$", str(error), re.M)
        if not causes or "Given value type" not in str(error):
            raise
        raise ConfigError(_placed(words, " ".join(causes[-1].split()))) from error


def _placed(words: list[str] | Keywords, line: str) -> str:
    name = re.search(r"named '([^']+)'", line)
    return (place_of_value(words, name[1]) if name else "") + line
