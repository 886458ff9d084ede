import pytest
import torch
from torch import nn

from drawn import Drawn, small, trainer
from massrl.losses import negative_cosine
from massrl.methods import SimSiam
from massrl.optim import OWN


def test_the_loss_is_half_of_both_directions_and_a_half_of_solo_learns():
    method, batch = small("SimSiam").train(), next(iter(Drawn(2)))
    z1, z2 = method.embed(batch.views)
    p1, p2 = method.predictor(z1), method.predictor(z2)
    by_hand = (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2
    torch.testing.assert_close(method.loss(batch), by_hand)
    assert -1 <= by_hand.item() <= 1


def test_no_gradient_flows_through_the_embedding_that_is_predicted():
    """Where the prediction does not depend on its input, only the embedding that is predicted could pass one on."""
    method = small("SimSiam").train()
    nn.init.zeros_(method.predictor[-1].weight)
    nn.init.ones_(method.predictor[-1].bias)
    method.loss(next(iter(Drawn(2)))).backward()
    assert all(p.grad is None or not p.grad.any() for p in method.projector.parameters())
    assert method.predictor[-1].bias.grad.abs().sum() > 0


def test_the_heads_are_those_of_section_3():
    method = SimSiam("tiny_resnet")
    widths = [(m.in_features, m.out_features) for m in method.projector if isinstance(m, nn.Linear)]
    assert widths == [(method.num_features, 2048), (2048, 2048), (2048, 2048)]
    last = method.projector[-1]
    assert isinstance(last, nn.BatchNorm1d) and not last.affine
    assert [(m.in_features, m.out_features) for m in method.predictor if isinstance(m, nn.Linear)] == [
        (2048, 512),
        (512, 2048),
    ]
    assert isinstance(method.predictor[-1], nn.Linear) and method.predictor[-1].bias is not None


def test_the_rate_decays_on_a_cosine_without_warm_up_and_that_of_the_predictor_stays():
    method = small("SimSiam", optim=OWN)
    run = trainer(2)
    run.fit(method, Drawn(2))
    rates = {id(p): group["lr"] for group in run.optimizers[0].param_groups for p in group["params"]}
    peak = 0.05 * 16 / 256
    assert method.schedule.warmup == 0 and method.schedule.lr(0) == pytest.approx(peak)
    assert all(rates[id(p)] == pytest.approx(peak) for p in method.predictor.parameters())
    assert all(rates[id(p)] < peak / 10 for p in method.projector.parameters())  # the last of 8 steps
