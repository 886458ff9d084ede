"""`massrl data merge`: one .beton file of several, as one process would have written it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.cli.data.common import CHECK, generated_images, parse
from massrl.parsing.parser import Parser


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data merge",
        description="Merge .beton files with the same fields to one file, in the order given. Of shards, which massrl "
        "data write --shards writes, it equals byte for byte the file of a single process, as does its index with the "
        "names of images and classes. The parts are not removed.",
    )
    parser.add_argument("out", nargs="?", help="the file to write, FILE.beton; an existing file is replaced at the end")
    parser.add_argument(
        "parts", nargs="*", help="the files to merge: a pattern as 'train-*.beton' (sorted by name), or several files"
    )
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    parser = make_parser()
    args = parse(parser, argv, "out")
    if not args.parts and not args.check:
        parser.error("missing: PARTS")
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.out, args.parts = f"{folder}/check.beton", _shards(folder)
        _merge(Path(args.out), args.parts)


def _merge(out: Path, parts: list[str]) -> None:
    from data_loading import Reader, sources
    from data_loading.beton.mapping import named

    if out.suffix != ".beton":
        raise ConfigError(f"{out}: the name of the file to write must end in .beton")
    started, files = time.monotonic(), named(parts)
    sources.merge(out, files)
    with Reader(out) as reader:
        samples = len(reader)
    size, seconds = out.stat().st_size / 1e6, time.monotonic() - started
    print(f"{out}: {samples} samples of {len(files)} files; {size:.1f} MB in {seconds:.1f} s")


def _shards(folder: str) -> list[str]:
    """The generated images of --check in two shards below `folder`; returns their pattern."""
    from data_loading import DatasetWriter, sources

    source = sources.open(generated_images(folder))
    for shard in range(2):
        writer = DatasetWriter(f"{folder}/part.beton", source.fields())
        writer.from_indexed_dataset(source, progress=False, shard=shard, shards=2)
    return [f"{folder}/part-*.beton"]
