import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from massrl.losses import sinkhorn, swav


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosines(B=8, K=5, seed=0):
    """Scores as they come from unit vectors, in [-1, 1]."""
    return F.normalize(drawn(B, 4, seed=seed), dim=1) @ F.normalize(drawn(K, 4, seed=9), dim=1).T


def authors_loop(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """`distributed_sinkhorn` of SwAV's repository, for one process."""
    Q = np.exp(scores / epsilon).T  # (K, B)
    K, B = Q.shape
    Q /= Q.sum()
    for _ in range(iterations):
        Q /= Q.sum(axis=1, keepdims=True)
        Q /= K
        Q /= Q.sum(axis=0, keepdims=True)
        Q /= B
    return (Q * B).T


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_sinkhorn_equals_the_authors_loop(iterations, epsilon):
    scores = cosines()
    expected = torch.from_numpy(authors_loop(scores.numpy(), epsilon, iterations))
    # float64; up to e^40 is summed, and the smallest entries are 1e-17
    torch.testing.assert_close(sinkhorn(scores, epsilon, iterations), expected, rtol=1e-10, atol=1e-15)


def test_each_image_is_given_away_once_after_any_number_of_turns():
    for iterations in (1, 3, 50):
        q = sinkhorn(cosines(), iterations=iterations)
        torch.testing.assert_close(q.sum(1), torch.ones(8, dtype=torch.float64), rtol=1e-12, atol=0)
        assert (q >= 0).all()


def test_after_many_turns_every_prototype_has_its_equal_share():
    q = sinkhorn(cosines(), epsilon=0.3, iterations=500)
    torch.testing.assert_close(q.sum(0), torch.full((5,), 8 / 5, dtype=torch.float64), rtol=1e-10, atol=0)


def test_a_prototype_that_all_images_like_best_is_shared_out():
    scores = torch.tensor([[1.0, 0.9], [1.0, 0.7], [1.0, 0.0], [1.0, -0.2]])
    q = sinkhorn(scores, epsilon=0.2, iterations=200)  # the second one goes to those that like it least badly
    assert q.argmax(1).tolist() == [1, 1, 0, 0]
    torch.testing.assert_close(q.sum(0), torch.tensor([2.0, 2.0]))


def test_equal_scores_are_assigned_evenly():
    torch.testing.assert_close(sinkhorn(torch.full((6, 4), 0.3)), torch.full((6, 4), 1 / 4))


def test_what_is_added_to_all_scores_of_an_image_or_of_a_prototype_does_not_matter():
    """In the end; three turns are not yet blind to it."""
    scores = cosines()
    end = sinkhorn(scores, 0.3, 500)
    for added in (drawn(8, 1, seed=3), drawn(1, 5, seed=3)):
        torch.testing.assert_close(sinkhorn(scores + 0.3 * added, 0.3, 500), end, rtol=1e-8, atol=1e-12)


def test_images_and_prototypes_may_come_in_any_order():
    scores = cosines()
    images, prototypes = torch.tensor([3, 1, 7, 0, 6, 4, 2, 5]), torch.tensor([4, 0, 3, 1, 2])
    q = sinkhorn(scores)[images][:, prototypes]
    torch.testing.assert_close(sinkhorn(scores[images][:, prototypes]), q, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_a_thousand_neither_overflow_nor_leave_an_image_out(dtype):
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (16, 6), generator=draw) * 2 - 1
    for scores in (1e3 * signs, torch.full((16, 6), 1e3), torch.full((16, 6), -1e3)):
        q = sinkhorn(scores.to(dtype))
        assert q.isfinite().all()
        torch.testing.assert_close(q.sum(1), torch.ones(16, dtype=dtype))


def test_four_images_are_assigned_to_three_thousand_prototypes():
    """Most prototypes get a small share of an image each; SwAV's defaults, with the batch of a trial."""
    q = sinkhorn(F.normalize(torch.randn(4, 3000, generator=torch.Generator().manual_seed(0)), dim=1), 0.05, 3)
    assert q.isfinite().all() and (q >= 0).all()
    torch.testing.assert_close(q.sum(1), torch.ones(4))
    assert q.sum(0).max() < 2 * 4 / 3000


def test_sinkhorn_carries_no_gradient_and_leaves_its_input():
    scores = cosines().requires_grad_()
    before = scores.detach().clone()
    assert not sinkhorn(scores).requires_grad and torch.equal(scores, before)


def test_swav_of_certain_assignments_is_the_cross_entropy_with_the_other_views_prototype():
    scores, classes = drawn(2, 6, 5), torch.tensor([[0, 1, 2, 3, 4, 0], [1, 1, 4, 0, 2, 3]])
    certain = F.one_hot(classes, 5).double()
    # view 0 predicts what view 1 is assigned to, and the other way round
    expected = (F.cross_entropy(scores[0] / 0.2, classes[1]) + F.cross_entropy(scores[1] / 0.2, classes[0])) / 2
    torch.testing.assert_close(swav(scores, certain, 0.2), expected, rtol=1e-12, atol=0)


def test_even_scores_cost_log_k_whatever_is_assigned():
    given = drawn(2, 6, 5).softmax(-1)
    loss = swav(torch.full((4, 6, 5), 0.3, dtype=torch.float64), given)
    assert loss.item() == pytest.approx(math.log(5), rel=1e-12)


def test_the_loss_of_predicting_the_assignments_themselves_is_their_entropy():
    q = drawn(6, 5).softmax(-1)
    entropy = -(q * q.log()).sum(1).mean()
    torch.testing.assert_close(swav(0.1 * q.log().expand(2, 6, 5), q.expand(2, 6, 5), 0.1), entropy)


def test_a_view_never_predicts_its_own_assignment():
    """With one assigned view of three, what that view itself scores has no part; the two others count equally."""
    scores, given = drawn(3, 6, 5).requires_grad_(), drawn(1, 6, 5, seed=1).softmax(-1)
    loss = swav(scores, given, 0.2)
    alone = [-(given[0] * (scores[v] / 0.2).log_softmax(1)).sum(1).mean() for v in (1, 2)]
    torch.testing.assert_close(loss, (alone[0] + alone[1]) / 2, rtol=1e-12, atol=0)
    loss.backward()
    assert not scores.grad[0].any() and all(g.any() for g in scores.grad[1:])


def test_of_two_assigned_and_three_local_views_eight_pairs_are_averaged():
    scores, given = drawn(5, 6, 5), drawn(2, 6, 5, seed=1).softmax(-1)
    pairs = [(a, v) for a in range(2) for v in range(5) if v != a]
    assert len(pairs) == 8
    terms = [-(given[a] * (scores[v] / 0.1).log_softmax(1)).sum(1).mean() for a, v in pairs]
    torch.testing.assert_close(swav(scores, given), sum(terms) / 8, rtol=1e-12, atol=0)


def test_views_that_agree_cost_less_than_views_that_do_not():
    same = torch.stack([cosines(), cosines()])
    other = torch.stack([cosines(), cosines(seed=5)])
    loss = [swav(s, torch.stack([sinkhorn(x) for x in s])) for s in (same, other)]
    assert loss[0] < loss[1]


def test_gradient_flows_to_the_scores_alone():
    scores, given = drawn(2, 6, 5).requires_grad_(), drawn(2, 6, 5, seed=1).softmax(-1).requires_grad_()
    swav(scores, given).backward()
    assert given.grad is None and scores.grad.abs().sum() > 0


def test_inside_bfloat16_autocast_they_equal_those_outside():
    scores = drawn(2, 8, 5).float()
    with torch.autocast("cpu", torch.bfloat16):
        given = torch.stack([sinkhorn(s) for s in scores])
        inside = swav(scores, given)
    assert torch.equal(given, torch.stack([sinkhorn(s) for s in scores])) and torch.equal(inside, swav(scores, given))
    assert sinkhorn(scores[0].half()).dtype == torch.float32
    assert swav(scores.half(), given.half()).dtype == torch.float32
