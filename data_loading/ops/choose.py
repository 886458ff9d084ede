"""Choose: one of several lists of ops at random, as RandAugment, AutoAugment and their kin do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_loading.config.described import build
from data_loading.errors import ViewError
from data_loading.ops.base import OPS, Op, whole

CHOOSE = 37  # in no plan: it writes the steps of other ops


@OPS.register
class Choose(Op):
    """Choose one of `policies` (equally likely), run its ops in order, each with its own `p`; all that `times` times.

    policies: lists of ops; an empty list leaves the image unchanged. All their random numbers come from the stream of
    this op, so that name, share, seed and fixed are arguments of Choose, not of the ops in it; else ViewError.
    """

    rule = CHOOSE

    def __init__(self, policies: Sequence[Sequence[Op]], times: int = 1, p: float = 1.0, **common: Any):
        super().__init__(p, **common)
        self.policies, self.times = lists_of_ops("Choose: policies", policies), whole(self, "times", times, 1, 16)
        for op in (op for policy in self.policies for op in policy):
            if isinstance(op, Choose):
                raise ViewError("Choose: a policy cannot hold another Choose; list its policies here")
            if op.name or op.share or op.fixed or op.seed is not None:
                raise ViewError(f"Choose: {type(op).__name__} in a policy has a stream of its own; give it to Choose")

    @property
    def steps(self) -> int:
        return self.times * max(sum(op.steps for op in policy) for policy in self.policies)


def lists_of_ops(what: str, value: Sequence[Sequence[Op | str | dict[str, Any]]]) -> list[list[Op]]:
    """Build at least one list of ops, each given as an object, a name or {class_path, init_args}.

    ViewError for anything else; its message begins with `what`.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(ops, list | tuple) for ops in value):
        raise ViewError(f"{what} is {value!r}; it must be a list of lists of ops, as [[HorizontalFlip]]")
    if not value:
        raise ViewError(f"{what} is empty; give at least one list of ops, which may be empty")
    return [[build(op, OPS, Op) for op in ops] for ops in value]
