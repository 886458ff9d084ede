"""`massrl linear`: accuracy of a linear classifier on a checkpoint's features, beside untrained weights and pixels."""

from __future__ import annotations

DESCRIPTION = (
    "Train a linear classifier on a checkpoint's frozen features (protocol linear v1: features centred and divided by "
    "one number, logistic regression by L-BFGS to convergence), beside the same network with random weights and the "
    "raw pixels."
)


def main(argv: list[str]) -> int:
    import numpy as np

    from massrl.cli.evaluate import parser, run
    from massrl.evaluation.linear import Linear
    from massrl.evaluation.subsets import draw, draws_of, fraction

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
    add("--draws", type=int, default=20, help="draws of the labels; one when all are used")
    args = options.parse_args(argv)
    fraction(args.labels)  # refuse a wrong one before the work
    protocol = Linear() if args.C is None else Linear(C=args.C, C_one_per_class=args.C)
    draws = draws_of(args.labels, args.draws)

    def score(train, test):
        x, test_x = protocol.scale(train.x, test.x)
        subsets = (draw(train.y, args.labels, args.seed, number) for number in range(draws))
        return np.array([protocol.scaled_accuracy(x, train.y, test_x, test.y, rows) for rows in subsets])

    said = (
        f"C {protocol.C:g}"
        if args.C is not None
        else f"C {Linear.C:g}, {Linear.C_one_per_class:g} with one label a class"
    )
    return run(args, protocol, said, score, labels=args.labels, draws=draws)
