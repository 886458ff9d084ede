"""Wrong usages of every command, made from the options of its own parser, and how each ends.

A usage is a valid one of a command, on 16 generated images, in which one option or position is set to something odd. It
has to end with exit code 2 and one line on stderr, or to be accepted; an accepted training ends after its first step.
"""

import contextlib
import dataclasses
import io
import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from data_loading.config.described import argument_names
from data_loading.config.lightning_package import pl
from massrl.cli.main import COMMANDS, main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.dense.shapes import write_scenes
from massrl.methods import METHODS, Method
from massrl.optim import OptimConfig
from massrl.parsing.parser import Parser

LIMIT = 30  # seconds of a usage
MEMORY = 8 * 2**30  # bytes of addresses that a usage may ask for, beside what the process has
FILES = {"binary.yaml": b"\xff\xfe\x00\x81data", "list.yaml": b"[1, 2]", "twice.yaml": b"seed: 1\nseed: 2"}
WIDE = "100000"
NUMBERS = ("0", "-1", "1.5", "1e999", WIDE, str(10**9), str(10**12), str(2**70), "nan", "inf")
WORDS = ("", " ", "word", "null", "true", "a\0b", "a\nb", "{", "[1, 2", "[]", "{}", "{a: {b: [1]}}")
VALUES = (*NUMBERS, *WORDS, "nowhere/none.yaml", "folder", *FILES)
NO_FILES = ("", " ", "a\0b", "a\nb", "folder", "images/none/", "binary.yaml/below", "a" * 300)
WRITTEN = ("json", "out", "chart", "picture", "report")  # files to write, for which any name would do
LEFT_OUT = ("help", "check", "print_config")  # print help, or replace what is given
PRETRAIN = {
    "data.train": "images",
    "model": "SimCLR",
    "model.backbone": "tiny_resnet",
    "model.backbone_args": "{width: 4}",
    "data.size": "16",
    "data.batch_size": "4",
    "data.num_workers": "0",
    "trainer.max_epochs": "1",
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
    "run": "new",
}
CHECKPOINT = {"checkpoint": "run", "num_workers": "0"}
LABELLED = {**CHECKPOINT, "train": "images", "test": "test.beton"}
TRAINED = {**LABELLED, "epochs": "1", "accelerator": "cpu"}
SCENES = {
    **CHECKPOINT,
    "train": "scenes/images",
    "test": "scenes/images",
    "size": "64",
    "steps": "1",
    "batch_size": "2",
}
SCENES |= {"accelerator": "cpu", "devices": "1"}
# Words of a command -> its positions and options in a valid usage; actions of `data` and `bench` are added to these.
VALID: dict[tuple[str, ...], tuple[list[str], dict[str, str]]] = {
    ("quickstart",): (["images"], {"run": "new", "draws": "1", "minutes": "0.01"}),
    ("pretrain",): ([], PRETRAIN),
    ("plan",): ([], {**PRETRAIN, "seconds": "0.1"}),
    ("knn",): ([], {**LABELLED, "k": "2"}),
    ("linear",): ([], {**LABELLED, "draws": "1"}),
    ("compare",): (["run"], {"train": "images", "test": "test.beton", "draws": "1", "k": "2", "num_workers": "0"}),
    ("features",): ([], {**CHECKPOINT, "data": "images"}),
    ("embed",): (["images"], {**CHECKPOINT, "out": "new.npz"}),
    ("neighbours",): (["images/discs/00.jpg"], {**CHECKPOINT, "among": "images", "out": "new.png"}),
    ("export",): (["run"], {"to": "safetensors", "out": "new.safetensors"}),
    ("runs",): (["run"], {}),
    ("weights",): (["run"], {"backbone": "tiny_resnet"}),
    ("detect",): ([], {**SCENES, "train_json": "scenes/instances.json", "test_json": "scenes/instances.json"}),
    ("segment",): ([], {**SCENES, "train_masks": "scenes/masks", "test_masks": "scenes/masks", "untrained": "false"}),
    ("measure",): ([], {**CHECKPOINT, "data": "images", "lidar_images": "4", "lidar_views": "2"}),
    ("semi",): ([], {**TRAINED, "draws": "1", "labels": "0.5"}),
    ("finetune",): ([], TRAINED),
    ("transfer",): ([], {**CHECKPOINT, "sets": "sets.yaml"}),
    ("list",): (["methods"], {}),
    ("report",): (["run"], {}),
    ("data", "write"): (["images", "new.beton"], {"num_workers": "1"}),
    ("data", "merge"): (["new.beton", "test.beton"], {}),
    ("data", "verify"): (["test.beton"], {}),
    ("data", "check"): (["images"], {"out": "new.html", "num_workers": "1"}),
    ("data", "info"): (["test.beton"], {}),
    ("data", "show"): (["test.beton"], {"out": "new.png", "size": "16"}),
    ("data", "replay"): (["test.beton"], {"config": "run/config.yaml", "out": "new.png"}),
    ("data", "bench"): (["test.beton"], {"works": "simclr", "peers": "massrl", "rounds": "1", "seconds": "0.01"}),
    ("data", "doctor"): (["test.beton"], {"workers": "1", "batch_size": "4", "images": "4"}),
    ("bench", "conformance"): ([], {"seeds": "1", "check": "true"}),
    ("bench", "methods"): ([], {"methods": "SimCLR", "check": "true"}),
    ("bench", "strategies"): (["nowhere.npz"], {}),
    ("bench", "probes"): ([], {"check": "true"}),
}


