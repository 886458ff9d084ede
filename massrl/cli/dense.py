"""What `massrl detect` and `massrl segment` share: options, `--check`, and how the result is printed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_loading.errors import ConfigError
from massrl.cli.ends import finish, required
from massrl.parsing.parser import Parser

if TYPE_CHECKING:
    from massrl.dense.result import Dense

# Of --check: two steps of two images at a small size, in this process.
QUICK = {"steps": 2, "batch_size": 2, "size": 64, "num_workers": 0, "accelerator": "cpu", "devices": "1"}
NETWORK = {"stages": 2}  # of the tiny ResNet: a pyramid needs two maps
SHARED = ("branch", "settings", "steps", "batch_size", "lr", "size", "seed", "num_workers")
MACHINE = ("accelerator", "num_nodes", "strategy", "precision")


def parser(command: str, description: str, labels: str, what: str) -> Parser:
    """A parser with the options of both commands. labels: "json" or "masks", and in words `what` they are."""
    parser = Parser(prog=f"massrl {command}", description=description)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--train", type=str | None, default=None, help="folder of the training images")
    add(f"--train_{labels}", type=str | None, default=None, help=what)
    add("--test", type=str | None, default=None, help="folder of the images to measure on")
    add(f"--test_{labels}", type=str | None, default=None, help=what)
    add("--branch", type=str | None, default=None, help="online or target network (default: as the method's authors)")
    add("--steps", type=int | None, default=None, help="optimiser steps (default: those of the settings)")
    add("--batch_size", type=int | None, default=None, help="images of a step over all processes; lr is scaled with it")
    add("--lr", type=float | None, default=None, help="learning rate (default: the settings', scaled)")
    add("--seed", type=int, default=0, help="of new weights, order and augmentation, and the untrained weights")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--num_workers", type=int, default=2, help="processes that read images")
    add("--accelerator", type=str, default="auto", help="of Lightning's Trainer, as the next four")
    add("--devices", type=str, default="auto", help="how many, or which: 2, or 0,3")
    add("--num_nodes", type=int, default=1, help="machines")
    add("--strategy", type=str, default="auto", help="for example ddp")
    add("--precision", type=str, default="32-true", help="for example bf16-mixed")
    add(
        "--check",
        action="store_true",
        help="two steps, on generated images where none are given; leaves nothing behind",
    )
    return parser


def run(args: Any, measure: Callable[..., Dense], labels: str, **options: Any) -> int:
    """Call `measure`, print its table, write its record."""
    from massrl.evaluation.options import check_options

    inputs = ("train", f"train_{labels}", "test", f"test_{labels}")
    with ExitStack() as stack:
        if args.check:
            _use_samples(args, labels, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        check_options(json=args.json)
        required(args, "checkpoint", *inputs)
        shared = {name: getattr(args, name) for name in (*SHARED, *MACHINE)}
        found = measure(
            args.checkpoint,
            *(getattr(args, name) for name in inputs),
            **{**shared, **options},
            devices=devices(args.devices),
            progress=not args.check,
        )
        if not _is_first():
            return 0
        print(found)
        return finish(args, found.to_dict())


def devices(word: str) -> int | str | list[int]:
    """What Lightning's Trainer takes as devices: "auto", a number, or a list of them."""
    if word == "auto":
        return word
    try:
        numbers = [int(part) for part in word.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise ConfigError(f"--devices is {word!r}; give auto, a number, or a list as 0,3")
    return numbers if "," in word else numbers[0]


def _use_samples(args: Any, labels: str, temporary: Path) -> None:
    """Replace missing data and a missing checkpoint by generated ones, and train two steps at a small size."""
    from massrl.cli.samples import few_steps
    from massrl.dense.shapes import write_scenes

    said = []
    scenes = write_scenes(temporary / "scenes", 4, seed=0)
    target = scenes / ("instances.json" if labels == "json" else "masks")
    for part in ("train", "test"):
        given = [getattr(args, part), getattr(args, f"{part}_{labels}")]
        if not all(path and Path(path).exists() for path in given):
            setattr(args, part, str(scenes / "images"))
            setattr(args, f"{part}_{labels}", str(target))
            lost = [path for path in given if path and not Path(path).exists()]
            said.append(f"{part}: 4 generated images{f' ({lost[0]} is not there)' if lost else ''}")
    args.checkpoint, lost = few_steps(args.checkpoint, temporary, scenes / "images", **NETWORK)
    said += lost
    for name, value in QUICK.items():
        setattr(args, name, value)
    args.json = str(temporary / "record.json")
    print(f"check: {'; '.join([*said, '2 steps at 64 pixels'])}", flush=True)


def _is_first() -> bool:
    """Whether this process is rank 0: the others that Lightning started run the same command."""
    from data_loading.config.lightning_package import pl

    return getattr(pl.utilities.rank_zero_only, "rank", 0) == 0
