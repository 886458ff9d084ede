import math

import pytest
import pytorch_lightning as pl
import torch

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from drawn import Drawn, loss_of, small, trainer
from massrl.losses import cosine_distance, dino, dino_pairs
from massrl.methods import MASSRL
from massrl.methods.mv_massrl import alpha_at, weighted

BOTH = pytest.mark.parametrize("name", ["MVMASSRL", "MVMASSRLDINO"])


def prepared(name="MVMASSRL", views=(4, 6), **args):
    """A method whose target is another network than the online one, in train mode, and a batch."""
    method = small(name, **args).train()
    with torch.no_grad():
        for p in method.target.parameters():
            p.mul_(0.9)
    return method, next(iter(Drawn(views)))


def test_each_pair_has_the_weight_of_its_kind():
    """4 targets and 10 online views: 12 ordered pairs of global views and 24 of a local with a global one.

    The authors' index takes view 3, a global one, for a local one and leaves out view 9.
    """
    at = torch.zeros(4, 10, requires_grad=True)
    weighted(at, 0.4).backward()
    expected = torch.full((4, 10), 0.6)
    expected[:, :4] = 0.4
    expected[range(4), range(4)] = 0.0  # no view is compared with itself
    expected /= 0.4 * 12 + 0.6 * 24
    torch.testing.assert_close(at.grad, expected)


def test_a_sum_has_the_same_pairs_and_alpha_without_the_division():
    at = torch.zeros(4, 10, requires_grad=True)
    weighted(at, 0.4, "sum").backward()
    expected = torch.full((4, 10), 0.6)
    expected[:, :4] = 0.4
    expected[range(4), range(4)] = 0.0
    torch.testing.assert_close(at.grad, expected)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_without_local_views_the_global_pairs_have_all_the_weight(alpha):
    pairs = torch.tensor([[9.0, 1.0], [3.0, 9.0]])
    assert weighted(pairs, alpha).item() == 2
    assert weighted(pairs, alpha, "sum").item() == 4


@pytest.mark.parametrize(
    "shape, expected",
    [
        ("constant", [0.6] * 5),
        ("steps", [0.5, 0.8, 0.8, 1.0, 1.0]),  # 0.3 and 0.9 themselves belong to what follows
        # 0.6 (cos(pi t) + 1) / 2; cos(0.3 pi) = 0.5877853, cos(0.9 pi) = -0.9510565
        ("cosine", [0.6, 0.6 * 0.79389263, 0.3, 0.6 * 0.02447174, 0.0]),
    ],
)
def test_alpha_after_0_30_50_90_and_100_percent_of_the_run(shape, expected):
    assert [alpha_at(t, 0.6, shape) for t in (0.0, 0.3, 0.5, 0.9, 1.0)] == pytest.approx(expected, abs=1e-8)
    assert alpha_at(0.2999, 0.6, "steps") == 0.5 and alpha_at(0.8999, 0.6, "steps") == 0.8


def test_in_a_run_alpha_follows_the_step():
    seen = []

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, method, *_):
            seen.append(alpha_at(method.progress, method.alpha, method.alpha_schedule))

    trainer(2, callbacks=[Look()]).fit(small("MVMASSRL", alpha_schedule="steps"), Drawn((2, 2), 5))
    assert seen == [0.5] * 3 + [0.8] * 6 + [1.0]  # 10 steps


@pytest.mark.parametrize("reduction, weights", [("mean", 0.4 * 12 + 0.6 * 24), ("sum", 1.0)])
def test_the_loss_by_hand_over_4_global_and_6_local_views(reduction, weights):
    method, batch = prepared(alpha=0.4, reduction=reduction)
    views = [*batch.global_views, *batch.local_views]
    assert [x.shape[-1] for x in views] == [8] * 4 + [6] * 6
    p = [method.predictor(z) for z in method.embed(views)]
    with torch.no_grad():
        t = method.embed(batch.global_views, through=method.target)
    l_glob = sum(cosine_distance(p[v], t[q]) for q in range(4) for v in range(4) if v != q)
    l_loc = sum(cosine_distance(p[v], t[q]) for q in range(4) for v in range(4, 10))
    torch.testing.assert_close(method.loss(batch), (0.4 * l_glob + 0.6 * l_loc) / weights)