@dataclass(frozen=True)
class Usage:
    """A valid usage, except that the option or position `name` has `value`."""

    command: tuple[str, ...]
    name: str
    value: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"massrl {' '.join(self.command)} {self.name} = {self.value!r}"


@dataclass(frozen=True)
class End:
    """How a usage has ended: `fault` says what is wrong with that, "" where nothing is."""

    code: int | None
    line: str
    seconds: float
    fault: str = ""


class Known(Exception):
    """Raised in place of what a command does, once its parser is known."""


class Accepted(Exception):
    """Raised after the first step of a training."""


class Hangs(BaseException):
    """Raised by the alarm."""


def parser_of(words: tuple[str, ...]) -> Parser:
    """The parser of `massrl WORDS`."""
    found: list[Parser] = []

    def stop(self, *args, **kwargs):
        if not self.exit_on_error:  # one within a parser
            return read(self, *args, **kwargs)
        found.append(self)
        raise Known

    read = Parser.parse_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", stop)
        with contextlib.suppress(Known):
            import_module(COMMANDS[words[0]][0]).main([*words[1:]])
    return found[0]


def usages_of_methods() -> Iterator[Usage]:
    """Each argument of each method of its own, and each setting of the optimiser, with each of VALUES."""
    common = argument_names(Method)
    for method, kind in METHODS.items():
        own = [name for name in argument_names(kind) if name not in common]
        for name in [*own, *(f"optim.{field.name}" for field in dataclasses.fields(OptimConfig) if method == "SimCLR")]:
            for value in VALUES:
                if value == WIDE:  # a width of this is allowed, and takes minutes
                    continue
                given = {**PRETRAIN, "model": method, f"model.{name}": value}
                yield Usage(("pretrain",), f"{method} {name}", value, ("pretrain", *words_of(given)))


def usage(command: tuple[str, ...], name: str = "nothing", value: str = "") -> Usage:
    """The valid usage of a command; with an option `name` of this value."""
    positions, options = VALID[command]
    given = options if name == "nothing" else {**options, name: value}
    return Usage(command, name, value, (*command, *words_of(given), *(["--", *positions] if positions else [])))


def words_of(options: Mapping[str, str]) -> list[str]:
    """The options of a command line."""
    return [f"--{option}" if option == "check" else f"--{option}={value}" for option, value in options.items()]


