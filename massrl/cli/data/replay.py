"""`massrl data replay`: render again, bit for bit, the views of a sample that a run was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data_loading.config import yaml_text
from data_loading.errors import ConfigError
from massrl.cli.data.common import CHECK, checked_file, ends_in, parse, save_grid
from massrl.parsing.parser import Parser


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data replay",
        description="Render the views of one sample as a run saw them in one epoch, print their random numbers, and "
        "write them to a PNG. Needs only the data and the run's config.yaml.",
    )
    parser.add_argument("file", nargs="?", help="the run's .beton file, or folder")
    parser.add_argument(
        "--config", type=str | None, default=None, help="the run's config.yaml, for views, size and seed"
    )
    parser.add_argument(
        "--views", type=str | dict | list | None, default=None, help="view set, instead of the config's"
    )
    parser.add_argument(
        "--size", type=int | None, default=None, help="side of the global views in pixels, instead of the config's"
    )
    parser.add_argument("--seed", type=int | None, default=None, help="seed of the views, instead of the config's")
    parser.add_argument("--epoch", type=int, default=0, help="epoch of the run, counted from 0")
    parser.add_argument("--index", type=int, default=0, help="the sample: its row in the file, as in Batch.index")
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

    which, size, seed = _recipe(args)
    replayed = replay_views(args.file, which, seed, args.epoch, args.index, size)
    columns = [(view.name, [pixels]) for view, pixels in zip(replayed.view_set.views, replayed.views, strict=True)]
    out = save_grid([("image", [replayed.image]), *columns], [f"sample {args.index}"], Path(args.out))
    print(replayed.plan.table(replayed.view_set, 0))
    print(f"{out}: sample {args.index}, seed {seed}, epoch {args.epoch}")


def _recipe(args):
    """(views, size, seed), from the options if given, else from the run's config; ConfigError if unset."""
    data: dict = {}
    if args.config is not None:
        data = yaml_text.read_mapping(args.config, "a run's settings").get("data") or {}
        if not isinstance(data, dict):
            raise ConfigError(f"{args.config}: data is {data!r:.40}; name the config.yaml of a run")
    which = args.views if args.views is not None else data.get("views")
    if which is None:
        raise ConfigError("the view set is not given; use --config RUN/config.yaml or --views")
    size = args.size if args.size is not None else data.get("size")
    seed = args.seed if args.seed is not None else data.get("view_seed", data.get("seed"))
    if seed is None:
        raise ConfigError("the seed is not given; use --config RUN/config.yaml or --seed")
    return which, size, seed
