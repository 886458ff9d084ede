"""`massrl data write`: images into a .beton file."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.cli.data.common import CHECK, drawn, parse
from massrl.parsing.parser import Parser

SOURCES = (
    "a folder of class folders, a folder of images, a .zip of one, a .npz of arrays (images or x, labels or y), or a "
    "data set by name: digits, or with --root cifar10, cifar100, stl10, fashion_mnist, imagenet"
)
IMAGE_OPTIONS = ("max_resolution", "jpeg_quality", "smart_threshold", "compress_probability")
WORTH_WORKERS = 2000  # images; starting processes takes longer than writing fewer


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data write",
        description="Write images into a .beton file. JPEG files are stored as they are, all else as raw pixels, "
        "unless --write_mode says otherwise.",
    )
    parser.add_argument("source", nargs="?", help=SOURCES)
    parser.add_argument("out", nargs="?", help="the file to write, FILE.beton; an existing one is replaced when done")
    parser.add_argument(
        "--split", type=str | None, default=None, help="train, test, ... of a named set, a zip, arrays; digits: all"
    )
    parser.add_argument("--root", type=str | None, default=None, help="folder of cifar10, ...; what lacks is fetched")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that do not decode, and count them")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that read and encode; 0: as many as help")
    parser.add_argument("--write_mode", type=str | None, default=None, help="raw, jpg, png, smart, proportion or keep")
    parser.add_argument(
        "--max_resolution", type=int | None, default=None, help="shrink the longer side to this, pixels"
    )
    parser.add_argument("--jpeg_quality", type=int, default=90, help="1 to 100, of JPEGs that are encoded here")
    parser.add_argument(
        "--smart_threshold", type=int | None, default=None, help="of smart: JPEG where pixels take more bytes than this"
    )
    parser.add_argument("--compress_probability", type=float, default=0.5, help="of proportion: the share of JPEGs")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    args = parse(make_parser(), argv, "source", "out")
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.source, args.split, args.root, args.out = str(drawn(folder)), None, None, f"{folder}/check.beton"
        _write(args)


def _write(args) -> None:
    from data_loading import DatasetWriter, sources

    out = Path(args.out)
    if out.suffix != ".beton":
        raise ConfigError(f"{out}: the file to write ends in .beton, by which it is known from a folder")
    started = time.monotonic()
    source = sources.open(args.source, args.split, args.root)
    fields = source.fields(args.write_mode, **{name: getattr(args, name) for name in IMAGE_OPTIONS})
    workers = args.num_workers or (os.cpu_count() or 1 if len(source) >= WORTH_WORKERS else 1)
    writer = DatasetWriter(out, fields, num_workers=workers)
    writer.from_indexed_dataset(source, skip_bad=args.skip_bad)
    for sentence in writer.skipped:
        print(f"left out: {sentence}")
    kinds = f" of {len(source.classes)} classes" if source.classes else ", no labels"
    left_out = f", {len(writer.skipped)} left out" if writer.skipped else ""
    size, seconds = out.stat().st_size / 1e6, time.monotonic() - started
    print(f"{out}: {len(writer.rows)} images{kinds}{left_out}; {size:.1f} MB in {seconds:.1f} s")
