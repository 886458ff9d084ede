"""`massrl segment`: mean intersection over union of a linear head on a checkpoint's frozen feature maps."""

from __future__ import annotations

from massrl.cli.dense import parser, run

DESCRIPTION = (
    "Train a linear head (BatchNorm and a 1 x 1 convolution) on a checkpoint's frozen feature maps, and measure its "
    "mean intersection over union on test images, beside the same network with random weights. Masks are PNG files of "
    "the names of their images, with one class number per pixel, 255 ignored."
)


def main(argv: list[str]) -> int:
    options = parser("segment", DESCRIPTION, "masks", "folder of their masks: PNG files of the same names")
    add = options.add_argument
    add("--settings", type=str, default="dinov3", help="dinov3: its linear evaluation on ADE20K")
    add("--size", type=int | None, default=None, help="side of crops and windows in pixels (default: 512)")
    add("--classes", type=int | None, default=None, help="number of classes (default: that of the training masks)")
    add("--zero_is_ignored", action="store_true", help="0 in the masks is ignored, and 1 is the first class (ADE20K)")
    add("--untrained", type=bool, default=True, help="measure the same network with random weights, too")
    args = options.parse_args(argv)

    from massrl.dense.segment import segment

    own = {name: getattr(args, name) for name in ("classes", "zero_is_ignored", "untrained")}
    return run(args, segment, "masks", **own)
