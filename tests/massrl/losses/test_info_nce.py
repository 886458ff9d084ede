import math

import pytest
import torch
import torch.nn.functional as F

from massrl.losses import info_nce, info_nce_batch


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def three(B=6, Q=9, D=4):
    return drawn(B, D), drawn(B, D, seed=1), drawn(Q, D, seed=2)


def test_a_key_equal_to_its_query_among_orthogonal_negatives_has_a_closed_form():
    axes = torch.eye(7)
    q = axes[:2]  # 2 queries, the other 5 axes in the queue
    e = math.exp(1 / 0.5)  # the positive; the 5 negatives: e^0 each
    torch.testing.assert_close(info_nce(q, q, axes[2:], tau=0.5), torch.tensor(-math.log(e / (e + 5))))
    # within the batch: 1 positive, and the key of each of the 6 other images
    torch.testing.assert_close(info_nce_batch(axes, axes, tau=0.5), torch.tensor(-math.log(e / (e + 6))))


def test_where_all_keys_are_one_the_loss_is_that_of_guessing():
    key = torch.ones(1, 4, dtype=torch.float64)
    guess = info_nce(drawn(6, 4), key.expand(6, 4), key.expand(9, 4))
    assert guess.item() == pytest.approx(math.log(1 + 9), rel=1e-12)  # float64 rounding
    assert info_nce_batch(drawn(6, 4), key.expand(6, 4)).item() == pytest.approx(math.log(6), rel=1e-12)


def test_a_query_opposite_to_its_key_and_equal_to_the_negatives_pays_two_over_tau():
    q = torch.tensor([[1.0, 0.0]])
    # -log e^(-1/tau) / (e^(-1/tau) + e^(1/tau)) = log(1 + e^(2/tau)); here without overflow of e^200
    torch.testing.assert_close(info_nce(q, -q, q, tau=0.01), torch.tensor(200.0))


def test_info_nce_is_the_cross_entropy_whose_class_is_the_key():
    q, k, queue = (F.normalize(x, dim=1) for x in three())
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.2  # (B, 1 + Q), as the authors' code
    expected = F.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(info_nce(q, k, queue, 0.2), expected, rtol=1e-12, atol=0)


def test_info_nce_batch_is_the_cross_entropy_whose_class_is_the_image_and_info_nce_with_the_others_as_queue():
    q, k, _ = (F.normalize(x, dim=1) for x in three())
    value = info_nce_batch(q, k, 0.2)
    torch.testing.assert_close(value, F.cross_entropy(q @ k.T / 0.2, torch.arange(6)), rtol=1e-12, atol=0)
    others = [info_nce(q[[i]], k[[i]], torch.cat([k[:i], k[i + 1 :]]), 0.2) for i in range(6)]
    torch.testing.assert_close(value, sum(others) / 6, rtol=1e-12, atol=0)


def test_neither_loss_depends_on_the_order_of_images_or_of_the_queue_or_on_norms():
    q, k, queue = three()
    order, turned = torch.tensor([3, 1, 5, 0, 4, 2]), queue.flip(0)
    scale = torch.arange(1.0, 10.0, dtype=torch.float64)[:, None]
    value = info_nce(q, k, queue)
    others = [(q[order], k[order], queue), (q, k, turned), (scale[:6] * q, 7 * k, scale * queue)]
    for other in others:
        torch.testing.assert_close(info_nce(*other), value, rtol=1e-12, atol=0)
    value = info_nce_batch(q, k)
    for other in [(q[order], k[order]), (scale[:6] * q, 7 * k)]:
        torch.testing.assert_close(info_nce_batch(*other), value, rtol=1e-12, atol=0)
    assert abs(info_nce_batch(q[order], k) - value) > 0.01, "keys of other images"


def test_the_loss_falls_as_the_key_comes_nearer_and_rises_with_each_negative():
    q, k, queue = three()
    values = [info_nce(q, (1 - t) * k + t * q, queue).item() for t in (0.0, 0.3, 0.6, 1.0)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4
    values = [info_nce(q, k, queue[:n]).item() for n in (1, 3, 9)]
    assert values == sorted(values) and len(set(values)) == 3


def test_gradient_flows_to_what_is_not_detached():
    def reached(loss, *xs):
        xs = [x.requires_grad_() for x in xs]
        loss(*xs).backward()
        return [x.grad is not None and bool(x.grad.abs().sum() > 0) for x in xs]

    assert reached(info_nce, *three()) == [True, True, True]
    assert reached(lambda q, k, queue: info_nce(q, k.detach(), queue.detach()), *three()) == [True, False, False]
    assert reached(info_nce_batch, *three()[:2]) == [True, True]
    assert reached(lambda q, k: info_nce_batch(q, k.detach()), *three()[:2]) == [True, False]


def test_the_gradient_draws_the_query_to_its_key_and_pushes_it_from_a_negative():
    q = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    k, queue = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    info_nce(q, k, queue, tau=0.5).backward()
    # both cosines 0, p = 1/2 each: (p - 1) k / tau + p queue / tau
    torch.testing.assert_close(q.grad, torch.tensor([[0.0, -1.0, 1.0]]))


def test_inside_bfloat16_autocast_they_equal_those_outside():
    q, k, queue = (x.float() for x in three(D=16))
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce(q, k, queue), info_nce_batch(q, k)
    assert inside == (info_nce(q, k, queue), info_nce_batch(q, k))
    assert info_nce(q.half(), k.half(), queue.half()).dtype == torch.float32
