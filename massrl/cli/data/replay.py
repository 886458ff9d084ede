"""`massrl data replay`: render again, bit for bit, the views of samples that a run was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data_loading.config import yaml_text
from data_loading.errors import ConfigError
from massrl.cli.data.common import CHECK, checked_file, ends_in, parse, save_grid
from massrl.parsing.parser import Parser

MOST = 16  # samples of a batch that are drawn


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data replay",
        description="Render the views of one sample as a run saw them in one epoch, print their random numbers, and "
        "write them to a PNG. Needs only the data and the run's config.yaml; or its nan.json, which names the epoch "
        f"and the samples of a batch, of which the first {MOST} are drawn.",
    )
    parser.add_argument(
        "file", nargs="*", help="the run's .beton file, several as 'train-*.beton' as the run had them, or its folder"
    )
    parser.add_argument(
        "--config", type=str | None, default=None, help="the run's config.yaml or nan.json, for views, size and seed"
    )
    parser.add_argument(
        "--views", type=str | dict | list | None, default=None, help="view set, instead of the config's"
    )
    parser.add_argument(
        "--size", type=int | None, default=None, help="side of the global views in pixels, instead of the config's"
    )
    parser.add_argument("--seed", type=int | None, default=None, help="seed of the views, instead of the config's")
    parser.add_argument("--epoch", type=int | None, default=None, help="epoch of the run, counted from 0 (default: 0)")
    parser.add_argument(
        "--index", type=int | None, default=None, help="the sample: its row in the file, as in Batch.index (default: 0)"
    )
    parser.add_argument("--out", type=str, default="replay.png", help="the PNG to write")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    args = parse(make_parser(), argv, "file")
    ends_in(".png", args.out)
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.file, args.out = str(checked_file(folder)), f"{folder}/replay.png"
            args.views, args.size, args.seed = "byol", 32, 0
        _replay(args)


def _replay(args) -> None:
    from data_loading import replay_views

    content = _content(args.config)
    which, size, seed = _recipe(args, content.get("data") or {})
    epoch = content.get("epoch", 0) if args.epoch is None else args.epoch
    rows = content.get("rows", [0])[:MOST] if args.index is None else [args.index]
    replayed = [replay_views(args.file, which, seed, epoch, row, size) for row in rows]
    columns: list = [("image", [one.image for one in replayed])]
    for v, view in enumerate(replayed[0].view_set.views):
        columns.append((view.name, [one.views[v] for one in replayed]))
    out = save_grid(columns, [f"sample {row}" for row in rows], Path(args.out))
    for row, one in zip(rows, replayed, strict=True):
        print(one.plan.table(one.view_set, 0))
        print(f"{out}: sample {row}, seed {seed}, epoch {epoch}, views of {one.view_set.size} px")


def _content(path: str | None) -> dict:
    """What a config.yaml or nan.json holds; ConfigError where it cannot be one."""
    if path is None:
        return {}
    content = yaml_text.read_mapping(path, "a run's settings")
    data, rows, epoch = content.get("data") or {}, content.get("rows", [0]), content.get("epoch", 0)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: data is {data!r:.40}; name the config.yaml of a run")
    if not isinstance(rows, list) or not rows or not all(type(x) is int for x in [*rows, epoch]):
        raise ConfigError(f"{path}: its rows or epoch are no whole numbers; name the config.yaml or nan.json of a run")
    return content


def _recipe(args, data: dict):
    """(views, size, seed), from the options if given, else from the run's settings; ConfigError if unset."""
    which = args.views if args.views is not None else data.get("views")
    if which is None:
        raise ConfigError("the view set is not given; use --config RUN/config.yaml or --views")
    size = args.size if args.size is not None else data.get("size")
    seed = args.seed if args.seed is not None else data.get("view_seed", data.get("seed"))
    if seed is None:
        raise ConfigError("the seed is not given; use --config RUN/config.yaml or --seed")
    return which, size, seed
