"""`massrl neighbours IMAGE...`: the images of a folder that an encoder finds nearest, as a table and a picture."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.embed import VIEW, add_view, use_samples
from massrl.cli.ends import IMAGES, finish, required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Print the images of a folder whose features are nearest to those of the given images, by cosine, and write a "
    "picture of them."
)


def main(argv: list[str]) -> int:
    parser = Parser(prog="massrl neighbours", description=DESCRIPTION)
    add = parser.add_argument
    add("images", nargs="*", help="image files")
    add("--among", type=str | list[str] | None, default=None, help=f"what to search: {IMAGES}")
    add("--checkpoint", type=str | None, default=None, help="a run folder, a checkpoint file, or zoo:NAME")
    add("--k", type=int, default=5, help="how many neighbours")
    add("--out", type=str, default="neighbours.png", help="the picture, a PNG")
    add("--json", type=str | None, default=None, help="write the names and cosines to this file")
    add_view(parser)
    add("--check", action="store_true", help="the whole way on 16 images in a temporary folder; leaves nothing behind")
    args = parser.parse_args(argv)

    from massrl.evaluation.options import check_ending, check_options
    from massrl.report.neighbours import neighbours

    with ExitStack() as stack:
        if args.check:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            use_samples(args, temporary)
            args.among, args.json, args.k, args.out = args.folder, None, 3, str(temporary / "out.png")
            args.images = [str(next(Path(args.folder).rglob("*.jpg")))]
        check_options(out=args.out, json=args.json)
        check_ending(".png", out=args.out)
        required(args, "among", "checkpoint", images="IMAGE")
        options = {name: getattr(args, name) for name in VIEW}
        found = neighbours(args.images, args.among, args.checkpoint, k=args.k, **options)
        print(f"{found}\npicture: {found.save(args.out)}")
        return finish(args, found.to_dict())
