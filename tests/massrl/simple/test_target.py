"""A target moves once for each step of the optimiser, and by nothing else."""

import copy

import pytest
import torch

from massrl.optim import cosine
from simple_models import differing, inputs, model, train

MOMENTUM = {"BYOL": "tau", "MoCo": "m", "MoCoV2": "m", "MoCoV3": "m", "DINO": "lamda"}
OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "adamw, one by one": lambda p: torch.optim.AdamW(p, 1e-2, foreach=False),
    "adam, all at once": lambda p: torch.optim.Adam(p, 1e-2, foreach=True),
    "adam, fused": lambda p: torch.optim.Adam(p, 1e-2, fused=True),
    "by hand": lambda p: ByHand(p),
}


class ByHand:
    """Gradient descent without torch's Optimizer."""

    def __init__(self, parameters):
        self.parameters = [p for p in parameters if p.requires_grad]

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            p -= 0.1 * p.grad


def online(one):
    return [p for name in one.method.targets for p in getattr(one.method, name).parameters()]


def target(one):
    return [p for p in one.method.target.parameters()]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", MOMENTUM)
def test_the_target_is_the_ema_by_hand_over_three_accumulated_steps(name, optimiser):
    one = model(name, **{MOMENTUM[name]: 0.9})
    chosen = OPTIMISERS[optimiser](one.parameters())
    expected = [p.detach().clone() for p in online(one)]
    for step in range(3):
        for part in range(2):
            one(*inputs(name, seed=2 * step + part)).backward()  # the first part of a step moves the target
            for mine, p in zip(expected, target(one), strict=True):
                torch.testing.assert_close(p, mine, rtol=1e-6, atol=1e-7)
        chosen.step()
        chosen.zero_grad()
        expected = [0.9 * mine + 0.1 * p.detach() for mine, p in zip(expected, online(one), strict=True)]
    one(*inputs(name))
    for mine, p in zip(expected, target(one), strict=True):
        torch.testing.assert_close(p, mine, rtol=1e-6, atol=1e-7)
    assert one.steps == 3 and one.draws == 7


@pytest.mark.parametrize("name", MOMENTUM)
def test_with_total_steps_the_momentum_rises_on_a_cosine(name):
    if name in ("MoCo", "MoCoV2"):
        with pytest.raises(TypeError, match="total_steps"):  # theirs is constant in the paper
            model(name, total_steps=4)
        return
    one = model(name, total_steps=4, **{MOMENTUM[name]: 0.5})
    expected = [p.detach().clone() for p in online(one)]
    for step in range(5):
        train(one, name, 1, first=step)
        m = cosine(step, 4, 0.5)
        expected = [m * mine + (1 - m) * p.detach() for mine, p in zip(expected, online(one), strict=True)]
        one.catch_up()
        for mine, p in zip(expected, target(one), strict=True):
            torch.testing.assert_close(p, mine, rtol=1e-5, atol=1e-7)


def test_a_forward_without_a_step_moves_nothing():
    one = model("BYOL")
    train(one, "BYOL", 1)
    one.catch_up()
    before = [p.clone() for p in target(one)]
    for _ in range(3):
        one(*inputs("BYOL"))
    assert all(map(torch.equal, before, target(one))) and one.steps == 1


def test_a_step_of_another_models_optimiser_is_none_of_this_one():
    one, other = model("BYOL"), model("BYOL")
    one(*inputs("BYOL"))
    train(other, "BYOL", 2)
    one(*inputs("BYOL"))
    assert one.steps == 0 and other.steps == 1


def test_steps_without_a_forward_between_count_as_one():
    one = model("BYOL")
    both = [torch.optim.SGD(one.backbone.parameters(), 0.1), torch.optim.SGD(one.projector.parameters(), 0.1)]
    for _ in range(2):
        one(*inputs("BYOL")).backward()
        for optimiser in both:
            optimiser.step()
    assert one.steps == 1
    one.catch_up()
    assert one.steps == 2


def test_asking_for_the_target_gives_it_as_it_is_after_the_last_step():
    one = model("BYOL", tau=0.5)
    train(one, "BYOL", 1)
    last = copy.deepcopy(one)
    last(*inputs("BYOL", seed=1))
    asked = one.target_encoder
    assert differing(asked.state_dict(), last.target_encoder.state_dict()) == [
        key
        for key, x in asked.state_dict().items()
        if "running" in key or "tracked" in key  # by the further forward
    ]
    assert one.steps == 1


def test_weights_loaded_before_the_first_step_are_the_targets_too():
    one, other = model("BYOL"), model("BYOL", weights=5)
    one.backbone.load_state_dict(other.backbone.state_dict())
    one(*inputs("BYOL"))
    assert all(map(torch.equal, online(one), target(one))) and one.steps == 0


def test_loading_a_state_and_moving_the_model_are_no_steps():
    one, other = model("BYOL"), model("BYOL", weights=5)
    train(one, "BYOL", 3)
    train(other, "BYOL", 2)
    other.load_state_dict(one.state_dict())
    assert other.steps == 3
    other(*inputs("BYOL"))
    other.to(torch.float64)
    other(*inputs("BYOL"))
    assert other.steps == 3
    for mine, p in zip(target(one), target(other), strict=True):
        assert torch.equal(mine.double(), p)


def test_a_step_before_the_model_moves_is_not_lost():
    one = model("BYOL")
    train(one, "BYOL", 1)
    one.double()
    one(*inputs("BYOL"))
    assert one.steps == 1


@pytest.mark.parametrize("fused", [False, True])
def test_a_skipped_step_of_a_gradient_scaler_moves_nothing(fused):
    one, scaler = model("BYOL"), torch.amp.GradScaler("cpu", init_scale=4.0)
    optimiser = torch.optim.SGD(one.parameters(), 0.1, fused=fused)
    for step in range(2):
        scaler.scale(one(*inputs("BYOL", seed=step))).backward()
        if step == 0:
            next(iter(one.backbone.parameters())).grad.fill_(float("inf"))
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
        one.catch_up()
        assert one.steps == step


def test_in_place_changes_beside_an_optimiser_of_torch_are_none_of_its_steps():
    one = model("BYOL")
    train(one, "BYOL", 1)
    one(*inputs("BYOL"))
    with torch.no_grad():  # as clipping of weights, or the tries of a line search
        one.projector[0].weight.clamp_(-0.1, 0.1)
    one(*inputs("BYOL"))
    assert one.steps == 1


def test_the_queue_takes_the_keys_of_training_alone():
    one = model("MoCo")
    one(*inputs("MoCo"))
    with torch.no_grad():
        one(*inputs("MoCo"))
    one.eval()(*inputs("MoCo"))
    assert int(one.method.queue.pushed) == len(inputs("MoCo")[0])
