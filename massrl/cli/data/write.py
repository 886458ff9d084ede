"""`massrl data write`: write images to a .beton file, and beside it their names to NAME.index.json."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from data_loading.beton.shards import Shard
from data_loading.errors import ConfigError, printable
from massrl.cli.data.common import CHECK, check_workers, generated_images, parse
from massrl.parsing.parser import Parser

SOURCES = (
    "a folder with a sub-folder per class, a folder of images, a .zip of either, a .npz of arrays (images or x, labels "
    "or y), or a data set by name: digits, or with --root: cifar10, cifar100, stl10, fashion_mnist, imagenet"
)
IMAGE_OPTIONS = ("max_resolution", "jpeg_quality", "smart_threshold", "compress_probability")
WORTH_WORKERS = 2000  # images; for fewer, starting worker processes takes longer than they save


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data write",
        description="Write images to a .beton file. By default JPEG files of folders and zips are stored unchanged, "
        "everything else as raw pixels. Their names are kept beside it, in FILE.index.json.",
    )
    parser.add_argument("source", nargs="?", help=SOURCES)
    parser.add_argument("out", nargs="?", help="the file to write, FILE.beton; an existing file is replaced at the end")
    parser.add_argument(
        "--split",
        type=str | None,
        default=None,
        help="train, test, ... of a named data set, .zip or .npz; digits without it: all rows",
    )
    parser.add_argument(
        "--root",
        type=str | None,
        default=None,
        help="folder of the files of cifar10, ...; missing files are downloaded",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out images that cannot be decoded, and list them"
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        help="processes that read and encode; 0: one per core for 2,000 images or more, else one",
    )
    parser.add_argument("--write_mode", type=str | None, default=None, help="raw, jpg, png, smart, proportion or keep")
    parser.add_argument(
        "--max_resolution", type=int | None, default=None, help="downscale larger images to this longer side, pixels"
    )
    parser.add_argument("--jpeg_quality", type=int, default=90, help="1 to 100, for images that are encoded as JPEG")
    parser.add_argument(
        "--smart_threshold",
        type=int | None,
        default=None,
        help="for write_mode smart: JPEG if the pixels take more bytes than this",
    )
    parser.add_argument(
        "--compress_probability", type=float, default=0.5, help="for write_mode proportion: share of JPEGs, 0 to 1"
    )
    parser.add_argument(
        "--shards",
        type=int | None,
        default=None,
        help="write one of this number of parts, FILE-00003-of-00016.beton, as jobs of an array do at once; needs "
        "--shard. massrl data merge makes one file of them; a pattern reads them as one",
    )
    parser.add_argument("--shard", type=int | None, default=None, help="which part: 0 to --shards less one")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    args = parse(make_parser(), argv, "source", "out")
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.source, args.split, args.root = str(generated_images(folder)), None, None
            args.out = f"{folder}/check.beton"
            if Shard.checked(args.shard, args.shards) is not None:
                args.shard, args.shards = 0, 2  # 16 images may be fewer than the shards
        _write(args)


def _write(args) -> None:
    from data_loading import DatasetWriter, sources

    out = Path(args.out)
    if out.suffix != ".beton":
        raise ConfigError(f"{out}: the name of the file to write must end in .beton")
    check_workers(args.num_workers)
    part = Shard.checked(args.shard, args.shards)
    started = time.monotonic()
    source = sources.open(args.source, args.split, args.root)
    fields = source.fields(args.write_mode, **{name: getattr(args, name) for name in IMAGE_OPTIONS})
    images = len(source) if part is None else len(range(len(source))[part.rows(len(source))])
    workers = args.num_workers or (os.cpu_count() or 1 if images >= WORTH_WORKERS else 1)
    writer = DatasetWriter(out, fields, num_workers=workers)
    out = writer.from_indexed_dataset(source, skip_bad=args.skip_bad, shard=args.shard, shards=args.shards)
    for message in writer.skipped:
        print(f"left out: {printable(message)}")
    classes = f" of {len(source.classes)} classes" if source.classes else ", no labels"
    left_out = f", {len(writer.skipped)} left out" if writer.skipped else ""
    size, seconds = out.stat().st_size / 1e6, time.monotonic() - started
    print(f"{out}: {len(writer.rows)} images{classes}{left_out}; {size:.1f} MB in {seconds:.1f} s")