def usages() -> Iterator[Usage]:
    """Each option and position of each command with each of VALUES, and each argument of each method."""
    yield from usages_of_methods()
    for command, (positions, options) in VALID.items():
        actions = [
            action for action in parser_of(command)._actions if action.dest not in LEFT_OUT and action.nargs != 0
        ]
        names = [action.dest for action in actions if not action.option_strings]
        for action in actions:
            for value in VALUES if action.dest not in WRITTEN or command == ("pretrain",) else NO_FILES:
                name = (action.option_strings or [action.dest])[-1]
                if (name, value) == ("--peers", "null"):  # every peer, which takes a minute
                    continue
                given = {**options, name.removeprefix("--"): value} if action.option_strings else options
                where = [value if other == action.dest else word for other, word in zip(names, positions, strict=False)]
                words = words_of(given)
                yield Usage(command, name, value, (*command, *words, "--", *where) if where else (*command, *words))


def material(folder: Path) -> None:
    """What the usages are about: 16 images, a run on them, and odd files, in the current folder."""
    images = sample_folder(folder).rename(folder / "images")
    main(["data", "write", "images", "test.beton"])
    sample_checkpoint(folder, images)
    (folder / "sample_run").rename(folder / "run")
    shutil.rmtree(folder / "cache")
    write_scenes(folder / "scenes", 4, seed=0)
    (folder / "folder").mkdir()
    (folder / "sets.yaml").write_text("a: {train: images, test: images}")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def listing(folder: Path) -> Mapping[Path, int]:
    """The files and folders below a folder, except those of the cache, with their times of change."""
    found = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if ".cache" not in path.parts}
    return {path: time for path, time in found.items() if path.name != "runs"}


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Stop what takes too long or too much memory, and each training after its first step."""

    def ring(*_):
        raise Hangs

    def step(*_, **__):
        raise Accepted

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    loop = pl.loops.training_epoch_loop._TrainingEpochLoop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "on_advance_end", step)
        earlier = signal.signal(signal.SIGALRM, ring)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
        signal.alarm(LIMIT)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, earlier)
            resource.setrlimit(resource.RLIMIT_AS, before)


def end_of(usage: Usage, folder: Path) -> End:
    """Run a usage in the current folder `folder`, and put that right again."""
    before = listing(folder)
    out, said = io.StringIO(), io.StringIO()
    code: int | None = None
    fault = ""
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said), warnings.catch_warnings(), bounded():
            warnings.simplefilter("default")  # else those of Lightning would be errors here, which they are not
            code = main(list(usage.argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except Accepted:
        code = 0
    except Hangs:
        fault = f"takes more than {LIMIT} s"
    except Exception as error:
        fault = f"traceback: {''.join(traceback.format_exception(error)[-3:])}"
    seconds = time.perf_counter() - began
    lines = said.getvalue().strip().splitlines()
    reported = usage.command == ("data", "verify") and " fault" in out.getvalue()  # what it found is no error
    if not fault and code == 2 and not reported and (len(lines) != 1 or ": error: " not in lines[0]):
        fault = f"{len(lines)} lines on stderr"
    if not fault and code not in (0, 2):
        fault = f"exit code {code}"
    changed = tidied(folder, before)
    if not fault and code == 2 and changed:
        fault = f"leaves or changes {', '.join(changed[:3])}"
    return End(code, "\n".join(lines), seconds, fault)


def tidied(folder: Path, before: Mapping[Path, int]) -> list[str]:
    """Put the folder right again; returns what was made or changed in it."""
    new = [path for path in listing(folder) if path not in before]
    for path in new:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    changed = [name for name, content in FILES.items() if (folder / name).read_bytes() != content]
    for name in changed:
        (folder / name).write_bytes(FILES[name])
    return [*(str(path.relative_to(folder)) for path in new), *changed]
