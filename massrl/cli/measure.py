"""`massrl measure`: what can be said of a checkpoint without labels, beside the same network with random weights."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.ends import IMAGES, finish, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Measure a checkpoint's features without labels: RankMe, LiDAR, alpha-ReQ with its R^2, uniformity, alignment and "
    "spread, beside the same network with random weights; the entropies of targets over prototypes; and which "
    "augmentation strategies are hard for which. Labels are not read."
)
SHARED = ("views", "lidar_images", "lidar_views", "alpha_first", "alpha_last", "branch", "size", "seed", "batch_size")


def parser() -> Parser:
    parser = Parser(prog="massrl measure", description=DESCRIPTION)
    add = parser.add_argument
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--data", type=str | list[str] | None, default=None, help=IMAGES)
    add("--views", type=str | None, default=None, help="view set of LiDAR, alignment, pairs (default: the training's)")
    add("--lidar_images", type=int, default=1000, help="images of LiDAR and alignment")
    add("--lidar_views", type=int, default=10, help="views of each of them; 50 in LiDAR's paper")
    add("--alpha_first", type=int, default=5, help="first eigenvalue that alpha-ReQ fits, counted from 1")
    add("--alpha_last", type=int, default=100, help="last eigenvalue that alpha-ReQ fits")
    add("--branch", type=str | None, default=None, help="online or target network (default: as the method's authors)")
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of the pretraining)")
    add("--seed", type=int, default=0, help="of the untrained weights and the views")
    add("--batch_size", type=int, default=256, help="images at once")
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")
    add("--json", type=str | None, default=None, help="write the figures, with all that they depend on, to this file")
    add("--check", action="store_true", help="the whole way on 16 images in a temporary folder; leaves nothing behind")
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        required(args, "checkpoint", "data")

        from massrl.evaluation.measured import measure
        from massrl.evaluation.options import check_options

        check_options(json=args.json)
        options = {name: getattr(args, name) for name in (*SHARED, "num_workers", "cache_dir")}
        found = measure(args.checkpoint, args.data, **options)
        print(found)
        return finish(args, found.to_dict())


def _use_samples(args, temporary: Path) -> None:
    """Replace missing images and a missing checkpoint by generated ones; of an existing folder take 16 images."""
    from massrl.cli.evaluate import few_images
    from massrl.cli.samples import few_steps, sample_folder

    images = sample_folder(temporary)
    args.data, said = few_images("data", args.data, images, temporary / "cache")
    args.checkpoint, lost = few_steps(args.checkpoint, temporary, images)
    said = [said] * bool(said) + lost
    args.cache_dir, args.json = str(temporary / "cache"), str(temporary / "record.json")
    args.lidar_images, args.lidar_views = min(args.lidar_images, 8), min(args.lidar_views, 4)
    print(f"check: {'; '.join(said) or 'as given'}", flush=True)
