"""`massrl quickstart [FOLDER]`: pretrain without labels, then evaluate the encoder.

Without a folder: scikit-learn's handwritten digits, MASSRL beside SimCLR. With a folder: MASSRL on its images.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError
from data_loading.kernel.rng import checked_seed
from massrl.evaluation.options import check_options
from massrl.parsing.parser import Parser

METHODS = {"massrl": "MASSRL", "simclr": "SimCLR"}
REPLACED = ("data", *METHODS, "figures", "metrics.json", "evaluation.json", "report.html")  # by the next quickstart
SMALL_SIZE = 64  # side of the views on a CPU, in pixels
TEST_FRACTION, HELD_OUT = 0.2, 0.1  # of a folder with classes, and of one without
MIN_IMAGES = 10
MARK = ".quickstart"  # a file in every folder that a quickstart may clear
CHECKED = 16  # images of a folder that --check takes


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    checked_seed(args.seed, "--seed")
    check_options(num_workers=args.num_workers, size=args.size, draws=args.draws)
    if args.draws < 1 or not 0 < args.minutes < float("inf"):
        raise ConfigError(
            f"--draws is {args.draws} and --minutes {args.minutes:g}; draws must be 1 or more, minutes a number above 0"
        )
    if args.check:
        return _check(args)
    run = Path(args.run or ("runs/quickstart" if args.folder is None else f"runs/quickstart-{_name(args.folder)}"))
    if args.folder is None:
        _digits(run, args)
    else:
        _folder(run, Path(args.folder), args)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="massrl quickstart",
        description="Pretrain an encoder without labels and say what it is worth: on scikit-learn's handwritten digits "
        "(no download, less than 5 minutes on 2 cores), or on a folder of images of yours.",
    )
    add = parser.add_argument
    add("folder", nargs="?", help="images: class folders, or flat without labels (default: digits)")
    add("--run", type=str | None, default=None, help="where results go (default: runs/quickstart[-FOLDER])")
    add("--minutes", type=float, default=4.0, help="how long to pretrain on a folder")
    add("--size", type=int | None, default=None, help="side in pixels of the views of a folder's images")
    add("--num_workers", type=int, default=1, help="loader threads")
    add("--draws", type=int, default=20, help="random label subsets, for the small label sets")
    add("--seed", type=int, default=0, help="of weights, order, views, split and label subsets")
    add("--skip-bad", action="store_true", help="leave out images that do not decode, and count them")
    add("--check", action="store_true", help="two steps on few images in a temporary folder; leaves nothing behind")
    return parser


def _name(folder: str) -> str:
    return Path(folder).resolve().name[:48]  # in the name of the run folder, which may have 255 bytes


class Clock(dict):
    """Seconds spent by name."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self[name] = round(self.get(name, 0.0) + time.perf_counter() - start, 2)


def _digits(run: Path, args, **steps: Any) -> None:
    """Digits: write, pretrain with both methods, evaluate, print the table, write the report."""
    from massrl.evaluation.knn import KNN

    _clear(run)
    seconds = Clock()
    with seconds.of("write"):
        train, test = (_write_digits(run / "data" / f"{part}.beton", part) for part in ("train", "test"))
    for method in METHODS:
        print(f"\n{METHODS[method]}: pretraining on the training images, without labels", flush=True)
        with seconds.of(method):
            _pretrain(run / method, train, args, f"digits/{method}", **steps)
    split = "digits: rows 0-1436 train, last 360 test"
    _accuracies(run, METHODS, train, test, seconds, args, KNN(k=5, tau=0.1), split, run / "data")


def _write_digits(path: Path, split: str) -> Path:
    from data_loading import DatasetWriter
    from data_loading.sources import open as open_source

    source = open_source("digits", split=split)
    path.parent.mkdir(parents=True, exist_ok=True)
    DatasetWriter(path, source.fields()).from_indexed_dataset(source, progress=False)
    print(f"wrote {path}: {len(source)} images")
    return path


