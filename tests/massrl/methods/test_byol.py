import pytest
import torch

from data_loading.errors import ConfigError
from drawn import Drawn, small, trainer
from massrl.losses import cosine_distance


def statistics(module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.named_buffers()}


def test_the_loss_is_both_ways_of_equation_2_and_the_target_learns_nothing():
    method, batch = small("BYOL").train(), next(iter(Drawn(2)))
    with torch.no_grad():
        for p in method.target.parameters():
            p.mul_(0.9)  # the target is another network than the online one
    z1, z2 = method.embed(batch.views)
    p1, p2 = method.predictor(z1), method.predictor(z2)
    t1, t2 = method.embed(batch.views, through=method.target)
    loss = method.loss(batch)
    torch.testing.assert_close(loss, cosine_distance(p1, t2.detach()) + cosine_distance(p2, t1.detach()))
    loss.backward()
    assert all(p.grad is None for p in method.target.parameters())


@pytest.mark.parametrize("name", ["BYOL", "MASSRL"])
def test_the_momentum_ends_where_it_is_told(name):
    method = small(name, ema=0.5, ema_end=0.5)
    used = []
    method.move_target = used.append
    trainer().fit(method, Drawn(2))
    assert used == [0.5] * 4
    method = small(name, ema=0.5, ema_end=0.9)
    used.clear()
    method.move_target = used.append
    trainer().fit(method, Drawn(2))
    # half a cosine over 4 steps: 0.9 - 0.4 (cos(pi k / 4) + 1) / 2
    assert used == pytest.approx([0.5, 0.9 - 0.4 * 0.853553, 0.7, 0.9 - 0.4 * 0.146447], abs=1e-6)


@pytest.mark.parametrize("wrong", [{"ema": 1.5}, {"ema_end": -0.1}])
def test_a_momentum_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is "):
        small("BYOL", **wrong)


@pytest.mark.parametrize("buffers", [False, True])
def test_running_statistics_are_the_targets_own_or_follow_by_the_momentum(buffers):
    method = small("BYOL", ema=0.75, ema_buffers=buffers).train()
    parts = torch.nn.ModuleDict({name: getattr(method, name) for name in method.targets})
    method.loss(next(iter(Drawn(2))))
    method.loss(next(iter(Drawn(2))))
    with torch.no_grad():
        for key, value in parts.named_buffers():
            if value.is_floating_point():
                value.add_(1.0)  # the online statistics are others than the target's
            elif key.endswith("num_batches_tracked"):
                value.add_(5)
    before, online = statistics(method.target.parts), statistics(parts)
    assert before.keys() == online.keys() and before
    method.move_target(0.75)
    for key, after in statistics(method.target.parts).items():
        if not buffers:
            assert torch.equal(after, before[key])
        elif after.is_floating_point():
            torch.testing.assert_close(after, 0.75 * before[key] + 0.25 * online[key])
        else:
            assert torch.equal(after, online[key])  # a count has no average
