"""`massrl transfer`: a checkpoint's frozen features on a list of other data sets, each by its own metric."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.embed import VIEW, add_view
from massrl.cli.ends import finish, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Logistic regression on a checkpoint's frozen features of other data sets, each by its own metric, beside the "
    "untrained network and the raw pixels. --sets is a YAML file, NAME: {train: FOLDER, val: FOLDER, test: FOLDER, "
    "metric: accuracy} for each data set. val, the images on which the strength of the penalty is chosen, can be left "
    "out: then a fifth of train does. metric: accuracy (default), mean_per_class (mean of the classes' accuracies), or "
    "map11 (11-point mAP of images that show several classes), which needs voc: a folder as VOCdevkit/VOC2007, with "
    "names of its splits as train, val and test."
)


def main(argv: list[str]) -> int:
    parser = Parser(prog="massrl transfer", description=DESCRIPTION)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
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
        required(args, "checkpoint", "sets")
        options = {name: getattr(args, name) for name in (*VIEW, "seed", "root", "only")}
        found = transfer(args.checkpoint, args.sets, **options)
        print(found)
        return finish(args, found.to_dict())


def _use_samples(args, temporary: Path) -> None:
    """Replace the data sets by 16 generated images, and a missing checkpoint by one of two steps."""
    from massrl.cli.samples import few_steps, sample_folder

    images = sample_folder(temporary)
    sets = temporary / "sets.yaml"
    sets.write_text(f"generated: {{train: {images}, test: {images}, metric: mean_per_class}}\n", encoding="utf-8")
    args.sets, args.root, args.only, args.json = str(sets), None, None, None
    args.cache_dir = str(temporary / "cache")
    args.checkpoint, said = few_steps(args.checkpoint, temporary, images)
    given = "; ".join(said) or "checkpoint as given"
    print(f"check: 16 generated images as both training and test; {given}", flush=True)
