"""Every loss equals its equation written in loops, in value and gradient; massrl/bench/cases has them."""

import inspect

import pytest
import torch

import massrl.losses
from massrl.bench.cases import CASES, SIZES

every = pytest.mark.parametrize("name", sorted(CASES))


@every
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"B{size[0]}D{size[1]}")
def test_a_loss_equals_its_equation_in_loops_in_value_and_gradient(name, size):
    case = CASES[name]
    inputs = case.inputs(*size)
    value, grads = case.measure(case.loss, inputs)
    expected, expected_grads = case.measure(case.reference, inputs)
    torch.testing.assert_close(value, expected, **case.tolerance)
    for key in case.learns:
        torch.testing.assert_close(grads[key], expected_grads[key], **case.tolerance, msg=lambda m, k=key: f"{k}: {m}")


def test_every_loss_has_a_case():
    # Two measures; two without gradient, which are in the cases of others.
    other = {"feature_std", "entropies", "sinkhorn", "nearest_neighbour"}
    covered = {name.partition(",")[0] for name in CASES}
    losses = {n for n in massrl.losses.__all__ if inspect.isfunction(getattr(massrl.losses, n))} - other
    assert not losses - covered
