import math

import pytest
import torch

from massrl.losses import vicreg, vicreg_terms


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Four images, two channels: means 0, Var = 4/3 with 1/(B - 1), no covariance.
Z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)


def test_identical_views_of_wide_uncorrelated_channels_cost_nothing():
    assert [term.item() for term in vicreg_terms(Z, Z)] == [0.0, 0.0, 0.0]


def test_the_invariance_is_a_mean_over_images_and_channels():
    moved = Z + torch.tensor([3.0, 0.0], dtype=torch.float64)  # 9 in one channel of two
    assert vicreg_terms(Z, moved).invariance.item() == 4.5
    assert vicreg(Z, moved).item() == 25 * 4.5  # a shift changes neither variance nor covariance


def test_the_variance_counts_what_is_missing_to_gamma_in_both_views():
    narrow = Z / 4  # Var = 1/12
    missing = 1 - math.sqrt(1 / 12 + 1e-4)
    assert vicreg_terms(narrow, narrow).variance.item() == pytest.approx(2 * missing)
    assert vicreg_terms(narrow, Z).variance.item() == pytest.approx(missing)
    assert vicreg_terms(Z, Z, gamma=2.0).variance.item() == pytest.approx(2 * (2 - math.sqrt(4 / 3 + 1e-4)))


def test_two_equal_channels_have_the_covariance_four_thirds_in_both_entries():
    z = Z[:, [0, 0]]
    assert vicreg_terms(z, Z).covariance.item() == pytest.approx(2 * (4 / 3) ** 2 / 2)  # 1/D sum over two entries


def test_a_collapsed_embedding_misses_all_variance_and_its_gradient_is_finite():
    z = torch.ones(8, 5, dtype=torch.float64, requires_grad=True)
    s, v, c = vicreg_terms(z, z)
    v.backward()
    assert (s.item(), c.item()) == (0.0, 0.0) and v.item() == pytest.approx(2 * (1 - 1e-2))  # sqrt(eps) = 0.01
    assert z.grad.isfinite().all()


def test_the_loss_is_the_weighted_sum_and_the_authors_code_is_half_the_weight_of_the_variance():
    z1, z2 = drawn(9, 4) * 0.5, drawn(9, 4, seed=1)
    s, v, c = vicreg_terms(z1, z2)
    torch.testing.assert_close(vicreg(z1, z2), 25 * s + 25 * v + c)
    torch.testing.assert_close(vicreg(z1, z2, var_weight=12.5), 25 * s + 25 * v / 2 + c)
    torch.testing.assert_close(vicreg(z1, z2, 1.0, 2.0, 3.0), s + 2 * v + 3 * c)
    assert min(s, v, c) > 0


def test_the_loss_is_symmetric_and_blind_to_the_order_of_images_but_not_to_width():
    z1, z2 = drawn(9, 4), drawn(9, 4, seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    for other in ((z2, z1), (z1[order], z2[order])):
        torch.testing.assert_close(vicreg(*other), vicreg(z1, z2), rtol=1e-12, atol=0)  # float64 rounding
    assert vicreg(2 * z1, 2 * z2) != vicreg(z1, z2)


def test_each_term_reaches_both_views():
    for name in ("invariance", "variance", "covariance"):
        z1, z2 = (drawn(9, 4, seed=s).mul_(0.5).requires_grad_() for s in (0, 1))
        getattr(vicreg_terms(z1, z2), name).backward()
        assert all(z.grad.abs().sum() > 0 for z in (z1, z2)), name


def test_inside_bfloat16_autocast_it_equals_that_outside():
    z1, z2 = drawn(8, 16).float(), drawn(8, 16, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = vicreg(z1, z2)
    assert torch.equal(inside, vicreg(z1, z2)) and vicreg(z1.half(), z2.half()).dtype == torch.float32
