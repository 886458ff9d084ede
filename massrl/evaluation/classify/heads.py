"""The network that is trained: the encoder of a checkpoint, and a head for the classes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError
from massrl import backbones
from massrl.evaluation.classify.training import Training
from massrl.methods.base import Branch, Method
from massrl.nn.target import DROPS

DEPTH = ("StochasticDepth", "DropPath")
EPS = 1e-6  # of the BatchNorm before a head, as MAE's main_linprobe.py


def make_head(training: Training, width: int, classes: int, seed: int) -> nn.Module:
    """The head (B, width) -> (B, classes); its weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        linear = nn.Linear(width, classes)
        if training.init == "normal":
            nn.init.normal_(linear.weight, std=training.std)
        elif training.init == "truncated":
            nn.init.trunc_normal_(linear.weight, std=training.std)
        elif training.init == "zero":
            nn.init.zeros_(linear.weight)
        if training.init != "torch":
            nn.init.zeros_(linear.bias)
    if training.head != "norm":
        return linear
    return nn.Sequential(nn.BatchNorm1d(width, affine=False, eps=EPS), linear)


def make_body(method: Method, branch: Branch, training: Training) -> nn.Module:
    """A copy of the encoder of a method's online or target network; trainable unless the protocol freezes it.

    `num_features` is its width.  With `head` projector its last layer is the projector's first: linear, BatchNorm where
    there is one, activation.  With `drop_path` a network of timm is made again with that rate and given the encoder's
    weights; without, stochastic depth that the pretraining had is off.
    """
    own = branch == method.evaluated
    encoder = copy.deepcopy(method.encoder if own else method.backbone_of(branch))
    if training.drop_path:
        encoder = _dropping(encoder, training.drop_path)
    for part in encoder.modules() if not training.drop_path else ():
        if type(part).__name__ in DEPTH:
            setattr(part, DROPS[type(part).__name__], 0.0)
    width = getattr(encoder, "num_features", method.num_features)
    # An encoder that has layers of the projector already, as SimCLR v2's, is taken as it is.
    if training.head == "projector" and (method.layer == "backbone" or not own):
        layer = _first_layer(method, branch)
        width = next(part.out_features for part in layer if isinstance(part, nn.Linear))
        encoder = nn.Sequential(encoder, *layer)
    encoder.num_features = width  # type: ignore[assignment]  # torch declares Tensor | Module
    return encoder.requires_grad_(not training.frozen)


def _first_layer(method: Method, branch: Branch) -> list[nn.Module]:
    """Copies of the modules of the projector up to its first activation."""
    projector: Any = getattr(method, "projector", None)
    if branch == "target" and method.target is not None:
        projector = dict(method.target.parts.items()).get("projector")
    found: list[nn.Module] = []
    for part in projector if isinstance(projector, nn.Sequential) else ():
        found.append(copy.deepcopy(part))
        if not isinstance(part, nn.Linear | nn.BatchNorm1d):
            return found  # an activation
    raise ConfigError(
        f"head is projector, and {type(method).__name__} has no projector with a hidden layer; give --head linear"
    )


def _dropping(encoder: nn.Module, rate: float) -> nn.Module:
    """The encoder, made again with drop path up to `rate` at its last block."""
    recipe = getattr(encoder, "recipe", None)
    if not isinstance(recipe, dict):
        raise ConfigError(f"drop_path is {rate:g}, and this encoder was not made by name; give --drop_path 0")
    try:
        made = backbones.build(**{**recipe, "drop_path_rate": rate})
    except ConfigError as error:
        raise ConfigError(
            f"drop_path is {rate:g}, and {recipe['name']!r} takes none; networks of timm do, or give --drop_path 0"
        ) from error
    made.load_state_dict(encoder.state_dict())
    return made.to(memory_format=_format(encoder))


def _format(encoder: nn.Module) -> torch.memory_format:
    """channels_last where the encoder's convolutions are kept in it."""
    weights: list[Tensor] = [p for p in encoder.parameters() if p.ndim == 4]
    if any(p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous() for p in weights):
        return torch.channels_last
    return torch.preserve_format
