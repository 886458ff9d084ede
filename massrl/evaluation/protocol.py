"""Protocol: the base class of evaluation protocols; each has a name, a version, a source, and says how it chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import nn

from data_loading.config.registry import Registry
from data_loading.errors import CheckpointError, ConfigError

Selection = Literal["fixed", "held-out", "test"]
SELECTIONS: dict[Selection, str] = {
    "fixed": "no setting is chosen by an accuracy",
    "held-out": "chosen on a held-out part of the training images",
    "test": "optimistic: chosen on the test images",
}
PROTOCOLS = Registry("protocol")
register = PROTOCOLS.register
BLOCK = 8192  # rows of features that are copied or converted at once
MODULES = (  # of this package, that register protocols
    "knn",
    "linear",
    "logreg",
    "heads",
    "classify.linear_protocols",
    "classify.semi_protocols",
    "classify.finetune_protocols",
    "transfer.protocol",
)


def protocols() -> Registry:
    """All protocols by name; their modules are imported only now."""
    for module in MODULES:
        import_module(f"massrl.evaluation.{module}")
    return PROTOCOLS


@dataclass(frozen=True)
class Protocol:
    """A rule that turns features or a checkpoint, with labels, into an accuracy.

    Equal name, version and parameters give equal numbers: a change of the rule gets a new version.

    source: paper or code that defines the rule.  selection: how its settings are chosen, a key of SELECTIONS; a
    protocol that can choose in several ways has it as a field.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    source: ClassVar[str]
    selection: ClassVar[Selection] = "fixed"

    @property
    def title(self) -> str:
        """Name and version, for example "knn v1"."""
        return f"{self.name} v{self.version}"

    @property
    def optimistic(self) -> bool:
        """Whether settings are chosen on the test images, so that the accuracy on them is too high."""
        return self.selection == "test"

    def parameters(self) -> dict[str, Any]:
        """All parameters as JSON values, for the record of a result."""
        return {key: value for key, value in asdict(self).items() if key != "selection"}

    def card(self) -> dict[str, Any]:
        """What a record of a result says of its protocol, as JSON values."""
        return {
            "protocol": self.title,
            "source": self.source,
            "parameters": self.parameters(),
            "selection": SELECTIONS[self.selection],
            "optimistic": self.optimistic,
        }


def check_pair(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    """Raise ConfigError unless x is (N, F), y (N,), test_x (M, F), test_y (M,), not empty, and features are finite."""
    for what, a, b in (("train", x, y), ("test", test_x, test_y)):
        if a.ndim != 2 or len(a) != len(b) or not len(a):
            raise ConfigError(f"{what} features of shape {a.shape} do not fit {len(b)} labels; give (N, F) and (N,)")
        check_finite(a, what)
    if x.shape[1] != test_x.shape[1]:
        raise ConfigError(f"train features have {x.shape[1]} dimensions, test features have {test_x.shape[1]}")


def check_finite(a: np.ndarray, what: str = "") -> None:
    """Raise ConfigError where features (N, F) hold NaN or infinity; block by block, as they may exceed the memory."""
    if not all(np.isfinite(a[rows]).all() for rows in slices(len(a))):
        of = f"{what} features" if what else "features"
        raise ConfigError(f"the {of} hold NaN or infinity; the encoder's training has probably diverged")


def check_weights(network: nn.Module, path: Path) -> None:
    """Raise CheckpointError where parameters or running statistics of a network hold NaN or infinity."""
    state = network.state_dict().items()
    broken = next((name for name, of in state if of.is_floating_point() and not of.isfinite().all()), None)
    if broken is not None:
        raise CheckpointError(f"{path}: {broken} holds NaN or infinity; the training has diverged: lower its base_lr")


def slices(n: int, size: int | None = None) -> Iterator[slice]:
    """0 to n in slices of `size` rows, BLOCK unless said, the last one shorter."""
    size = size or BLOCK
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
