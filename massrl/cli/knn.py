"""`massrl knn`: accuracy of nearest neighbours in a checkpoint's features, beside untrained weights and pixels."""

from __future__ import annotations

from massrl.cli.evaluate import parser, run

DESCRIPTION = (
    "Classify each test image by its nearest training images in a checkpoint's features (protocol knn v1: cosine, "
    "features centred by the training mean, votes exp(s / tau)), beside the same network with random weights and raw "
    "pixels."
)


def main(argv: list[str]) -> int:
    options = parser("knn", DESCRIPTION)
    options.add_argument("--k", type=int, default=20, help="neighbours that vote")
    options.add_argument(
        "--tau", type=float, default=0.07, help="temperature of the votes: smaller, nearer ones count more"
    )
    args = options.parse_args(argv)

    from massrl.evaluation.accuracy import knn

    return run(args, knn, k=args.k, tau=args.tau)
