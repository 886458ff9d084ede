"""What `massrl knn` and `massrl linear` share: features of a checkpoint and of its baselines, a table, a record."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, SourceError
from data_loading.sources.cached import read_index
from massrl.evaluation.features import Features, cached, extract, require_labels
from massrl.evaluation.protocol import Protocol
from massrl.evaluation.table import BASELINES, aligned, difference, percent, summary
from massrl.evaluation.untrained import untrained_twin
from massrl.methods import load
from massrl.parsing.parser import Parser
from massrl.runs.record import data_config, file_sha256, git, versions, write_json

CHECK_IMAGES = 16
VIEW = "eval"


def parser(command: str, description: str) -> Parser:
    """The options of both commands."""
    parser = Parser(prog=f"massrl {command}", description=description)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="RUN/checkpoints/last.ckpt of `massrl pretrain`")
    add("--train", type=str | None, default=None, help="labelled images: .beton files or a folder of class folders")
    add("--test", type=str | None, default=None, help="the same, to measure on")
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of the pretraining)")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--seed", type=int, default=0, help="of the untrained weights and the label draws")
    add("--batch_size", type=int, default=256, help="images at once; changes the time only")
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")
    add("--check", action="store_true", help="the whole way on 16 images in a temporary folder; leaves nothing behind")
    return parser


def run(args, protocol: Protocol, said: str, score, labels: str, draws: int) -> int:
    """Measure, print the table, write the record.

    said: the parameters in words.  score: (train, test) Features -> accuracies (draws,) in 0..1.
    """
    with ExitStack() as stack:
        if args.check:
            _small(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        missing = [f"--{name}" for name in ("checkpoint", "train", "test") if getattr(args, name) is None]
        if missing:
            raise ConfigError(f"missing: {', '.join(missing)}")
        rows, facts = _rows(args)
        scores = {name: score(*pair) for name, pair in rows.items()}
        train, test = rows["trained"]
        print(
            f"{protocol.title} ({said}; labels: {labels}), {len(train)} training and "
            f"{len(test)} test images at {facts['size']} px"
        )
        print(_table(scores, facts["method"]))
        if args.json:
            print(f"record: {write_json(args.json, _record(args, protocol, scores, facts, labels, draws))}")
        if args.check:
            print("check passed: nothing was kept")
    return 0


def _rows(args) -> tuple[dict[str, tuple[Features, Features]], dict]:
    """Features by row, "trained" first, and what the record says of their origin."""
    method = load(args.checkpoint)
    data = data_config(args.checkpoint, args.size)
    paths = {part: sources.as_beton(getattr(args, part), cache=Path(args.cache_dir)) for part in ("train", "test")}
    _same_classes(args, paths)
    hashes = {"checkpoint": file_sha256(args.checkpoint)}
    for part, path in paths.items():
        with Reader(path) as reader:
            hashes[part] = reader.sha256()
            if "label" not in reader.fields:
                raise SourceError(f"{getattr(args, part)}: images have no labels; an accuracy needs class folders")
    view = {"size": data["size"], "mean": data["mean"], "std": data["std"]}
    options = {**view, "num_workers": args.num_workers}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    networks = {"trained": lambda: method.encoder, "pixels": lambda: None}
    networks["random"] = lambda: untrained_twin(method.encoder, paths["train"], seed=args.seed, **options)
    rows = {}
    for name, network in networks.items():
        facts = {
            **hashes,
            **view,
            "row": name,
            "view": VIEW,
            "layer": method.layer,
            "device": device,
            "torch": torch.__version__,
        }
        facts |= {"seed": args.seed} if name == "random" else {}
        module: list = []  # made at most once, and only when its features are not in the cache

        def make(path: Path | list[Path], network=network, module=module) -> Features:
            module[:] = module or [network()]
            return extract(module[0], path, device=device, batch_size=args.batch_size, **options)

        rows[name] = tuple(
            cached(Path(args.cache_dir), {**facts, "part": part}, lambda make=make, part=part: make(paths[part]))
            for part in ("train", "test")
        )
        for part, features in zip(("train", "test"), rows[name], strict=True):
            require_labels(features, getattr(args, part))
    return rows, {
        **{f"{k}_sha256": v for k, v in hashes.items()},
        **view,
        "method": type(method).__name__,
        "layer": method.layer,
    }


def _same_classes(args, paths: dict[str, Path | list[Path]]) -> None:
    """Labels are numbers of class folders in sorted order: both folders need the same ones."""
    train, test = ((read_index(path) or {}).get("classes") for path in paths.values())
    if train and test and train != test:
        odd = sorted(set(train) ^ set(test))
        raise SourceError(f"{args.train} and {args.test} have other class folders: {', '.join(odd[:5])} is in one only")


def _table(scores: dict[str, np.ndarray], method: str) -> str:
    titles = {"trained": f"{method}, trained", **BASELINES}
    head = ["", "test accuracy, %", "draws", "trained is better by"]
    cells = [
        [titles[name], percent(summary(s)), str(len(s)), _gain(scores["trained"], s, name)]
        for name, s in scores.items()
    ]
    return aligned([head, *cells])


def _gain(trained: np.ndarray, other: np.ndarray, name: str) -> str:
    if name == "trained":
        return ""
    gain = difference(trained, other)
    if gain["std"] is None:
        return f"{100 * gain['mean']:+.1f}"
    interval = f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    return f"{100 * gain['mean']:+.1f} {interval}, {gain['won']} of {gain['draws']} draws"


def _record(args, protocol: Protocol, scores: dict, facts: dict, labels: str, draws: int) -> dict:
    def entry(name: str) -> dict:
        return {key: summary(scores[name])[key] for key in ("mean", "std")}

    own = {"size": facts["size"], "mean": facts["mean"], "std": facts["std"], "labels": labels}
    return {
        "accuracy": entry("trained"),
        "untrained": entry("random"),
        "protocol": protocol.title,
        "parameters": {**protocol.parameters(), **own},
        **{f"{name}_sha256": facts[f"{name}_sha256"] for name in ("checkpoint", "train", "test")},
        "split": {"train": str(args.train), "test": str(args.test)},
        "view": VIEW,
        "layer": facts["layer"],
        "seed": args.seed,
        "draws": draws,
        "versions": versions(),
        "git": git(),
    }


def _small(args, temporary: Path) -> None:
    """Put drawn images and a checkpoint of two steps where there are none; take few of the images that are there."""
    from massrl.cli.check import is_there, sample_checkpoint, sample_folder

    cache = temporary / "cache"
    drawn = sample_folder(temporary)
    said = []
    for part in ("train", "test"):
        path = getattr(args, part)
        if path is None or not is_there(path):
            setattr(args, part, str(drawn))
            said.append(f"{part}: {CHECK_IMAGES} drawn images{f' ({path} is not there)' if path else ''}")
        elif Path(path).is_dir():
            n = len(sources.open(path))
            rows = sorted({i * n // CHECK_IMAGES for i in range(CHECK_IMAGES)})
            setattr(args, part, str(sources.as_beton(path, cache, "check", rows, progress=False)))
            said.append(f"{part}: {len(rows)} images of {path}")
    if args.checkpoint is None or not Path(args.checkpoint).exists():
        was = f" ({args.checkpoint} is not there)" if args.checkpoint else ""
        said.append(f"checkpoint: a tiny ResNet after two steps{was}")
        args.checkpoint = str(sample_checkpoint(temporary, drawn))
    args.cache_dir, args.json = str(cache), str(temporary / "record.json")
    print(f"check: {'; '.join(said) or 'as given'}", flush=True)
