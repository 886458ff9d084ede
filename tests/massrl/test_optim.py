import math

import numpy as np
import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError
from massrl.optim import OPEN, OptimConfig, cosine, lr_factor, optimizer, parameter_groups, scaled_lr


def test_the_learning_rate_is_stated_for_a_batch_of_256():
    assert scaled_lr(0.3, 256) == 0.3
    assert scaled_lr(0.3, 64) == pytest.approx(0.075)


def test_warm_up_is_linear_and_the_cosine_halves_in_its_middle():
    assert [lr_factor(k, 12, 2) for k in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert lr_factor(7, 12, 2) == pytest.approx(0.5)  # (7 - 2) / (12 - 2) is half way
    assert 0 < lr_factor(11, 12, 2) < 0.03
    assert [lr_factor(k, 12, 2, "constant") for k in (0, 1, 11)] == [0.5, 1.0, 1.0]


def test_the_linear_schedule_falls_evenly_from_the_peak_to_its_end():
    assert [lr_factor(k, 12, 2, "linear") for k in (0, 1, 2, 7, 12)] == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])
    assert lr_factor(7, 12, 2, "linear", final=0.2) == pytest.approx(0.6)


def test_ffcvs_triangle_is_a_warm_up_and_a_linear_schedule_one_step_ahead_while_it_rises():
    epochs, peak, steps = 24, 5, 9  # of examples/cifar, with 9 steps an epoch
    theirs = np.interp(np.arange(epochs * steps), [0, peak * steps, epochs * steps], [0, 1, 0])
    ours = np.array([lr_factor(k, epochs * steps, peak * steps, "linear") for k in range(epochs * steps)])
    assert np.allclose(ours[peak * steps :], theirs[peak * steps :])
    assert np.allclose(ours[: peak * steps], theirs[1 : peak * steps + 1])


def test_the_ema_rate_starts_at_m0_and_reaches_1():
    assert cosine(0, 100, 0.996) == pytest.approx(0.996, abs=1e-15)
    assert cosine(50, 100, 0.99) == pytest.approx(1 - 0.01 / 2)
    assert cosine(100, 100, 0.996) == 1.0


def test_what_a_config_leaves_open_is_the_methods_own():
    own = OptimConfig(name="lars", base_lr=0.2)
    config = OptimConfig(base_lr=0.7).filled(own)
    assert (config.name, config.base_lr, config.momentum) == ("lars", 0.7, OPEN.momentum)


@pytest.mark.parametrize("wrong", [{"base_lr": -1.0}, {"momentum": 1.0}, {"name": "sdg"}, {"weight_decay": math.nan}])
def test_a_value_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        OptimConfig(**wrong).filled(OPEN).check()


def test_groups_hold_every_trainable_parameter_once_and_only_matrices_decay():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1).requires_grad_(False))
    groups = parameter_groups([(net[0], 5.0, None), (net, 1.0, None)], 0.1)
    flat = [p for group in groups for p in group["params"]]
    assert len(flat) == len({id(p) for p in flat}) == sum(p.requires_grad for p in net.parameters())
    for group in groups:
        for p in group["params"]:
            assert group["weight_decay"] == (0.1 if p.ndim > 1 else 0.0)
            assert group["factor"] == (5.0 if any(p is q for q in net[0].parameters()) else 1.0)


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_a_lars_step_adapts_matrices_and_leaves_one_dimensional_parameters_to_sgd(decay):
    layer = nn.Linear(3, 2)
    config = OptimConfig(name="lars", weight_decay=decay, momentum=0.0).filled(OPEN)
    opt = optimizer(config, parameter_groups([(layer, 1.0, None)], decay))
    for group in opt.param_groups:
        group["lr"] = 0.5
    w, b = layer.weight.detach().clone(), layer.bias.detach().clone()
    layer(torch.ones(1, 3)).square().sum().backward()
    g = layer.weight.grad.clone()
    opt.step()
    # arXiv:1708.03888: local rate = trust |w| / (|g| + decay |w|)
    trust = 1e-3 * w.norm() / (g.norm() + decay * w.norm())
    torch.testing.assert_close(layer.weight.detach(), w - 0.5 * trust * (g + decay * w), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(layer.bias.detach(), b - 0.5 * layer.bias.grad)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"base_lr": 0}, "optim.base_lr is 0, which would train nothing"),
        ({"base_lr": -0.1}, "optim.base_lr is -0.1; it must be a number of at least 0"),
        ({"base_lr": math.nan}, "optim.base_lr is nan"),
        ({"warmup_epochs": 1e12}, "optim.warmup_epochs is 1e\\+12; it must be at most 100,000"),
        ({"weight_decay": 1e12}, "optim.weight_decay is 1e\\+12; it must be at most"),
    ],
    ids=str,
)
def test_numbers_that_no_training_can_use_are_refused_by_name(wrong, line):
    with pytest.raises(ConfigError, match=f"^{line}"):
        OptimConfig(**wrong).filled(OPEN).check()
