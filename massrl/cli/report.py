"""`massrl report RUN`: write RUN/report.html from what the run folder holds, and print its path."""

from __future__ import annotations

import tempfile
from pathlib import Path

from massrl.parsing.parser import Parser


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="massrl report",
        description="Write RUN/report.html, one self-contained page: accuracies, loss, views, a map of the features, "
        "neighbours, settings. RUN is a folder that `massrl pretrain` or `massrl quickstart` has written.",
    )
    parser.add_argument("run", nargs="?", type=str | None, default=None, help="the run folder")
    parser.add_argument(
        "--check", action="store_true", help="report a run of two steps, or RUN, without leaving anything"
    )
    args = parser.parse_args(argv)
    if args.check:
        return check(args.run)
    if args.run is None:
        from data_loading.errors import ConfigError

        raise ConfigError("say which run: massrl report RUN")
    from massrl.report import build

    print(build(Path(args.run)))
    return 0


def check(run: str | None) -> int:
    """Build the page of a copy of RUN, or of a run of two steps where there is none."""
    import shutil

    from massrl.cli.samples import sample_checkpoint, sample_folder
    from massrl.report import build

    with tempfile.TemporaryDirectory() as temporary:
        if run is not None and Path(run).is_dir():
            copy = Path(shutil.copytree(run, Path(temporary) / Path(run).name))
        else:
            print(f"check: a run of two steps on generated images{f' ({run} is not there)' if run else ''}", flush=True)
            copy = sample_checkpoint(Path(temporary), sample_folder(Path(temporary))).parents[1]
        size = build(copy).stat().st_size
    print(f"check passed: a page of {size / 1024:.0f} KiB; nothing was kept")
    return 0
