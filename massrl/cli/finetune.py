"""`massrl finetune`: accuracy of a checkpoint's network that is fine-tuned on all labels."""

from __future__ import annotations

from massrl.cli.classify import add_settings, chosen
from massrl.cli.evaluate import parser, run

DESCRIPTION = (
    "Fine-tune the whole network of a checkpoint on labelled images, by the settings of published papers or your own: "
    "layer decay, mixup, cutmix, drop path, label smoothing."
)


def main(argv: list[str]) -> int:
    options = parser("finetune", DESCRIPTION)
    options.add_argument("--scratch", action="store_true", help="train the same network from random weights, too")
    add_settings(options, "finetune, or by its authors simclr, mae or dinov2", "finetune")
    args = options.parse_args(argv)

    from massrl.evaluation.finetune import finetune

    return run(args, finetune, protocol=args.protocol, scratch=args.scratch, **chosen(args))
