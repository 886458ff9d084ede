import math

import pytest
import torch
import torch.nn.functional as F

from massrl.losses import dino, dino_pairs


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def three(V=4, G=2, B=6, K=5):
    return 0.3 * drawn(V, B, K), 0.3 * drawn(G, B, K, seed=1), 0.1 * drawn(K, seed=2)


NO_CENTRE = torch.zeros(5, dtype=torch.float64)


def test_an_online_network_that_cannot_tell_prototypes_apart_costs_log_k_whatever_the_target_says():
    _, target, centre = three()
    even = torch.full((4, 6, 5), 0.3, dtype=torch.float64)
    assert dino(even, target, centre).item() == pytest.approx(math.log(5), rel=1e-12)  # float64 rounding
    pairs = dino_pairs(even, target, centre)
    torch.testing.assert_close(pairs, torch.full((2, 4), math.log(5), dtype=torch.float64), rtol=1e-12, atol=0)


def test_two_prototypes_by_hand():
    """Target (3/4, 1/4), online (1/2, 1/2) in view 0 and (1/4, 3/4) in view 1; temperatures of 1."""
    logit = math.log(3)
    target = torch.tensor([[[logit, 0.0]], [[logit, 0.0]]])
    online = torch.tensor([[[0.0, 0.0]], [[0.0, logit]]])
    even, wrong = math.log(2), 0.75 * math.log(4) + 0.25 * math.log(4 / 3)
    pairs = dino_pairs(online, target, torch.zeros(2), 1.0, 1.0)
    torch.testing.assert_close(pairs, torch.tensor([[even, wrong], [even, wrong]]))
    torch.testing.assert_close(dino(online, target, torch.zeros(2), 1.0, 1.0), torch.tensor((wrong + even) / 2))


def test_the_centre_is_taken_from_the_target_and_only_from_it():
    online, target, centre = three()
    value = dino(online, target, centre)
    torch.testing.assert_close(dino(online, target - centre, NO_CENTRE), value, rtol=1e-12, atol=0)
    torch.testing.assert_close(dino(online, target, centre + 0.7), value, rtol=1e-12, atol=0)  # all alike: no change
    assert abs(dino(online, target, NO_CENTRE) - value) > 1e-3


def test_a_target_that_is_its_own_centre_is_even():
    """What centring is for: a target network that says one and the same of all images teaches nothing but evenness."""
    online, _, centre = three()
    loss = dino(online, centre.expand(2, 6, 5), centre)
    even = -(online / 0.1).log_softmax(-1).mean(-1)  # (V, B), cross-entropy with 1/K each
    expected = (even[1:].mean(1).sum() + even[[0, 2, 3]].mean(1).sum()) / 6
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_a_cold_target_becomes_the_class_of_its_largest_logit():
    online, target, centre = three()
    classes = (target - centre).argmax(-1)  # (G, B)
    pairs = [(q, v) for q in range(2) for v in range(4) if v != q]
    expected = sum(F.cross_entropy(online[v] / 0.1, classes[q]) for q, v in pairs) / 6
    torch.testing.assert_close(dino(online, target, centre, tau_target=1e-4), expected)


def test_sharpening_lowers_the_entropy_that_is_left_when_the_online_network_has_learnt_the_target():
    _, target, _ = three()
    left = []
    for tau_target in (0.3, 0.1, 0.04):
        p = (target[0] / tau_target).softmax(-1)
        learnt = 0.1 * p.log()
        same = dino(learnt.expand(2, 6, 5), target[:1].expand(2, 6, 5), NO_CENTRE, 0.1, tau_target)
        torch.testing.assert_close(same, -(p * p.log()).sum(-1).mean())  # H(P, P): the entropy
        left.append(same.item())
    assert left == sorted(left, reverse=True) and left[0] > 2 * left[2]


def test_a_global_view_is_not_compared_with_itself():
    online, target, centre = three(V=3, G=1)
    online.requires_grad_()
    loss = dino(online, target, centre)
    torch.testing.assert_close(loss, dino_pairs(online, target, centre)[0, 1:].mean(), rtol=1e-12, atol=0)
    loss.backward()
    assert not online.grad[0].any() and all(g.any() for g in online.grad[1:])


def test_dino_is_the_mean_of_the_pairs_but_for_a_view_with_itself():
    online, target, centre = three()
    pairs = dino_pairs(online, target, centre)  # (2, 4): without (0, 0) and (1, 1) 6
    others = torch.ones(2, 4, dtype=torch.bool)
    others[0, 0] = others[1, 1] = False
    torch.testing.assert_close(dino(online, target, centre), pairs[others].mean(), rtol=1e-12, atol=0)


def test_gradient_flows_to_the_online_logits_alone():
    for loss in (dino, lambda *x: dino_pairs(*x).sum()):
        online, target, centre = (x.requires_grad_() for x in three())
        loss(online, target, centre).backward()
        assert target.grad is None and centre.grad is None and online.grad.abs().sum() > 0


def test_the_order_of_images_prototypes_and_local_views_does_not_matter():
    online, target, centre = three()
    value = dino(online, target, centre)
    images, prototypes, views = torch.tensor([3, 1, 5, 0, 4, 2]), torch.tensor([4, 0, 3, 1, 2]), [0, 1, 3, 2]
    others = [
        (online[:, images], target[:, images], centre),
        (online[..., prototypes], target[..., prototypes], centre[prototypes]),
        (online[views], target, centre),
        (online[[1, 0, 2, 3]], target[[1, 0]], centre),
        (online + 3, target - 2, centre),  # a softmax does not see what is added to all prototypes
    ]
    for other in others:
        torch.testing.assert_close(dino(*other), value, rtol=1e-12, atol=0)
    assert abs(dino(online[[2, 1, 0, 3]], target, centre) - value) > 1e-3, "a local view in place of a global one"


def test_large_logits_do_not_overflow():
    online, target, centre = (1e4 * x.float() for x in three())
    loss = dino(online, target, centre)
    assert loss.isfinite() and loss > 1e3


def test_inside_bfloat16_autocast_they_equal_those_outside():
    online, target, centre = (x.float() for x in three())
    with torch.autocast("cpu", torch.bfloat16):
        inside = dino(online, target, centre), dino_pairs(online, target, centre)
    assert torch.equal(inside[0], dino(online, target, centre))
    assert torch.equal(inside[1], dino_pairs(online, target, centre))
    assert dino(online.half(), target.half(), centre.half()).dtype == torch.float32
