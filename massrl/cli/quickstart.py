"""`massrl quickstart [FOLDER]`: pretrain without labels, then say what the encoder is worth.

Without a folder: scikit-learn's handwritten digits, MASSRL beside SimCLR. With a folder: MASSRL on its images.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from massrl.cli.parsing import Parser

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "pretrain"
METHODS = ("massrl", "simclr")
WRITTEN = ("data", *METHODS, "figures", "metrics.json", "report.html")  # what a run of the quickstart replaces


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if args.check:
        return check(args)
    from massrl.quickstart import digits, folder

    if args.folder is None:
        run = _fresh(Path(args.run or "runs/quickstart"))
        result = digits(run, CONFIGS / "digits", num_workers=args.num_workers, draws=args.draws, seed=args.seed)
    else:
        name = Path(args.folder).resolve().name
        run = Path(args.run or f"runs/quickstart-{name}")
        options = {"minutes": args.minutes, "num_workers": args.num_workers, "draws": args.draws, "seed": args.seed}
        result = folder(Path(args.folder), run, _fresh, skip_bad=args.skip_bad, size=args.size, **options)
    print(result)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="massrl quickstart",
        description="Pretrain an encoder without labels and say what it is worth: on scikit-learn's handwritten digits "
        "(no download, about 4 minutes on 2 cores), or on a folder of images of yours.",
    )
    parser.add_argument("folder", nargs="?", help="images: class folders, or flat without labels; none: digits")
    parser.add_argument("--run", type=str | None, default=None, help="where results go (default: runs/quickstart...)")
    parser.add_argument("--minutes", type=float, default=4.0, help="time to pretrain on a folder")
    parser.add_argument("--size", type=int | None, default=None, help="side of the views of a folder's images, in pixels")
    parser.add_argument("--num_workers", type=int, default=1, help="loader threads")
    parser.add_argument("--draws", type=int, default=20, help="draws of the labels for the small label sets")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, views, split and label draws")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that do not decode, and count them")
    parser.add_argument("--check", action="store_true", help="two steps on 16 drawn images in a temporary folder")
    return parser


def _fresh(run: Path) -> Path:
    """The folder of the results, without those of a run before."""
    for name in WRITTEN:
        old = run / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    return run
