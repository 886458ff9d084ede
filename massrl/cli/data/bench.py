"""`massrl data bench`: times our loader and the installed peers, or our ops and other libraries' ops."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError, UserError
from massrl.cli.data.common import CHECK, MOST_WORKERS, checked_file, parse, refuse
from massrl.evaluation.options import check_ending, check_options
from massrl.parsing.parser import Parser

LOADERS_ONLY = ("works", "peers", "workers", "seconds", "batch_size", "stages", "chart", "peer_python")
OPS_ONLY = ("only", "size")


def make_parser() -> Parser:
    """The options of `massrl data bench`."""
    parser = Parser(
        prog="massrl data bench",
        description="Images per second from stored bytes to finished batches of views, for our loader and the other "
        "libraries (peers) that are installed: each in a process of its own, in alternating rounds, on the same "
        "images. With --ops: what each op costs inside one of our views, and alone in Pillow, OpenCV and torchvision "
        "v2. See docs/bench.md.",
    )
    parser.add_argument(
        "file", nargs="*", help="a .beton file, several as 'train-*.beton', or a folder (written once to runs/.cache)"
    )
    parser.add_argument(
        "--works",
        type=str | None,
        default=None,
        help="comma-separated list of rrc, simclr, byol, multicrop, massrl, four_blurs, eval, cifar, simclr32; "
        "without it those that fit the images",
    )
    parser.add_argument(
        "--peers",
        type=str | None,
        default=None,
        help="comma-separated list of massrl, torchvision, torchvision-v2, lightly, albumentations, ffcv, dali, "
        "decode; without it all that are installed",
    )
    parser.add_argument("--workers", type=str, default="1", help="worker threads or processes, as 1 or 1,2")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each peer, in turn; medians are printed")
    parser.add_argument("--seconds", type=float, default=1.5, help="about how long a round takes")
    parser.add_argument(
        "--images",
        type=int | None,
        default=None,
        help="use at most so many images of the file, a fixed random choice: 500; 32 with --ops",
    )
    parser.add_argument("--batch_size", type=int, default=32, help="images of a batch; on small images 256 is usual")
    parser.add_argument("--stages", action="store_true", help="also the time of our loader by stage")
    parser.add_argument("--json", type=str | None, default=None, help="write the table to this file, as a JSON list")
    parser.add_argument("--chart", type=str | None, default=None, help="write a bar chart to this PNG")
    parser.add_argument(
        "--peer_python",
        type=str | None,
        default=None,
        help="Python of a peer in an environment of its own, as ffcv=/envs/ffcv/bin/python",
    )
    parser.add_argument(
        "--ops", action="store_true", help="time ops instead of loaders; without FILE on scikit-learn's two photographs"
    )
    parser.add_argument(
        "--only",
        type=str | None,
        default=None,
        help="with --ops: comma-separated list of ops, or all, with all their numbers; without it every op with its "
        "usual numbers",
    )
    parser.add_argument("--size", type=int, default=224, help="with --ops: side of the views, pixels")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    """Run `massrl data bench` with these words; UserError for what cannot be done."""
    parser = make_parser()
    args = parse(parser, argv, *([] if "--ops" in argv else ["file"]))
    with_or_without = f"{'with' if args.ops else 'without'} --ops; see docs/bench.md"
    refuse(parser, LOADERS_ONLY if args.ops else OPS_ONLY, with_or_without)
    check_options(json=args.json, chart=args.chart)
    check_ending(".png", chart=args.chart)
    run = _bench_ops if args.ops else _bench
    if not args.check:
        run(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        args.file, args.json, args.chart = str(checked_file(folder)), f"{folder}/bench.json", f"{folder}/bench.png"
        args.works, args.peers = args.works or "simclr", args.peers or "massrl,torchvision"
        args.rounds, args.seconds, args.batch_size, args.stages = 1, 0.01, 2, True
        args.size = min(args.size, 32)
        run(args)
        print("checked; the files that were written have been removed")


def _bench(args) -> None:
    """Time loaders, work by work."""
    from data_loading import sources
    from data_loading.bench import chart, stages, timing
    from data_loading.bench.works import chosen

    settings = timing.Settings(
        args.rounds, _given(args.images, 500), args.batch_size, args.seconds, _pythons(args.peer_python)
    )
    workers, peers = _workers(args.workers), _peers(args.peers, settings.pythons)
    file = sources.as_beton(args.file)
    images, rows = _sampled(file, settings.images)
    works = chosen(args.works, images.longest())
    paths = [str(one) for one in file] if isinstance(file, list) else str(file)
    said = f"{len(rows)} of {len(images)} images, batches of {args.batch_size}, {args.rounds} rounds"
    print(f"{images.reader.path}: {said}", flush=True)
    found = []
    for work in works:
        new = timing.measure(work, paths, rows, peers, workers, settings)
        found += new
        print(f"\n{timing.table(new)}\n", flush=True)
        for sentence in timing.sentences(new):
            print(sentence, flush=True)
        if args.stages:
            print(f"\n{stages.text(stages.measure(work, file, rows, args.batch_size))}", flush=True)
        if args.json is not None:  # after each work, so that a long run that is stopped keeps its results
            write_whole(args.json, json.dumps(timing.as_json(found), indent=2) + "\n")
        if args.chart is not None:
            write_whole(args.chart, chart.png(found))
    _notes(works, peers)
    for path in filter(None, (args.json, args.chart)):
        print(f"{path}: written")


def _bench_ops(args) -> None:
    """Time ops, case by case."""
    from tqdm import tqdm

    from data_loading import sources
    from data_loading.bench import op_table, ops, timing
    from data_loading.bench.images import cut_photographs
    from data_loading.kernel.jit import is_cold

    settings = timing.Settings(args.rounds, _given(args.images, 32))
    cases = ops.chosen(args.only, args.size)
    if is_cold():
        print(timing.COMPILING, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if args.file is None:
            source = cut_photographs(Path(folder) / "photographs", settings.images)
            file = sources.as_beton(source, cache=Path(folder), progress=False)
        else:
            file = sources.as_beton(args.file)
        images, rows = _sampled(file, settings.images)
        material = ops.Material([images.by_simplejpeg(row) for row in rows], args.size)
    name, unit = images.reader.path if args.file else "cuts of scikit-learn's photographs", "microseconds per image"
    print(f"{name}: {len(rows)} images, views of {args.size} px, {args.rounds} rounds; {unit}", flush=True)
    found = []
    for case in tqdm(cases, disable=None, leave=False):
        found += ops.measure(case, material, args.rounds, tqdm.write)
        if args.json is not None:  # after each op, so that a run that is stopped keeps its results
            write_whole(args.json, json.dumps(op_table.as_json(found), indent=2) + "\n")
    print(f"\n{op_table.table(found)}\n")
    for sentence in op_table.notes(found) + op_table.verdict(found):
        print(sentence)
    if args.json is not None:
        print(f"{args.json}: written")


def _given(value: int | None, usual: int) -> int:
    return usual if value is None else value


def _sampled(file, most: int):
    """The images of a .beton file, and the rows of a random subset of at most `most` of them, which are timed."""
    import numpy as np

    from data_loading.bench.images import StoredImages

    images = StoredImages(file)
    if not len(images):
        raise UserError(f"{images.reader.path} holds no samples, so there is nothing to time")
    return images, np.random.default_rng(0).permutation(len(images))[:most]


def _workers(words: str) -> list[int]:
    """The numbers of a comma-separated list, without repetitions."""
    try:
        numbers = [int(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or max(numbers) > MOST_WORKERS:
        raise ConfigError(f"workers is {words!r}; write numbers from 1 to {MOST_WORKERS:,}, as 1 or 1,2")
    return list(dict.fromkeys(numbers))


def _pythons(words: str | None) -> dict[str, str]:
    """Peer -> interpreter, of a comma-separated list of peer=path."""
    from data_loading.bench.peers import PEERS
    from data_loading.bench.works import listed

    pairs = [word.partition("=") for word in (words or "").split(",") if word.strip()]
    for name, _, python in pairs:
        listed("peer", name, PEERS)
        if not os.access(python, os.X_OK):
            raise ConfigError(
                f"peer_python: {python!r} cannot be executed; write an interpreter as {name}=/path/to/bin/python"
            )
    return {name.strip(): python for name, _, python in pairs}


def _peers(words: str | None, pythons: dict[str, str]) -> list[str]:
    """The names of the peers to time; those that are not installed are printed and left out."""
    from data_loading.bench.peers import PEERS, is_installed
    from data_loading.bench.works import listed

    names = list(PEERS) if words is None else listed("peer", words, PEERS)
    absent = [name for name in names if name not in pythons and not is_installed(name)]
    for name in absent:
        print(f"{name}: {PEERS[name].needs} is not installed here; left out")
    if len(absent) == len(names):
        raise ConfigError(f"none of the peers {', '.join(names)} is installed here; massrl always is")
    return [name for name in names if name not in absent]


def _notes(measured: list, peers: list[str]) -> None:
    """Print in what the works' and the peers' views differ from ours."""
    from data_loading.bench import works
    from data_loading.bench.peers import PEERS

    print("\n" + "".join(f"{line}\n" for line in works.notes(measured)), end="")
    for name in peers:
        if PEERS[name].note:
            print(f"{name}: {PEERS[name].note}")
