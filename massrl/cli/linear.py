"""`massrl linear`: accuracy of a linear classifier on a checkpoint's features, beside untrained weights and pixels."""

from __future__ import annotations

from massrl.cli.evaluate import parser, run

DESCRIPTION = (
    "Train a linear classifier on a checkpoint's frozen features (protocol linear v1: features centred and divided by "
    "one number, logistic regression by L-BFGS to convergence), beside the same network with random weights and the "
    "raw pixels."
)


def main(argv: list[str]) -> int:
    options = parser("linear", DESCRIPTION)
    add = options.add_argument
    add(
        "--C",
        type=float | None,
        default=None,
        help="inverse strength of the penalty (default: 1; 10 with one label a class)",
    )
    add(
        "--labels", type=str, default="all", help="training labels used: one (of each class), 10pct, all, or a fraction"
    )
    add("--draws", type=int, default=20, help="random label subsets; one when all labels are used")
    args = options.parse_args(argv)

    from massrl.evaluation.accuracy import linear
    from massrl.evaluation.subsets import fraction

    fraction(args.labels)  # a wrong one is refused first
    return run(args, linear, C=args.C, labels=args.labels, draws=args.draws)
