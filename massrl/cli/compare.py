"""`massrl compare RUN...`: runs beside each other, with paired differences over seeds and label subsets."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.ends import LABELLED, finish, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Evaluate one run or several on the same images and label subsets: accuracies, paired differences with 95 % "
    "intervals, and the settings in which they differ. Runs that differ in seeds alone count as one variant."
)
SHARED = ("draws", "k", "tau", "size", "seed", "batch_size", "num_workers", "cache_dir")


def main(argv: list[str]) -> int:
    parser = Parser(prog="massrl compare", description=DESCRIPTION)
    add = parser.add_argument
    add("runs", nargs="*", help="run folders or checkpoint files; one alone is compared with pixels and untrained")
    add("--train", type=str | list[str] | None, default=None, help=LABELLED)
    add("--test", type=str | list[str] | None, default=None, help="labelled images to measure on, likewise")
    add("--report", type=str | None, default=None, help="write a page with all of it to this .html file")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--draws", type=int, default=20, help="random label subsets, the same for every run")
    add("--k", type=int, default=20, help="neighbours that vote in kNN")
    add("--tau", type=float, default=0.07, help="temperature of their votes")
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of each pretraining)")
    add("--seed", type=int, default=0, help="of the untrained weights and the label subsets")
    add("--batch_size", type=int, default=256, help="images at once; changes the time only")
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")
    add("--check", action="store_true", help="two runs of two steps in a temporary folder; leaves nothing behind")
    args = parser.parse_args(argv)

    from massrl.evaluation.comparison import compare
    from massrl.evaluation.options import check_ending, check_options

    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        check_options(json=args.json, report=args.report)
        check_ending(".html", ".htm", report=args.report)
        required(args, "train", "test", runs="RUN")
        found = compare(args.runs, args.train, args.test, **{name: getattr(args, name) for name in SHARED})
        print(found)
        if args.report is not None:
            from massrl.report.comparison import build

            print(f"report: {build(found, Path(args.report))}")
        return finish(args, found.to_dict())


def _use_samples(args, temporary: Path) -> None:
    """Two runs of two steps, of different seeds, on generated images."""
    from massrl.cli.samples import sample_checkpoint, sample_folder

    images = sample_folder(temporary)
    (temporary / "a").mkdir()
    (temporary / "b").mkdir()
    args.runs = [str(sample_checkpoint(temporary / name, images, seed)) for seed, name in enumerate("ab")]
    args.train = args.test = str(images)
    args.cache_dir, args.report, args.json = str(temporary / "cache"), str(temporary / "a.html"), None
    args.draws, args.k, args.size = 2, 3, None
    print("check: two runs of a tiny ResNet after two steps, on 16 generated images", flush=True)
