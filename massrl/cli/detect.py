"""`massrl detect`: average precision of Faster R-CNN with a feature pyramid on a checkpoint's backbone."""

from __future__ import annotations

from massrl.cli.dense import parser, run

DESCRIPTION = (
    "Train Faster R-CNN with a feature pyramid on a checkpoint's backbone, and measure its average precision on test "
    "images as COCO does. Boxes are COCO files of instances. Needs pip install massrl[detection]."
)


def main(argv: list[str]) -> int:
    options = parser("detect", DESCRIPTION, "json", "its boxes: a COCO file of instances")
    add = options.add_argument
    add("--settings", type=str, default="moco", help="moco: all layers are trained; ssl-transfer: most are frozen")
    add("--size", type=int | None, default=None, help="an image's shorter side (default: 640 to 800, as the settings)")
    add("--frozen", type=int | None, default=None, help="groups of layers not trained, from the stem on; 5 is all")
    add(
        "--fpn_channels",
        type=int | None,
        default=None,
        help="channels of the pyramid (default: 256); fewer are quicker",
    )
    add("--untrained", action="store_true", help="measure the same network with random weights, too: twice as long")
    args = options.parse_args(argv)

    from massrl.dense.detect import detect

    if args.check:
        args.fpn_channels = 16
    own = {name: getattr(args, name) for name in ("frozen", "fpn_channels", "untrained")}
    return run(args, detect, "json", **own)
