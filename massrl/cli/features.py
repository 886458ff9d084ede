"""`massrl features`: frozen features of images by any layer of a checkpoint, computed once and kept in the cache."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.ends import IMAGES, finish, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Compute the features of every image, without augmentation, by one or more layers of a checkpoint's network. They "
    "are kept in the cache, where massrl knn and massrl linear read them; massrl embed writes them to a file."
)


def parser() -> Parser:
    parser = Parser(prog="massrl features", description=DESCRIPTION)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--data", type=str | list[str] | None, default=None, help=IMAGES)
    add(
        "--layers",
        type=str | None,
        default=None,
        help="comma-separated: backbone, backbone.layer3, last4:cls+avg, projector, projector.0, ... (default: the "
        "encoder's output); --layers list prints those of the checkpoint",
    )
    add("--branch", type=str | None, default=None, help="online or target network (default: as the method's authors)")
    add("--json", type=str | None, default=None, help="write what the features are and depend on to this file")
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of the pretraining)")
    add("--batch_size", type=int, default=256, help="images at once; changes the time only")
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")
    add("--check", action="store_true", help="the whole way on 16 images in a temporary folder; leaves nothing behind")
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if args.layers == "list" and args.checkpoint is not None:
            return _list(args)
        required(args, "checkpoint", "data")
        return _run(args)


def _list(args) -> int:
    from massrl.evaluation.layers import names
    from massrl.methods import load

    print("\n".join(names(load(args.checkpoint), args.branch)))
    return 0


def _run(args) -> int:
    from massrl.evaluation.embedding import features
    from massrl.evaluation.options import check_options
    from massrl.evaluation.table import aligned

    check_options(json=args.json)
    layers = [name.strip() for name in args.layers.split(",")] if args.layers is not None else None
    began = time.perf_counter()
    options = {name: getattr(args, name) for name in ("branch", "size", "batch_size", "num_workers", "cache_dir")}
    found = features(args.checkpoint, args.data, layers=layers, **options)
    cells = [["layer", "network", "images", "features"]]
    cells += [[layer, one.branch, str(len(one)), str(one.x.shape[1])] for layer, one in found.items()]
    print(f"{aligned(cells)}\n{time.perf_counter() - began:.1f} s")
    return finish(args, {layer: one.to_dict() for layer, one in found.items()})


def _use_samples(args, temporary: Path) -> None:
    from massrl.cli.samples import sample_checkpoint, sample_folder

    images = sample_folder(temporary)
    args.data, args.checkpoint = str(images), str(sample_checkpoint(temporary, images))
    args.cache_dir, args.json = str(temporary / "cache"), None
    args.layers = None
    print("check: 16 generated images, and a tiny ResNet after two steps", flush=True)
