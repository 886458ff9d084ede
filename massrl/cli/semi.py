"""`massrl semi`: accuracy of a checkpoint's network that is fine-tuned on 1 %, 10 % or some of the labels."""

from __future__ import annotations

from massrl.cli.classify import add_settings, chosen
from massrl.cli.evaluate import parser, run

DESCRIPTION = (
    "Fine-tune the whole network of a checkpoint on few labelled images, with learning rates of their own for body and "
    "head, beside the linear probe on the same images. The default protocol chooses the rate on a fifth of them; "
    "others are those of published papers."
)


def main(argv: list[str]) -> int:
    options = parser("semi", DESCRIPTION)
    add = options.add_argument
    add("--labels", type=str, default="10pct", help="training labels used: 1pct, 10pct, a fraction, or one (a class)")
    add("--per_class", type=int | None, default=None, help="images of each class, in place of --labels")
    add(
        "--subset_file",
        type=str | list[str] | None,
        default=None,
        help="files of image names, one a line, as SimCLR publishes them, in place of --labels; a file a subset",
    )
    add("--draws", type=int, default=3, help="random label subsets")
    add("--scratch", action="store_true", help="train the same network from random weights, too")
    add("--probe", type=bool, default=True, help="the linear probe on the same labels, too")
    add("--subsets_out", type=str | None, default=None, help="folder for lists of the images that were used")
    add_settings(options, "semi, or by its authors vicreg, swav, simclr, byol, massrl or paws", "semi")
    args = options.parse_args(argv)

    from massrl.evaluation.semi import semi

    names = ("protocol", "labels", "per_class", "subset_file", "draws", "scratch", "probe", "subsets_out")
    return run(args, semi, **{name: getattr(args, name) for name in names}, **chosen(args))
