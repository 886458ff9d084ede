import math

import pytest
import torch

from massrl.losses import barlow_twins


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Four images, two channels that are standardised already and do not correlate.
UNCORRELATED = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)


def test_identical_views_of_uncorrelated_channels_cost_nothing():
    assert barlow_twins(UNCORRELATED, UNCORRELATED, eps=0.0).item() == 0.0
    with_eps = barlow_twins(UNCORRELATED, UNCORRELATED, eps=1e-5)  # C_ii = 1 / (1 + eps)
    assert with_eps.item() == pytest.approx(2 * (1 - 1 / (1 + 1e-5)) ** 2, rel=1e-4)  # 1 - C_ii: five digits are left


def test_opposite_views_cost_four_a_channel_and_exchanged_channels_one_and_lambda():
    assert barlow_twins(UNCORRELATED, -UNCORRELATED, eps=0.0).item() == pytest.approx(2 * 4)
    # C = [[0, 1], [1, 0]]: each channel misses its own and has that of the other.
    assert barlow_twins(UNCORRELATED, UNCORRELATED.flip(1), lambd=0.1, eps=0.0).item() == pytest.approx(2 + 2 * 0.1)


def test_two_equal_channels_cost_lambda_for_each_of_both_entries():
    z = UNCORRELATED[:, [0, 0]]
    assert barlow_twins(z, z, lambd=0.3, eps=0.0).item() == pytest.approx(2 * 0.3)


def test_a_collapsed_embedding_costs_one_a_channel_and_is_finite_with_its_gradient():
    z = torch.ones(8, 5, dtype=torch.float64, requires_grad=True)
    loss = barlow_twins(z, z)
    loss.backward()
    assert loss.item() == 5.0 and z.grad.isfinite().all()
    assert math.isnan(barlow_twins(z, z, eps=0.0).item())  # 0 / 0, which eps is for


def test_the_loss_is_symmetric_and_blind_to_order_shift_and_width():
    z1, z2 = drawn(9, 4), drawn(9, 4, seed=1)
    value = barlow_twins(z1, z2, eps=0.0)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    for other in ((z2, z1), (z1[order], z2[order]), (3 * z1 + 7, 0.5 * z2 - 1)):
        torch.testing.assert_close(barlow_twins(*other, eps=0.0), value, rtol=1e-12, atol=0)  # float64 rounding


def test_the_scale_multiplies_all_of_it_and_both_views_learn():
    z1, z2 = (drawn(9, 4, seed=s).requires_grad_() for s in (0, 1))
    loss = barlow_twins(z1, z2, scale=0.024)
    torch.testing.assert_close(loss, 0.024 * barlow_twins(z1, z2))
    loss.backward()
    assert all(z.grad.abs().sum() > 0 for z in (z1, z2))


def test_inside_bfloat16_autocast_it_equals_that_outside():
    z1, z2 = drawn(8, 16).float(), drawn(8, 16, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = barlow_twins(z1, z2)
    assert torch.equal(inside, barlow_twins(z1, z2)) and barlow_twins(z1.half(), z2.half()).dtype == torch.float32
