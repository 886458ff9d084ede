"""`massrl data verify`: check that every sample of a .beton file can be read."""

from __future__ import annotations

import dataclasses
import json
import tempfile

from data_loading.errors import ConfigError
from massrl.cli.data.common import CHECK, check_workers, checked_file, parse
from massrl.parsing.parser import Parser


def make_parser() -> Parser:
    parser = Parser(
        prog="massrl data verify",
        description="Check a whole .beton file: header, tables, and that every stored value decodes; of shards, "
        "that none is missing. Prints the first 20 faults and their number. The exit code is 0 if there are none, "
        "else 2.",
    )
    parser.add_argument("file", nargs="*", help="a .beton file, or several as 'train-*.beton'")
    parser.add_argument("--num_workers", type=int, default=0, help="threads that decode; 0: one per core")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> int:
    from data_loading.beton.check import check
    from data_loading.beton.mapping import named
    from data_loading.sources.index import check_classes

    args = parse(make_parser(), argv, "file")
    check_workers(args.num_workers)
    if not args.check and (lost := next((file for file in named(args.file) if not file.is_file()), None)):
        what = "is a folder" if lost.is_dir() else "there is no such file"
        raise ConfigError(f"{lost}: {what}; name a .beton file, which massrl data write makes")
    if not args.check:
        check_classes(args.file)
    with tempfile.TemporaryDirectory() as folder:
        report = check(checked_file(folder) if args.check else args.file, args.num_workers, progress=not args.json)
    if args.json:
        print(json.dumps({"whole": report.whole, **dataclasses.asdict(report)}, indent=2))
    elif report.whole:
        print(f"{report.path}: no faults; {report.samples} samples, {report.values} values decoded")
    else:
        print("\n".join(report.faults))
        more = f", the first {len(report.faults)} above" if report.count > len(report.faults) else ""
        faults = "1 fault" if report.count == 1 else f"{report.count} faults"
        print(f"{report.path}: {faults}{more}; {report.samples} samples")
    return 0 if report.whole else 2
