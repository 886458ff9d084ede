"""What the commands that evaluate a checkpoint share: options, `--check`, and how the result is printed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from massrl.cli.ends import LABELLED, finish, required
from massrl.parsing.parser import Parser

if TYPE_CHECKING:
    from massrl.evaluation.accuracy import Accuracy
    from massrl.evaluation.classify.result import Classified

CHECK_IMAGES = 16
SHARED = ("layer", "branch", "leaks", "size", "seed", "batch_size", "num_workers", "cache_dir")
BATCH = "images at once, 256 unless said; changes the time only"
TRAINED = "images of a training step, of all processes together (default: the protocol's)"
TRAINING = ("semi", "finetune")  # commands that train a network from its output on
BATCHES = {"linear": f"{BATCH}; with --protocol: {TRAINED}", **dict.fromkeys(TRAINING, TRAINED)}


def parser(command: str, description: str) -> Parser:
    """A parser with the options that they share."""
    parser = Parser(prog=f"massrl {command}", description=description)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--train", type=str | list[str] | None, default=None, help=LABELLED)
    add("--test", type=str | list[str] | None, default=None, help="labelled images to measure on, likewise")
    if command not in TRAINING:
        add("--layer", type=str | None, default=None, help="as of massrl features (default: the encoder's output)")
    add("--branch", type=str | None, default=None, help="online or target network (default: as the method's authors)")
    if command not in TRAINING:
        words = "JSON of massrl data check TRAIN --against TEST: also the accuracy without the flagged test images"
        add("--leaks", type=str | None, default=None, help=words)
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of the pretraining)")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--seed", type=int, default=0, help="of all that is random: untrained weights, label subsets, heads, order")
    add("--batch_size", type=int | None, default=None, help=BATCHES.get(command, BATCH))
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")
    add("--check", action="store_true", help="the whole way on few images in a temporary folder; leaves nothing behind")
    return parser


def run(args, measure: Callable[..., Accuracy | Classified], **options) -> int:
    """Call `measure`, print its table, write its record."""
    from massrl.evaluation.options import check_options
    from massrl.runs.evaluations import keep
    from massrl.runs.folder import run_of
    from massrl.runs.quiet import is_first

    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        check_options(json=args.json, leaks=getattr(args, "leaks", None))
        required(args, "checkpoint", "train", "test")
        shared = {name: getattr(args, name) for name in SHARED if getattr(args, name, None) is not None}
        found = measure(args.checkpoint, args.train, args.test, **options, **shared)
        if not is_first():  # of several processes that train together
            return 0
        print(found)
        record = found.to_dict()
        finish(args, record)
        checkpoint = Path(args.checkpoint)
        run = run_of(checkpoint) if checkpoint.exists() and not args.check else None  # not of zoo:NAME
        if run is not None and (path := keep(run, record)):
            print(f"kept for massrl report: {path}")
        return 0


def _use_samples(args, temporary: Path) -> None:
    """Replace missing images and a missing checkpoint by generated ones; of existing folders take 16 images."""
    from data_loading import sources
    from massrl.cli.samples import few_steps, sample_folder

    cache = temporary / "cache"
    images = sample_folder(temporary)
    said = []
    for part in ("train", "test"):
        path, what = few_images(part, getattr(args, part), images, cache)
        setattr(args, part, path)
        said += [what] if what else []
    if args.train == args.test == str(images):  # equal sets are warned of, which would be noise here
        args.test = str(sources.as_beton(images, cache, "test", range(0, CHECK_IMAGES, 2), progress=False))
        said[-1] = f"test: {CHECK_IMAGES // 2} of them"
    args.checkpoint, lost = few_steps(args.checkpoint, temporary, images)
    said += lost
    args.leaks, args.cache_dir, args.json = None, str(cache), str(temporary / "record.json")
    print(f"check: {'; '.join(said) or 'as given'}", flush=True)


def few_images(part: str, path: str | list[str] | None, generated: Path, cache: Path) -> tuple[str | list[str], str]:
    """At most 16 images of `path`, or those of `generated` where it is not there; and in words which they are."""
    from data_loading import sources
    from massrl.cli.samples import is_there

    if path is None or not is_there(path):
        return str(generated), f"{part}: {CHECK_IMAGES} generated images{f' ({path} is not there)' if path else ''}"
    if not isinstance(path, str) or not Path(path).is_dir():
        return path, ""
    n = len(sources.open(path))
    rows = sorted({i * n // CHECK_IMAGES for i in range(CHECK_IMAGES)})
    return str(sources.as_beton(path, cache, "check", rows, progress=False)), f"{part}: {len(rows)} images of {path}"