def _folder(run: Path, folder: Path, args, cache: Path = Path("runs/.cache"), **steps: Any) -> None:
    """A folder: write it to the cache in two parts, pretrain MASSRL, and say what can be said."""
    from data_loading import sources
    from data_loading.errors import SourceError

    source = sources.open(folder)
    classes = len(source.classes or [])
    fraction = TEST_FRACTION if classes > 1 else HELD_OUT
    if len(source) < MIN_IMAGES:
        raise SourceError(f"{folder}: {len(source)} images are too few to pretrain on; give at least {MIN_IMAGES}")
    parts = sources.split_indices(source.labels if classes > 1 else len(source), fraction, args.seed, source.classes)
    if args.check:
        parts = tuple(rows[:: -(-len(rows) // CHECKED)] for rows in parts)
    seconds = Clock()
    with seconds.of("write"):
        train, test = (
            sources.as_beton(
                folder, cache, subset=f"{name}-{fraction}-{args.seed}", indices=rows, skip_bad=args.skip_bad
            )
            for name, rows in zip(("train", "test"), parts, strict=True)
        )
    config, fitting = _fitting(train, args.size)
    _clear(run)  # only now: the folder is whole, so an error in it costs no earlier results
    print(f"\nMASSRL: pretraining on {_length(train)} images of {folder}, without labels", flush=True)
    with seconds.of("massrl"):
        _pretrain(run / "massrl", train, args, config, minutes=args.minutes, **{**fitting, **steps})
    split = f"{folder.name}: {fraction:.0%} held out at random, seed {args.seed}"
    if classes > 1:
        _accuracies(run, {"massrl": "MASSRL"}, train, test, seconds, args, None, split, cache)
    else:
        _label_free(run, train, test, seconds, args, split, cache)


def _length(path: Path) -> int:
    from data_loading.beton.reader import Reader

    with Reader(path) as reader:
        return len(reader)


def _fitting(train: Path, size: int | None) -> tuple[str, dict[str, int]]:
    """The recipe for this machine: a small network on small views without a GPU, a ResNet-18 with one."""
    import numpy as np
    import torch

    from data_loading.beton.reader import Reader

    large = torch.cuda.is_available()
    with Reader(train) as reader:
        table, n = reader.image_table(), len(reader)
        shorter = int(np.median(np.minimum(table.height, table.width)))
    side = min(224 if large else SMALL_SIZE, max(shorter, 8)) if size is None else size
    where = "a GPU was found" if large else "no GPU was found"
    print(f"{where}: {'ResNet-18' if large else 'a small ResNet'} on views of {side} x {side} pixels")
    batch = min(256 if large else 64, max(2, n // 2))
    return f"folder/massrl_{'gpu' if large else 'cpu'}", {"size": side, "batch_size": batch}


def _pretrain(run: Path, train: Path, args, config: str, **options: Any) -> None:
    from massrl.training.pretrain import pretrain

    # One device: Lightning would start this whole command again for each further GPU.
    options = {"num_workers": args.num_workers, "devices": 1, **options}
    pretrain(train, config=config, out=run, seed=args.seed, report=False, **options)


def _accuracies(
    run: Path, methods: dict[str, str], train: Path, test: Path, seconds: Clock, args, knn, split: str, cache: Path
):
    from massrl.evaluation.evaluate import accuracies
    from massrl.evaluation.table import format_table
    from massrl.report import figures
    from massrl.runs.folder import Run

    print("\nevaluating frozen features ...", flush=True)
    with seconds.of("evaluate"):
        checkpoints = {name: Run(run / name).checkpoint for name in methods}
        options = {"seed": args.seed, "num_workers": args.num_workers, "cache_dir": cache}
        found = accuracies(checkpoints, train, test, knn=knn, draws=args.draws, **options)
        figures.draw(run, found.rows.features, train, test, list(methods))
    print(f"\n{format_table(found.result, methods)}")
    _finish(run, found.result, seconds, checkpoints, train, test, split, args)


def _label_free(run: Path, train: Path, test: Path, seconds: Clock, args, split: str, cache: Path) -> None:
    from data_loading.views import view_sets
    from massrl.evaluation.evaluate import label_free
    from massrl.report import figures
    from massrl.runs.checkpoint import Checkpoint
    from massrl.runs.folder import Run

    print("\nno labels, so there is no accuracy; measuring rank and alignment ...", flush=True)
    checkpoint = Run(run / "massrl").checkpoint
    with seconds.of("evaluate"):
        view_set = view_sets.get(Checkpoint.read(checkpoint).data()["view_set"])
        options = {"seed": args.seed, "num_workers": args.num_workers, "cache_dir": cache}
        evaluated = label_free("massrl", checkpoint, train, test, view_set, **options)
        figures.draw(run, evaluated.rows.features, train, test, ["massrl"])
    found, untrained = evaluated.result, evaluated.result["untrained"]
    print(
        f"\n{'':24}{'MASSRL':>10}{'untrained network':>20}\n"
        f"{'rank of features':24}{found['rank']:10.1f}{untrained['rank']:20.1f}   (more directions: better)\n"
        f"{'alignment of views':24}{found['alignment']:10.3f}{untrained['alignment']:20.3f}   (nearer: better)"
    )
    _finish(run, found, seconds, {"massrl": checkpoint}, train, test, split, args)


def _finish(
    run: Path, result: dict, seconds: Clock, checkpoints: dict, train: Path, test: Path, split: str, args
) -> None:
    from data_loading.beton.reader import Reader
    from massrl.report import build
    from massrl.runs.folder import save_metrics
    from massrl.runs.record import file_sha256

    hashes = {"checkpoint_sha256": {name: file_sha256(path) for name, path in checkpoints.items()}}
    for name, path in (("train", train), ("test", test)):
        with Reader(path) as reader:
            hashes[f"{name}_sha256"] = reader.sha256()
    result = {**result, "seconds": dict(seconds)}
    save_metrics(run, result, **hashes, split=split, seed=args.seed, draws=args.draws)
    print(f"\nseconds: {', '.join(f'{name} {value:.1f}' for name, value in seconds.items())}")
    print(f"report: {build(run)}\nencoder: {checkpoints['massrl']}")


def _clear(run: Path) -> None:
    """Take away what an earlier quickstart left in the run folder; refuse a folder that none has marked as its own."""
    if run.exists() and not (run / MARK).exists() and (not run.is_dir() or any(run.iterdir())):
        raise ConfigError(f"--run {run} is not empty and not the folder of a quickstart; name another")
    for name in REPLACED:
        old = run / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    (run / MARK).touch()


def _check(args) -> int:
    """`--check`: two steps of each pretraining, on at most 16 images a split, in a temporary folder."""
    from massrl.cli.samples import sample_folder

    steps = {"max_epochs": 1, "limit_train_batches": 2, "batch_size": 4}
    with tempfile.TemporaryDirectory() as temporary:
        args.draws, run = 2, Path(temporary) / "run"
        if args.folder is None:
            _digits(run, args, **steps)
        else:
            folder = Path(args.folder)
            if not folder.exists():
                print(f"{folder} is not there: 16 generated images are used instead")
                folder = sample_folder(Path(temporary))
            _folder(run, folder, args, Path(temporary) / "cache", **steps)
    print("check passed: nothing was kept")
    return 0
