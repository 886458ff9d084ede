"""`massrl bench`: losses beside equations, methods on digits, strategies against one another, probes in one pass."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from data_loading.errors import ConfigError, near_miss
from massrl.parsing.parser import Parser

ACTIONS = {
    "conformance": "how far each loss is from its equation in loops, in one process and over two",
    "methods": "each method trained on digits for about ten seconds: what it learns, and what a step costs",
    "strategies": "SimCLR, BYOL and MASSRL on small images at equal numbers of views: do several strategies beat one?",
    "probes": "linear probes in one pass beside one by one, and beside scikit-learn with kNN: time and results",
}


def usage() -> str:
    actions = "\n".join(f"  {name:<13}{line}" for name, line in ACTIONS.items())
    return (
        "usage: massrl bench ACTION [OPTIONS]\n\n"
        f"actions:\n{actions}\n\n"
        "options:\n"
        "  --help       this text; after an action, the help of that action\n"
        "  --check      do each action once, as small as it goes, in a temporary folder\n\n"
        "Our loader and ops beside other libraries': massrl data bench\n"
    )


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    runs = {"conformance": conformance, "methods": methods, "strategies": strategies, "probes": probes}
    if argv == ["--check"]:
        return max(run(["--check"]) for run in runs.values())
    if argv[0] not in ACTIONS:
        hint = near_miss(argv[0], ACTIONS)
        raise ConfigError(f"no action {argv[0]!r}.{hint} Actions: {', '.join(ACTIONS)}")
    return runs[argv[0]](argv[1:])


def conformance(argv: list[str]) -> int:
    """0 where every difference is within the tolerance of its case, else 1."""
    parser = Parser(
        prog="massrl bench conformance",
        description="The largest difference between each loss and its equation written out in loops, in value and "
        "gradient, and between two processes and one. Exit code 1 where one leaves its tolerance.",
    )
    add = parser.add_argument
    add("--out", type=str | None, default=None, help="write the table to this Markdown page, as docs/conformance.md")
    add("--json", type=str | None, default=None, help="write the figures to this file")
    add("--seeds", type=int, default=5, help="random inputs of each size")
    add("--check", action="store_true", help="one random input of one size; writes nothing")
    args = parser.parse_args(argv)
    _check_range("seeds", args.seeds, 1000)

    from data_loading.config.atomic import write_whole
    from massrl.bench import conformance as bench
    from massrl.bench import table

    sizes, seeds = (bench.SIZES[:1], 1) if args.check else (bench.SIZES, args.seeds)
    _may_write(args.out, args.json)
    rows = bench.measure(sizes, seeds)
    print(table.conformance(rows))
    outside = [row.name for row in rows if not row.within]
    if not args.check:
        if args.out:
            print(f"page: {write_whole(args.out, bench.page(rows, sizes, seeds))}")
        if args.json:
            text = json.dumps(bench.as_json(rows), indent=2) + "\n"
            print(f"figures: {write_whole(args.json, text)}")
    print(f"outside their tolerance: {', '.join(outside)}" if outside else f"{len(rows)} cases, all within tolerance")
    if args.check:
        print("check passed: nothing was kept" if not outside else "check failed")
    return 1 if outside else 0


def methods(argv: list[str]) -> int:
    parser = Parser(
        prog="massrl bench methods",
        description="Train every method by its recipe in configs/pretrain/digits, cut to a sixth of its epochs (about "
        "ten seconds on one core), and evaluate it as `massrl linear` does, beside the same network untrained; then "
        "the share of a training step that is spent outside the backbone, of a ResNet-18 on views of 32 pixels, in "
        "float32, with heads cut to 2048.",
    )
    add = parser.add_argument
    add("--json", type=str | None, default=None, help="write a list of {method, loss_start, linear_1_after, ...} to it")
    add("--methods", nargs="+", type=str, default=None, help="these ones; all of `massrl list methods`")
    add("--peers", type=str | None, default=None, help="lightly: also time our losses beside its own, where installed")
    add("--peers_json", type=str | None, default=None, help="write the figures of --peers to this file")
    add(
        "--overhead_batch",
        type=int | None,
        default=None,
        help="images of a step whose parts are timed: 256 on a GPU, 16 without one; 0 leaves this out",
    )
    add("--seed", type=int, default=0, help="of weights, order, views and label subsets")
    add("--num_workers", type=int, default=1, help="loader threads")
    add("--check", action="store_true", help="two steps of each method; writes nothing")
    args = parser.parse_args(argv)

    from data_loading.errors import UnknownName
    from data_loading.kernel.rng import checked_seed
    from massrl.bench import peers as beside
    from massrl.methods import METHODS

    checked_seed(args.seed, "--seed")
    if args.overhead_batch is not None and (args.overhead_batch < 0 or args.overhead_batch == 1):
        raise ConfigError(f"--overhead_batch is {args.overhead_batch}; a step takes 2 images or more, 0 leaves it out")
    if args.peers_json and args.peers is None:
        raise ConfigError("--peers_json has figures of --peers only; say --peers lightly")
    if args.peers is not None:
        if args.peers not in beside.PEERS:
            hint = near_miss(args.peers, beside.PEERS)
            raise UnknownName(f"no peer named {args.peers!r}.{hint} Known: {', '.join(beside.PEERS)}")
        beside.check_installed(args.peers)
    names = list(METHODS) if args.methods is None else args.methods
    for name in names:
        METHODS[name]
    _may_write(args.json, args.peers_json)
    with tempfile.TemporaryDirectory() as folder:
        _measure_methods(names, Path(folder), args)
    if args.check:
        print("check passed: nothing was kept")
    return 0


def strategies(argv: list[str]) -> int:
    parser = Parser(
        prog="massrl bench strategies",
        description="Train SimCLR, BYOL and MASSRL with one and with several strategies on images of 32 pixels, each "
        "at the same number of views, and evaluate all by kNN and linear classifiers beside the untrained encoder and "
        "raw pixels. What was trained before is not trained again.",
    )
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        help="an .npz of x_train, y_train, x_test, y_test, or what massrl data write takes with --split",
    )
    add("--out", type=str, default="runs/strategies", help="folder of the runs and of strategies.json")
    add("--seeds", type=int, default=3, help="trainings of each")
    add("--budget", type=int, default=48, help="views of each image that a training forwards")
    add("--jobs", type=int, default=2, help="trainings at a time")
    add("--check", action="store_true", help="one seed and 8 views of each of 64 generated images; writes nothing")
    args = parser.parse_args(argv)
    if args.data is None and not args.check:
        raise ConfigError("name the data: massrl bench strategies cifar10.npz")

    for name, most in (("seeds", 1000), ("budget", 1_000_000), ("jobs", 1024)):
        _check_range(name, getattr(args, name), most)

    from massrl.bench.strategies import Comparison

    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            comparison = Comparison(_generated_arrays(Path(folder)), Path(folder) / "runs", 1, 8, args.jobs)
        else:
            _may_write(f"{args.out}/strategies.json")
            comparison = Comparison(args.data, args.out, args.seeds, args.budget, args.jobs)
        comparison.train()
        print(comparison.report())
    if args.check:
        print("check passed: nothing was kept")
    return 0


def probes(argv: list[str]) -> int:
    parser = Parser(
        prog="massrl bench probes",
        description="On generated features: the CPU seconds of DINOv2's heads in one pass beside the same heads one by "
        "one, and of logistic regression at 45 strengths and of kNN beside scikit-learn's; and how far results differ.",
    )
    add = parser.add_argument
    add("--json", type=str | None, default=None, help="write the figures to this file")
    add("--iterations", type=int, default=1000, help="steps of SGD of each head")
    add("--check", action="store_true", help="few steps on few features; writes nothing")
    args = parser.parse_args(argv)
    _check_range("iterations", args.iterations, 10_000_000)

    from data_loading.config.atomic import write_whole
    from massrl.bench import probes as bench

    _may_write(args.json)
    small = {"sizes": [(200, 16)], "queries": 50, "strengths": (0.01, 1.0), "rates": (0.01, 0.1), "iterations": 20}
    rows = bench.measure(**small) if args.check else bench.measure(iterations=args.iterations)
    print(bench.table(rows))
    if args.check:
        print("check passed: nothing was kept")
    elif args.json:
        print(f"figures: {write_whole(args.json, json.dumps(bench.as_json(rows), indent=2) + chr(10))}")
    return 0


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ConfigError(f"--{name} is {value}; it must be from 1 to {most:,}")


def _generated_arrays(folder: Path) -> Path:
    """An .npz of 64 training and 32 test images of two classes: noise about two greys."""
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 64), ("test", 32)):
        labels = np.arange(n) % 2
        images = rng.integers(0, 128, (n, 32, 32, 3)) + 100 * labels[:, None, None, None]
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels}
    np.savez(folder / "generated.npz", **arrays)
    return folder / "generated.npz"


def _measure_methods(names: list[str], folder: Path, args) -> None:
    from tqdm import tqdm

    from data_loading.config.atomic import write_whole
    from massrl.bench import overhead, peers, table
    from massrl.bench.methods import Bench
    from massrl.bench.recipes import Digits

    bench = Bench(Digits.write(folder), args.seed, draws=2 if args.check else 20, num_workers=args.num_workers)
    results = []
    for name in tqdm(names, disable=None, leave=False):
        result = bench.run(name, steps=2 if args.check else None)
        if args.overhead_batch != 0 and not args.check:
            result.add(overhead.measure(name, args.overhead_batch))
        results.append(result)
        if args.json and not args.check:  # after each, as it takes minutes
            write_whole(args.json, json.dumps([r.as_json() for r in results], indent=2) + "\n")
    print(table.methods(results))
    if args.peers:
        rows = peers.measure(args.peers, *((8, 1) if args.check else ()))
        print(f"\n{table.peers(rows)}")
        if args.peers_json and not args.check:
            write_whole(args.peers_json, json.dumps([row.as_json() for row in rows], indent=2) + "\n")


def _may_write(*paths: str | None) -> None:
    """Refuse files that cannot be written, before the minutes of measuring."""
    for path in filter(None, paths):
        target = Path(path).absolute()
        if target.is_dir():
            raise ConfigError(f"{path} is a folder; name a file")
        folder = next(parent for parent in target.parents if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {folder}: {error.strerror}") from None
