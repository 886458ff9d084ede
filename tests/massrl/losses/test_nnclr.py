import math

import torch
import torch.nn.functional as F

from massrl.losses import nearest_neighbour, nnclr


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_neighbour_is_that_of_the_smallest_angle_whatever_the_norms():
    queue = torch.tensor([[9.0, 0.0], [0.1, 0.1], [0.0, 3.0]])
    z = torch.tensor([[2.0, 0.1], [0.1, 2.0], [5.0, 4.0]])
    assert torch.equal(nearest_neighbour(z, queue), queue[[0, 2, 1]])
    assert torch.equal(nearest_neighbour(z.expand(2, 3, 2), queue), queue[[0, 2, 1]].expand(2, 3, 2))
    assert not nearest_neighbour(z.requires_grad_(), queue).requires_grad


def test_neighbours_and_predictions_of_orthogonal_images_have_a_closed_form():
    x = torch.eye(4).expand(2, 4, 4)
    e = math.exp(1 / 0.5)  # the own prediction: e^(1/tau); the 3 of other images: e^0 each
    expected = torch.tensor(-math.log(e / (e + 3)))
    torch.testing.assert_close(nnclr(x, x, tau=0.5), expected)
    torch.testing.assert_close(nnclr(x, x, tau=0.5, symmetric=True), 2 * expected)


def test_one_direction_for_all_has_the_loss_of_guessing():
    torch.testing.assert_close(nnclr(torch.ones(2, 5, 3), torch.ones(2, 5, 3)), torch.tensor(math.log(5)))


def test_two_views_are_half_of_both_cross_entropies_of_the_papers_pseudocode():
    n, p = drawn(2, 6, 4), drawn(2, 6, 4, seed=1)
    (n1, n2), (p1, p2) = F.normalize(n, dim=2), F.normalize(p, dim=2)
    own = torch.arange(6)
    rows = [F.cross_entropy(a @ b.T / 0.2, own) for a, b in ((n1, p2), (n2, p1))]
    columns = [F.cross_entropy(b @ a.T / 0.2, own) for a, b in ((n1, p2), (n2, p1))]
    torch.testing.assert_close(nnclr(n, p, 0.2), sum(rows) / 2, rtol=1e-12, atol=0)
    both = (sum(rows) + sum(columns)) / 2
    torch.testing.assert_close(nnclr(n, p, 0.2, symmetric=True), both, rtol=1e-12, atol=0)


def test_the_plain_form_is_not_symmetric_and_the_symmetric_one_is():
    n, p = drawn(2, 6, 4), drawn(2, 6, 4, seed=1)
    assert abs(nnclr(n, p) - nnclr(p, n)) > 1e-3
    torch.testing.assert_close(nnclr(n, p, symmetric=True), nnclr(p, n, symmetric=True), rtol=1e-12, atol=0)


def test_it_does_not_change_when_images_or_views_are_permuted_or_scaled():
    n, p = drawn(3, 6, 4), drawn(3, 6, 4, seed=1)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    for a, b in ((n[:, order], p[:, order]), (n[[2, 0, 1]], p[[2, 0, 1]]), (3 * n, 7 * p)):
        torch.testing.assert_close(nnclr(a, b), nnclr(n, p), rtol=1e-12, atol=0)
