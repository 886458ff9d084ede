"""`massrl embed FOLDER`: an encoder's features of every image with its file name, as a file, and a map of them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.ends import finish, one_or_list, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Write the features of every image of a folder, with the names of the files, to a .npz, .csv or .parquet file, and "
    "beside it a map of them (t-SNE) as a PNG."
)


def add_view(parser: Parser) -> None:
    """Options of where and how features are taken."""
    add = parser.add_argument
    add("--layer", type=str | None, default=None, help="as of massrl features (default: the encoder's output)")
    add("--branch", type=str | None, default=None, help="online or target network (default: as the method's authors)")
    add("--size", type=int | None, default=None, help="side of the view in pixels (default: that of the pretraining)")
    add("--batch_size", type=int, default=256, help="images at once; changes the time only")
    add("--num_workers", type=int, default=2, help="loader threads")
    add("--cache_dir", type=str, default="runs/.cache", help="where folders and features are kept")


VIEW = ("layer", "branch", "size", "batch_size", "num_workers", "cache_dir")


def main(argv: list[str]) -> int:
    parser = Parser(prog="massrl embed", description=DESCRIPTION)
    add = parser.add_argument
    add("folder", nargs="*", help="images: a folder, or .beton files, also as 'train-*.beton'; labels are not needed")
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--out", type=str, default="features.npz", help="the file: .npz, .csv or .parquet")
    add("--picture", type=str | None, default=None, help="the map, a PNG (default: beside --out)")
    add("--json", type=str | None, default=None, help="write what the features are and depend on to this file")
    add_view(parser)
    add("--check", action="store_true", help="the whole way on 16 images in a temporary folder; leaves nothing behind")
    args = parser.parse_args(argv)
    args.folder = one_or_list(args.folder)

    from massrl.evaluation.embedding import check_suffix, embed
    from massrl.evaluation.options import check_ending, check_options

    with ExitStack() as stack:
        if args.check:
            use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            args.json = None
        check_options(out=args.out, picture=args.picture, json=args.json)
        check_ending(".png", picture=args.picture)
        required(args, "checkpoint", folder="FOLDER")
        out = Path(args.out)
        check_suffix(out)
        found = embed(args.folder, args.checkpoint, **{name: getattr(args, name) for name in VIEW})
        print(found)
        print(f"features: {found.save(out)}")
        from massrl.report.figures import LEAST_POINTS, draw_embedding

        if len(found) < LEAST_POINTS:
            print(f"no map: {len(found)} images are too few, it takes {LEAST_POINTS}")
        else:
            print(f"map: {draw_embedding(found, Path(args.picture or out.with_suffix('.png')))}")
        return finish(args, found.to_dict())


def use_samples(args, temporary: Path) -> None:
    """Generated images, and a checkpoint of two steps on them."""
    from massrl.cli.samples import sample_checkpoint, sample_folder

    images = sample_folder(temporary)
    args.folder, args.checkpoint = str(images), str(sample_checkpoint(temporary, images))
    args.cache_dir, args.out, args.picture = str(temporary / "cache"), str(temporary / "out.npz"), None
    args.layer = args.branch = args.size = None
    print("check: 16 generated images, and a tiny ResNet after two steps", flush=True)
