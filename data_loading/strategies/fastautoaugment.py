"""Fast AutoAugment (Lim et al., arXiv:1905.00397): policies found by matching densities; the figures of its authors.

They are in fast_autoaugment.json, from kakaobrain's fast-autoaugment: see NOTICE. A magnitude goes from
0 to 1 over an interval: of factors 0.1 to 1.9, so that 0.5 changes nothing; of thresholds 0 to 256, so that 1 does not.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from data_loading.ops import Choose, HorizontalFlip, Op
from data_loading.strategies.policy_ops import policy_op
from data_loading.strategies.strategy import STRATEGIES, Strategy, one_of

MIRRORED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@STRATEGIES.register
def fastautoaugment(policy: str = "imagenet", flip: float = 0.5) -> Strategy:
    """Fast AutoAugment: flip, then one of some 500 pairs of ops, each with its own probability and magnitude.

    policy: "imagenet", "cifar10" or "svhn", the data that it was searched on.  flip: probability.
    """
    policies = figures()["policies"]
    pairs = policies[one_of("fastautoaugment", "policy", policy, policies)]
    choose = Choose([[op for name, p, magnitude in pair for op in _op(name, p, magnitude)] for pair in pairs])
    return Strategy("fastautoaugment", [[HorizontalFlip(flip), choose]])


@functools.cache
def figures() -> dict[str, Any]:
    """{"ranges": {op: [low, high]}, "policies": {name: pairs of [op, probability, magnitude]}, ...}."""
    return json.loads(resources.files(__package__).joinpath("fast_autoaugment.json").read_text())


def _op(name: str, p: float, magnitude: float) -> list[Op]:
    low, high = figures()["ranges"][name]
    value = low + (high - low) * magnitude
    return policy_op(name, int(value) if name == "Posterize" else value, p, mirror=name in MIRRORED)
