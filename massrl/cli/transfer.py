"""`massrl transfer`: a checkpoint's frozen features on a list of other data sets, each by its own metric."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.cli.embed import VIEW, add_view
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Logistic regression on a checkpoint's frozen features of other data sets, each by its own metric: accuracy, the "
    "mean of the classes' accuracies, or the 11-point mAP of PASCAL VOC 2007. The strength of the penalty is chosen on "
    "the set's validation images, or on a fifth of its training images. Beside it: the untrained network and the raw "
    "pixels. --sets is a YAML file: NAME: {train: FOLDER, val: FOLDER, test: FOLDER, metric: accuracy}."
)


def main(argv: list[str]) -> int:
    parser = Parser(prog="massrl transfer", description=DESCRIPTION)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, or RUN/checkpoints/last.ckpt of one")
    add("--sets", type=str | None, default=None, help="a YAML file of data sets, as configs/transfer/ssl_transfer.yaml")
    add("--root", type=str | None, default=None, help="the folder that relative paths of --sets are below")
    add("--only", type=str | None, default=None, help="comma-separated names of the data sets to take (default: all)")
    add_view(parser)
    add("--seed", type=int, default=0, help="of the untrained weights and the held-out images")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--check", action="store_true", help="the whole way on few images in a temporary folder; leaves nothing behind")
    args = parser.parse_args(argv)

    from massrl.evaluation.options import check_options
    from massrl.evaluation.transfer.transfer import transfer

    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        check_options(json=args.json)
        missing = [f"--{name}" for name in ("checkpoint", "sets") if getattr(args, name) is None]
        if missing:
            raise ConfigError(f"missing: {', '.join(missing)}")
        only = None if args.only is None else [name.strip() for name in args.only.split(",")]
        view = {name: getattr(args, name) for name in (*VIEW, "seed")}
        found = transfer(args.checkpoint, args.sets, root=args.root, only=only, **view)
        print(found)
        if args.json is not None:
            from massrl.runs.record import write_json

            print(f"record: {write_json(args.json, found.to_dict())}")
        if args.check:
            print("check passed: nothing was kept")
    return 0


def _use_samples(args, temporary: Path) -> None:
    from massrl.cli.samples import sample_checkpoint, sample_folder

    images = str(sample_folder(temporary))
    sets = temporary / "sets.yaml"
    sets.write_text(f"generated: {{train: {images}, test: {images}, metric: mean_per_class}}\n", encoding="utf-8")
    args.sets, args.root, args.only, args.json = str(sets), None, None, None
    args.cache_dir, args.checkpoint = str(temporary / "cache"), str(sample_checkpoint(temporary, Path(images)))
    print("check: 16 generated images as both training and test, and a tiny ResNet after two steps", flush=True)
