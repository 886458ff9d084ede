"""`massrl data check`: find test images that are also among the training images, or duplicates within one set."""

from __future__ import annotations

import tempfile
from pathlib import Path

from massrl.cli.data.common import CHECK, check_workers, parse
from massrl.evaluation.options import check_ending, check_options
from massrl.parsing.parser import Parser

FORM = "CSV, image,train_image: names as printed, one pair a line"


def make_parser() -> Parser:
    """The options of `massrl data check`."""
    parser = Parser(
        prog="massrl data check",
        description="Find near-duplicates of test images among the training images: copies that are shifted, scaled, "
        "compressed or recoloured. Without --against: duplicates within one set. Writes a page of pictures. "
        "See docs/leaks.md.",
    )
    add = parser.add_argument
    add("train", nargs="*", help="training images: a folder, a .beton file, or several as 'train-*.beton'")
    add(
        "--against",
        type=str | list[str] | None,
        default=None,
        help="test images, likewise; labels are not needed",
    )
    add(
        "--pairs",
        type=str | None,
        default=None,
        help=f"file of pairs that you have marked as no duplicates, which are not reported again ({FORM}; append to it "
        "by hand)",
    )
    add("--out", type=str, default="leaks.html", help="the page of pictures to write")
    add("--json", type=str | None, default=None, help="write the result to this file, for massrl linear --leaks")
    add("--candidates", type=int, default=20, help="training images that each image is compared with closely")
    add("--num_workers", type=int, default=0, help="threads; 0: one per core")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders are kept as .beton files")
    add("--check", action="store_true", help=CHECK)
    return parser


def main(argv: list[str]) -> None:
    args = parse(make_parser(), argv, "train")
    check_ending(".html", ".htm", out=args.out)
    check_options(json=args.json)
    check_workers(args.num_workers)
    if not args.check:
        _check(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        args.train, args.against = _samples(Path(folder))
        args.pairs, args.cache_dir = None, f"{folder}/cache"
        args.out, args.json = f"{folder}/leaks.html", f"{folder}/leaks.json"
        _check(args)
        print("checked; the files that were written have been removed")


def _check(args) -> None:
    from massrl.leaks.check import check_data
    from massrl.report.leak_page import build
    from massrl.runs.record import write_json

    options = {name: getattr(args, name) for name in ("pairs", "candidates", "num_workers", "cache_dir")}
    found = check_data(args.train, args.against, **options)
    print(found)
    if args.json is not None:
        print(f"{write_json(args.json, found.to_dict())}: written")
    print(f"{build(found, args.out)}: pictures of {len(found.pairs)} pairs")


def _samples(folder: Path) -> tuple[str, str]:
    """Two folders for --check: the 16 generated images, and two of them, one compressed again."""
    from PIL import Image

    from massrl.cli.data.common import generated_images

    train, test = generated_images(str(folder)), folder / "test"
    test.mkdir()
    copied, compressed = sorted(train.glob("*/*.jpg"))[::8]
    (test / "copied.jpg").write_bytes(copied.read_bytes())
    with Image.open(compressed) as image:
        image.save(test / "compressed.jpg", quality=40)
    return str(train), str(test)