@BOTH
def test_every_view_is_seen_and_the_global_ones_alone_enter_the_target(name):
    method, batch = prepared(name, alpha=0.4)
    online, target = [], []
    method.backbone.register_forward_pre_hook(lambda _, args: online.append(args[0].shape))
    method.target.register_forward_pre_hook(lambda _, args: target.append(args[0].shape))
    value = loss_of(method, batch)
    images = {side: sum(s[0] for s in online if s[-1] == side) for side in (8, 6)}
    assert images == {8: 4 * 16, 6: 6 * 16}
    assert sum(s[0] for s in target) == 4 * 16 and {s[-1] for s in target} == {8}
    for v in range(10):
        other = Batch.from_views([x.flip(0) if i == v else x for i, x in enumerate(batch.views)])
        assert abs(loss_of(method, other) - value) > 1e-5, f"view {v} counts"


@BOTH
def test_with_alpha_1_the_loss_is_that_of_the_global_views_alone(name):
    # BatchNorm in the head, where local views stand beside global ones, would let these have a part
    method, batch = prepared(name, alpha=1.0, **({"head_norm": False} if name == "MVMASSRLDINO" else {}))
    alone = Batch.from_views(batch.global_views)
    torch.testing.assert_close(loss_of(method, batch), loss_of(method, alone))
    method.alpha = 0.5
    assert abs(loss_of(method, batch) - loss_of(method, alone)) > 1e-3


def test_with_alpha_0_no_pair_of_global_views_counts():
    method, batch = prepared(views=(2, 2), alpha=0.0)
    p = [method.predictor(z) for z in method.embed(batch.local_views)]
    with torch.no_grad():
        t = method.embed(batch.global_views, through=method.target)
    expected = sum(cosine_distance(v, q) for v in p for q in t) / 4
    torch.testing.assert_close(loss_of(method, batch), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_with_alpha_1_it_is_massrl_on_the_global_views(reduction):
    method, batch = prepared(alpha=1.0, reduction=reduction)
    massrl = small("MASSRL", reduction=reduction).train()
    massrl.load_state_dict(method.state_dict())
    assert isinstance(massrl, MASSRL) and massrl.pairs == "all"
    expected = massrl.loss(Batch.from_views(batch.global_views))
    torch.testing.assert_close(method.loss(batch), expected)


def test_with_dinos_loss_each_pair_is_its_cross_entropy_and_the_centre_moves_afterwards():
    method, batch = prepared("MVMASSRLDINO", alpha=0.3)
    online, target = method.logits(batch)
    assert online.shape == (10, 16, 16) and target.shape == (4, 16, 16)
    pairs = dino_pairs(online, target, torch.zeros(16), method.tau, method.tau_now)
    l_glob = sum(pairs[q, v] for q in range(4) for v in range(4) if v != q)
    l_loc = sum(pairs[q, v] for q in range(4) for v in range(4, 10))
    torch.testing.assert_close(method.loss(batch), (0.3 * l_glob + 0.7 * l_loc) / (0.3 * 12 + 0.7 * 24))
    torch.testing.assert_close(method.centre, 0.1 * target.mean((0, 1)))


def test_with_alpha_one_half_it_is_dino():
    method, batch = prepared("MVMASSRLDINO", alpha=0.5)
    online, target = method.logits(batch)
    expected = dino(online, target, method.centre, method.tau, method.tau_now)
    torch.testing.assert_close(loss_of(method, batch), expected)


@BOTH
def test_the_target_gets_no_gradient(name):
    method, batch = prepared(name)
    method.loss(batch).backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad.abs().sum() > 0 for p in method.projector.parameters())


@BOTH
@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_an_alpha_that_is_no_share_is_refused(name, alpha):
    with pytest.raises(ConfigError, match="alpha is .*; it must lie from 0 .* to 1"):
        small(name, alpha=alpha)


@BOTH
def test_an_unknown_schedule_is_refused_with_those_that_there_are(name):
    with pytest.raises(ConfigError, match="alpha_schedule is 'linear'; choose one of constant, steps, cosine"):
        small(name, alpha_schedule="linear")


def test_an_unknown_reduction_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="reduction is 'max'; choose one of mean, sum"):
        small("MVMASSRL", reduction="max")
