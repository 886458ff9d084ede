import math

import pytest
import torch
import torch.nn.functional as F

from massrl.losses import cosine_distance, feature_std, negative_cosine, nt_xent, pairwise_cosine_distance


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def nt_xent_in_loops(z, tau):
    """Eq. 1 of SimCLR as it is written, one pair at a time."""
    V, B, _ = z.shape
    flat = [z[v, b] / z[v, b].norm() for v in range(V) for b in range(B)]
    total, pairs = 0.0, 0
    for i in range(V * B):
        for j in range(V * B):
            if i != j and i % B == j % B:
                denominator = sum(torch.exp(flat[i] @ flat[k] / tau) for k in range(V * B) if k != i)
                total, pairs = total - torch.log(torch.exp(flat[i] @ flat[j] / tau) / denominator), pairs + 1
    return total / pairs


def distance_in_loops(p, z):
    B = p.shape[1]
    rows = []
    for i in range(len(p)):
        row = [
            sum((p[i, b] / p[i, b].norm() - z[j, b] / z[j, b].norm()).square().sum() for b in range(B)) / B
            for j in range(len(z))
        ]
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("views", [2, 3])
def test_nt_xent_equals_its_equation_in_loops_in_value_and_gradient(views):
    z = drawn(views, 5, 4).requires_grad_()
    ours, loops = nt_xent(z, tau=0.2), nt_xent_in_loops(z, 0.2)
    torch.testing.assert_close(ours, loops, rtol=1e-12, atol=0)  # float64: rounding only
    grads = [torch.autograd.grad(loss, z)[0] for loss in (ours, loops)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


def test_nt_xent_of_orthogonal_pairs_has_a_closed_form():
    z = torch.eye(4).expand(2, 4, 4)  # 4 images; views identical, images orthogonal
    e = math.exp(1 / 0.5)  # positive: e^(1/tau); the 6 negatives: e^0 each
    torch.testing.assert_close(nt_xent(z, tau=0.5), torch.tensor(-math.log(e / (e + 6))))


def test_nt_xent_of_two_views_is_the_cross_entropy_with_the_other_view():
    z = drawn(2, 6, 4)
    flat = F.normalize(z.reshape(12, 4), dim=1)
    logits = (flat @ flat.T / 0.5).fill_diagonal_(-1e9)
    torch.testing.assert_close(nt_xent(z, 0.5), F.cross_entropy(logits, torch.arange(12).roll(6)), rtol=1e-12, atol=0)


def test_nt_xent_does_not_change_when_images_or_views_are_permuted_or_scaled():
    z = drawn(3, 6, 4)
    for other in (z[:, torch.randperm(6)], z[[2, 0, 1]], 7 * z):
        torch.testing.assert_close(nt_xent(z), nt_xent(other), rtol=1e-12, atol=0)


def test_nt_xent_of_embeddings_of_zeros_is_that_of_unrelated_ones_and_its_gradient_is_finite():
    z = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)
    loss = nt_xent(z)
    torch.testing.assert_close(loss, torch.tensor(math.log(5), dtype=torch.float64))  # 5 others, all cosines 0
    loss.backward()
    assert z.grad.isfinite().all()


def test_losses_inside_bfloat16_autocast_equal_those_outside():
    z, p = drawn(2, 8, 16).float(), drawn(2, 8, 16, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(z), cosine_distance(p, z), negative_cosine(p, z), pairwise_cosine_distance(p, z)
    outside = nt_xent(z), cosine_distance(p, z), negative_cosine(p, z), pairwise_cosine_distance(p, z)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))
    assert nt_xent(z.bfloat16()).dtype == torch.float32


def test_negative_cosine_by_hand():
    p, z = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 5.0]])
    torch.testing.assert_close(negative_cosine(p, z), torch.tensor(-(math.sqrt(0.5) + 1) / 2))


def test_cosine_distance_is_0_for_one_direction_2_for_orthogonal_4_for_opposite_vectors():
    a = torch.tensor([[2.0, 0.0]])
    for other, value in (([[5.0, 0.0]], 0.0), ([[0.0, 1.0]], 2.0), ([[-1.0, 0.0]], 4.0)):
        torch.testing.assert_close(cosine_distance(a, torch.tensor(other)), torch.tensor(value))


def test_cosine_distances_equal_the_squared_distance_of_normalised_vectors_in_value_and_gradient():
    p, z = drawn(3, 5, 4).requires_grad_(), drawn(2, 5, 4, seed=1)
    weight = drawn(3, 2, seed=2)
    ours, loops = pairwise_cosine_distance(p, z), distance_in_loops(p, z)
    torch.testing.assert_close(ours, loops, rtol=1e-12, atol=1e-14)
    grads = [torch.autograd.grad((weight * d).sum(), p)[0] for d in (ours, loops)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cosine_distance(p[0], z[1]), ours[0, 1], rtol=1e-12, atol=0)


def test_a_detached_target_receives_no_gradient_and_the_prediction_does():
    for loss in (cosine_distance, negative_cosine):
        p, z = drawn(4, 3).requires_grad_(), drawn(4, 3, seed=1).requires_grad_()
        loss(p, z.detach()).backward()
        assert z.grad is None and p.grad.abs().sum() > 0


def test_feature_std_is_0_when_all_directions_are_one_and_near_one_over_root_d_when_spread():
    assert feature_std(torch.ones(8, 4) * torch.arange(1, 9)[:, None]) < 1e-6  # lengths differ, directions do not
    spread = feature_std(drawn(4096, 64))
    assert abs(spread - 1 / 8) < 0.01  # random directions: 1/sqrt(D) up to the sampling error of 4096 draws
    assert not feature_std(drawn(4, 3).requires_grad_()).requires_grad
