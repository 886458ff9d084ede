"""`massrl linear`: accuracy of a linear classifier on a checkpoint's features, beside untrained weights and pixels."""

from __future__ import annotations

from massrl.cli.classify import add_settings, chosen
from massrl.cli.evaluate import parser, run
from massrl.evaluation.classify import BODY

DESCRIPTION = (
    "Train a linear classifier on a checkpoint's frozen features, beside the same network with random weights and the "
    "raw pixels, by one of the protocols linear (v2: features centred and divided by one number, logistic regression "
    "by L-BFGS to convergence), dinov2-linear (heads of 13 learning rates and several feature sets) and dinov2-logreg "
    "(logistic regression at 45 strengths). The last two choose on a held-out tenth of the training images. Or by "
    "gradient descent on augmented views, as papers do: --protocol moco, simclr, ...; options replace its settings."
)
NAMES = "moco, simclr, byol, mocov3, mae, solo, massrl, vicreg, swav or dino"


def main(argv: list[str]) -> int:
    options = parser("linear", DESCRIPTION)
    add = options.add_argument
    add(
        "--C",
        type=float | None,
        default=None,
        help="of linear: inverse strength of the penalty (default: 1; 10 with one label a class)",
    )
    add(
        "--select",
        type=str | None,
        default=None,
        help="of protocols that choose: held-out (default), or test, which is optimistic",
    )
    add("--iterations", type=int | None, default=None, help="of dinov2-linear: steps of SGD (default: 12500)")
    add("--weight_decays", type=list[float] | None, default=None, help="of dinov2-linear: one of these is chosen")
    add(
        "--labels", type=str, default="all", help="training labels used: one (of each class), 10pct, all, or a fraction"
    )
    add("--draws", type=int, default=20, help="random label subsets; one when all labels are used")
    add("--untrained", action="store_true", help="of trained heads: the same on the untrained network, too")
    add_settings(options, f"linear, dinov2-linear or dinov2-logreg; or a head trained as in {NAMES}", "linear", BODY)
    args = options.parse_args(argv)
    args.protocol = args.protocol or "linear"  # null, as a config file may have it

    from massrl.evaluation.accuracy import linear
    from massrl.evaluation.classify.running import names
    from massrl.evaluation.subsets import fraction

    fraction(args.labels)  # a wrong one is refused first
    own = ("C", "select", "iterations", "weight_decays")
    given = {name: getattr(args, name) for name in ("protocol", *own, "labels", "draws")}
    trains = args.protocol.removeprefix("linear-") in names("linear")
    return run(args, linear, **given, untrained=args.untrained, **(chosen(args) if trains or not args.check else {}))
