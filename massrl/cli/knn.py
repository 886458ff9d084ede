"""`massrl knn`: accuracy of nearest neighbours in the features of a checkpoint, beside untrained weights and pixels."""

from __future__ import annotations

DESCRIPTION = (
    "Name each test image by its nearest training images in a checkpoint's features (protocol knn v1: cosine, features "
    "centred by the training mean, votes exp(s / tau)), beside the same network with random weights and raw pixels."
)


def main(argv: list[str]) -> int:
    from massrl.cli.evaluate import parser, run
    from massrl.evaluation.knn import KNN

    options = parser("knn", DESCRIPTION)
    options.add_argument("--k", type=int, default=KNN.k, help="neighbours that vote")
    options.add_argument(
        "--tau", type=float, default=KNN.tau, help="temperature of the votes: smaller, nearer ones count more"
    )
    args = options.parse_args(argv)
    protocol = KNN(k=args.k, tau=args.tau)

    def score(train, test):
        import numpy as np

        return np.array([protocol.accuracy(train.x, train.y, test.x, test.y)])

    return run(args, protocol, f"k {args.k}, tau {args.tau:g}", score, labels="all", draws=1)
