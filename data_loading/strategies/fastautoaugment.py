"""Fast AutoAugment (Lim et al., arXiv:1905.00397): policies found by density matching, as the authors published them.

The policies are in fast_autoaugment.json, copied from kakaobrain/fast-autoaugment (see NOTICE). A magnitude from 0 to 1
is mapped linearly to the range of its op: factors 0.1 to 1.9 (0.5 is the identity), solarize thresholds 0 to 256 (1 is
the identity), and so on.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from data_loading.errors import ViewError, one_of
from data_loading.ops import Choose, HorizontalFlip, Op
from data_loading.strategies.policy_ops import policy_op
from data_loading.strategies.strategy import STRATEGIES, Strategy

# Ops whose value gets a random sign.
MIRRORED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@STRATEGIES.register
def fastautoaugment(policy: str = "imagenet", flip: float = 0.5) -> Strategy:
    """Fast AutoAugment: flip, then one of about 500 pairs of ops, each op with its own probability and magnitude.

    policy: "imagenet", "cifar10" or "svhn", the data set of the search.  flip: probability.
    """
    policies = published()["policies"]
    pairs = policies[one_of("fastautoaugment: policy", policy, policies, ViewError)]
    choose = Choose([[op for name, p, magnitude in pair for op in _op(name, p, magnitude)] for pair in pairs])
    return Strategy("fastautoaugment", [[HorizontalFlip(flip), choose]])


@functools.cache
def published() -> dict[str, Any]:
    """The JSON file: {"ranges": {op: [low, high]}, "policies": {name: list of pairs of [op, p, magnitude]}, ...}."""
    return json.loads(resources.files(__package__).joinpath("fast_autoaugment.json").read_text())


def _op(name: str, p: float, magnitude: float) -> list[Op]:
    low, high = published()["ranges"][name]
    value = low + (high - low) * magnitude
    return policy_op(name, int(value) if name == "Posterize" else value, p, mirror=name in MIRRORED)
