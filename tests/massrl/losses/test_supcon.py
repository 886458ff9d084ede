import math

import pytest
import torch
import torch.nn.functional as F

from massrl.losses import nt_xent, supcon


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_with_a_class_for_each_image_it_is_nt_xent():
    for views in (2, 3):
        z = drawn(views, 6, 4)
        torch.testing.assert_close(supcon(z, torch.arange(6), 0.2), nt_xent(z, 0.2), rtol=1e-12, atol=0)


def test_with_one_class_it_is_the_mean_log_probability_of_all_ordered_pairs():
    z = drawn(2, 3, 4)
    flat = F.normalize(z.flatten(0, 1), dim=1)
    log_p = (flat @ flat.T / 0.2).fill_diagonal_(-math.inf).log_softmax(1)
    pairs = [log_p[i, j] for i in range(6) for j in range(6) if i != j]
    expected = -sum(pairs) / 30
    torch.testing.assert_close(supcon(z, torch.zeros(3, dtype=torch.long), 0.2), expected, rtol=1e-12, atol=0)


def test_classes_that_have_collapsed_to_orthogonal_directions_have_a_closed_form():
    labels = torch.tensor([0, 0, 1, 1])
    z = torch.eye(3)[labels].expand(2, 4, 3)
    e = math.exp(1 / 0.5)  # 3 positives of cosine 1, and 4 negatives of cosine 0 in each denominator
    torch.testing.assert_close(supcon(z, labels, tau=0.5), torch.tensor(-math.log(e / (3 * e + 4))))


def test_one_direction_for_all_images_has_the_loss_of_guessing():
    z = torch.ones(2, 5, 3)
    torch.testing.assert_close(supcon(z, torch.tensor([0, 1, 0, 1, 2])), torch.tensor(math.log(9)))  # 9 others each


def test_an_image_alone_in_its_class_with_one_view_is_left_out_of_the_mean_but_not_of_the_denominators():
    z = torch.eye(3)[[0, 0, 1]][None]
    e = math.exp(1 / 0.5)  # each of the two anchors: one positive, one negative
    loss = supcon(z, torch.tensor([7, 7, 3]), tau=0.5)
    torch.testing.assert_close(loss, torch.tensor(-math.log(e / (e + 1))))


def test_without_any_positive_the_loss_and_its_gradient_are_0():
    z = drawn(1, 4, 3).requires_grad_()
    loss = supcon(z, torch.arange(4))
    loss.backward()
    assert loss == 0 and not z.grad.any()


@pytest.mark.parametrize("base_tau", [0.07, 1.0])
def test_base_tau_multiplies_the_loss_by_tau_over_base_tau(base_tau):
    z, labels = drawn(2, 4, 3), torch.tensor([0, 1, 0, 1])
    expected = 0.1 / base_tau * supcon(z, labels, 0.1)
    torch.testing.assert_close(supcon(z, labels, 0.1, base_tau), expected, rtol=1e-12, atol=0)


def test_it_does_not_change_when_images_views_or_the_names_of_classes_are_permuted_or_z_is_scaled():
    z, labels = drawn(3, 6, 4), torch.tensor([0, 0, 1, 2, 1, 0])
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    scale = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    others = [(z[:, order], labels[order]), (z[[2, 0, 1]], labels), (z, 5 - labels), (scale * z, labels)]
    for other in others:
        torch.testing.assert_close(supcon(*other), supcon(z, labels), rtol=1e-12, atol=0)


def test_inside_bfloat16_autocast_it_equals_that_outside():
    z, labels = drawn(2, 8, 16).float(), torch.arange(8) // 2
    with torch.autocast("cpu", torch.bfloat16):
        inside = supcon(z, labels)
    assert torch.equal(inside, supcon(z, labels))
