"""Parameter groups with rates of their own for body and head, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn

from data_loading.errors import ConfigError
from massrl.evaluation.classify.training import Training
from massrl.optim import lr_factor, scaled_lr
from massrl.timm_package import import_timm


def groups(training: Training, body: nn.Module, heads: Sequence[nn.Module], factors: Sequence[float]) -> list[dict]:
    """Parameter groups for a torch optimiser.

    Beside torch's keys a group has `part` ("body" or "head"), `peak`, its learning rate after warm-up, and `adapt`,
    whether lars adapts it.

    Args:
        training: the protocol.
        body: the encoder; it has no groups where the protocol freezes it.
        heads: several heads are trained beside each other, on one encoder that is frozen.
        factors: on the learning rates of each head; of the body, the first one.
    """
    found = []
    for head, factor in zip(heads, factors, strict=True):
        found += _of(training, "head", head.named_parameters(), training.base_lr * factor)
    if training.body_lr is None:
        return found
    rate = training.body_lr * factors[0]
    if training.layer_decay in (None, 1.0):
        return found + _of(training, "body", body.named_parameters(), rate)
    layered = by_layer(training, body, heads[0])
    of_head = {id(p) for p in heads[0].parameters()}
    for group in layered:
        mine: dict[bool, list[nn.Parameter]] = {True: [], False: []}  # whether a parameter is the head's
        for p in group["params"]:
            mine[id(p) in of_head].append(p)
        if mine[False]:
            decay = group["weight_decay"]
            found.append(_group("body", mine[False], rate * group["lr_scale"], decay, decay > 0))
    return found


def _of(training: Training, part: str, named: Iterator[tuple[str, nn.Parameter]], peak: float) -> list[dict]:
    """Groups of one part: matrices, and what has one dimension, which decays with sgd only."""
    kinds: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for _, p in named:
        if p.requires_grad:
            kinds[p.ndim > 1].append(p)
    decays = {True: training.weight_decay, False: training.weight_decay if training.optimizer == "sgd" else 0.0}
    return [_group(part, ps, peak, decays[matrix], matrix) for matrix, ps in kinds.items() if ps]


def _group(part: str, params: list[nn.Parameter], peak: float, weight_decay: float, adapt: bool) -> dict[str, Any]:
    return {"params": params, "part": part, "peak": peak, "lr": peak, "weight_decay": weight_decay, "adapt": adapt}


class _Joined(nn.Module):
    """Body and head as one network, named as timm names a network with its classifier, for timm's layer decay."""

    def __init__(self, body: nn.Module, head: nn.Module):
        super().__init__()
        self.parts = (body, head)  # a tuple: not registered, so that names have no prefix

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        body, head = self.parts
        yield from body.named_parameters()
        for name, p in head.named_parameters():
            yield f"head.{name}", p

    def group_matcher(self, coarse: bool = False) -> Any:
        return self.parts[0].group_matcher(coarse)  # type: ignore[operator]  # checked by by_layer


def by_layer(training: Training, body: nn.Module, head: nn.Module) -> list[dict]:
    """timm's groups of body and head, with `lr_scale`: layer_decay to the power of the layers that lie above.

    Raises ConfigError for a body that does not say which parameters make a layer, as networks of timm do.
    """
    if not callable(getattr(body, "group_matcher", None)):
        raise ConfigError(
            f"layer_decay is {training.layer_decay:g}, and {type(body).__name__} does not tell its layers apart; "
            "networks of timm do, or give --layer_decay 1"
        )
    without = getattr(body, "no_weight_decay", lambda: ())
    return import_timm("timm.optim").param_groups_layer_decay(
        _Joined(body, head),
        weight_decay=training.weight_decay,
        no_weight_decay_list=without(),
        layer_decay=cast(float, training.layer_decay),
    )


def optimizer(training: Training, groups: list[dict], images: int) -> torch.optim.Optimizer:
    """The protocol's optimiser; the peaks of the groups are scaled for steps of `images` images."""
    for group in groups:
        group["lr"] = group["peak"] = scaled_lr(group["peak"], images, training.lr_scaling)
    momentum: dict[str, Any] = {"momentum": training.momentum, "nesterov": training.nesterov}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=training.base_lr)
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=training.base_lr, **momentum)
    # timm's own rule would turn adaptation off wherever weight decay is 0.
    groups = [{**group, "always_adapt": group["adapt"]} for group in groups]
    return import_timm("timm.optim").Lars(groups, lr=training.base_lr, trust_coeff=training.trust, **momentum)


def factor_of_step(training: Training, step: int, total: int, per_epoch: int) -> float:
    """What a group's peak is multiplied by in optimiser step `step`, from 0 to total - 1."""
    warmup = min(round(training.warmup_epochs * per_epoch), total)
    if training.schedule == "step" and step >= warmup:
        return training.gamma ** sum(step >= at * total for at in training.milestones)
    return lr_factor(step, total, warmup, training.schedule, training.final_lr)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Write the learning rate of a step into each group."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
