"""`massrl data doctor`: find the bottleneck of loading on this machine, and say what to change."""

from __future__ import annotations

import tempfile

from data_loading.errors import ConfigError, UserError
from massrl.cli.data.common import CHECK, checked_file, parse
from massrl.parsing.parser import Parser


def make_parser() -> Parser:
    """The options of `massrl data doctor`."""
    parser = Parser(
        prog="massrl data doctor",
        description="Measure loading on this machine, find the bottleneck (disk, decode, augmentation, copy, or the "
        "training step) and say what to change. The file's cached pages are dropped, to measure the disk once.",
    )
    parser.add_argument(
        "file", nargs="*", help="a .beton file, several as 'train-*.beton', or a folder (written once to runs/.cache)"
    )
    parser.add_argument(
        "--work",
        type=str | None,
        default=None,
        help="views to make: a work of `massrl data bench`; simclr, or simclr32 for small images",
    )
    parser.add_argument("--workers", type=int | None, default=None, help="threads in use; without it all cores")
    parser.add_argument("--batch_size", type=int, default=64, help="images of a training step")
    parser.add_argument("--step_ms", type=float | None, default=None, help="milliseconds per training step, if known")
    parser.add_argument("--images", type=int, default=256, help="measure at most so many images of the file")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    """Run `massrl data doctor` with these words; UserError for what cannot be done."""
    args = parse(make_parser(), argv, "file")
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            args.file, args.batch_size = str(checked_file(folder)), 4
        _doctor(args)


def _doctor(args) -> None:
    """Measure a file and print the bottleneck, the advice and the stages."""
    import numpy as np

    from data_loading import sources
    from data_loading.bench import doctor, stages
    from data_loading.bench.images import StoredImages
    from data_loading.bench.works import SMALL, WORKS, listed

    for name, most in (("images", 10_000_000), ("batch_size", 16_384), ("workers", 1024)):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; it must be an integer from 1 to {most:,}")
    if args.step_ms is not None and not 0 < args.step_ms < 1e9:
        raise ConfigError(f"step_ms is {args.step_ms}; give milliseconds above 0")
    file = sources.as_beton(args.file)
    images = StoredImages(file)
    if not len(images):
        raise UserError(f"{images.reader.path} holds no samples, so there is nothing to measure")
    longest, n = images.longest(), len(images)
    del images  # the pages of a mapped file cannot be dropped
    work = WORKS[listed("work", args.work or ("simclr32" if longest <= SMALL else "simclr"), WORKS)[0]]
    rows = np.random.default_rng(0).permutation(n)[: args.images]
    found = doctor.examine(file, work, rows, args.batch_size, args.workers, args.step_ms)
    for sentence in doctor.sentences(found):
        print(sentence)
    print(f"\n{stages.text(found.stages)}")
    disk = "unknown" if found.disk is None else f"{found.disk / 1e6:,.0f} MB/s, {found.from_disk:,.0f} images/s"
    print(f"  cold disk {disk}; file {found.file_bytes / 1e6:,.1f} MB; {found.cores} cores")
