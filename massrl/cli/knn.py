"""`massrl knn`: accuracy of nearest neighbours in a checkpoint's features, beside untrained weights and pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data_loading.errors import ConfigError
from massrl.cli.evaluate import parser, run

DESCRIPTION = (
    "Classify each test image by its nearest training images in a checkpoint's features (protocol knn v2, as DINO: "
    "cosine of raw features, votes exp(s / tau)), beside the same network with random weights and raw pixels. Several "
    "values, as --k 10,20,100,200, are a grid (protocol knn-grid): the setting is chosen on a held-out tenth of the "
    "training images."
)


def main(argv: list[str]) -> int:
    options = parser("knn", DESCRIPTION)
    add = options.add_argument
    add(
        "--protocol",
        type=str | None,
        default=None,
        help="knn; knn-centred (knn v1: features less their training mean); knn-grid (default: knn, knn-grid for "
        "several values)",
    )
    add("--k", type=str | None, default=None, help="neighbours that vote; one number or several (default: 20)")
    add(
        "--tau",
        type=str | None,
        default=None,
        help="temperature of the votes, one number or several: smaller, nearer ones count more (default: 0.07)",
    )
    add("--distance", type=str | None, default=None, help="cosine, euclidean (votes 1 / distance) or both")
    add("--select", type=str | None, default=None, help="of a grid: held-out (default), or test, which is optimistic")
    args = options.parse_args(argv)

    from massrl.evaluation.accuracy import knn

    values = {"k": _values("k", args.k, int), "tau": _values("tau", args.tau, float)}
    values["distance"] = _values("distance", args.distance, str)
    return run(args, knn, protocol=args.protocol, select=args.select, **values)


def _values(name: str, text: str | None, kind: Callable[[str], Any]) -> Any:
    """One value, or a list of those that commas separate; None for none."""
    if text is None:
        return None
    try:
        values = [kind(word.strip()) for word in str(text).split(",")]
    except ValueError:
        what = {"int": "integers", "float": "numbers"}[kind.__name__]
        raise ConfigError(f"--{name} is {text!r}; give {what}, with commas between several") from None
    return values if len(values) > 1 else values[0]
