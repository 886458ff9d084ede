"""Layers: where in a network features are taken, by name, several in one forward.

    backbone               the encoder's output, pooled as the network pools it
    last1, last4           the last 1, 4, ... blocks of a ViT, or stages of a ResNet, side by side
    backbone.PART          the output of a part of the backbone, as backbone.layer3 or backbone.blocks.5
    projector              the embedding
    projector.PART         the output of a part of the projector, as projector.0

After a colon follows how maps and tokens become one vector: avg (the mean over positions, or over patch tokens), cls
(the class token) or cls+avg (both, side by side); without it cls where the network has a class token, else avg. As in
DINOv2's `eval/linear.py`, tokens of a block pass through the network's last LayerNorm first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError, near_miss
from massrl.evaluation.features import OneLayer
from massrl.methods.base import Branch, Method

POOLS = ("avg", "cls", "cls+avg")
# Blocks and stages in the networks of torchvision, timm and massrl.
STAGES = re.compile(r"(layer\d+|blocks\.\d+|stages\.\d+|layers\.\d+|encoder\.layers\.\w+|features\.\d+)")


def network_of(method: Method, layers: Sequence[str] | None = None, branch: Branch | None = None) -> Layers | OneLayer:
    """The network that gives these layers; without `layers`, the encoder alone, as `massrl.load(...).encoder`."""
    if layers is not None:
        if not layers or len(set(layers)) < len(layers):
            raise ConfigError(f"layers are {', '.join(layers) or 'none'}; name each layer once")
        return Layers(method, layers, branch)
    if branch is None or branch == method.evaluated:
        return OneLayer(method.encoder, method.layer)
    return OneLayer(method.backbone_of(branch), "backbone")


class Layers(nn.Module):
    """Images (B, 3, H, W) -> {layer: features (B, F)}, by one forward of the backbone.

    method: whose network is read.  layers: names, as above.  branch: "online" or "target"; the method's own when None.
    Raises ConfigError for a layer or a branch that the method does not have, with the nearest name.
    """

    def __init__(self, method: Method, layers: Sequence[str], branch: Branch | None = None):
        super().__init__()
        self.branch: Branch = branch or method.evaluated
        self.backbone = method.backbone_of(self.branch)
        self.projector = _projector(method, self.branch)
        self.layers = tuple(layers)
        self.parts = {layer: _parts(self, layer) for layer in layers}

    @property
    def encoder(self) -> nn.Module:
        """The backbone."""
        return self.backbone

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        wanted = {name for parts, _ in self.parts.values() for name in parts}
        hooks = [self.get_submodule(name).register_forward_hook(_keep(kept, name)) for name in sorted(wanted)]
        try:
            h = self.backbone(x)  # (B, F)
            if self.projector is not None and any(name.startswith("projector") for name in wanted):
                self.projector(h)
        finally:
            for hook in hooks:
                hook.remove()
        return {layer: self._features(kept, *self.parts[layer]) for layer in self.layers}

    def _features(self, kept: dict[str, Tensor], parts: Sequence[str], pool: str | None) -> Tensor:
        """The features (B, F) of parts, pooled and side by side."""
        return torch.cat([self._pooled(name, kept[name], pool) for name in parts], dim=1).float()

    def _pooled(self, name: str, x: Tensor, pool: str | None) -> Tensor:
        if x.ndim == 2:
            if pool is not None:
                raise ConfigError(f"layer {name}: its output is one vector an image; leave out :{pool}")
            return x
        if x.ndim == 4:
            if pool not in (None, "avg"):
                raise ConfigError(
                    f"layer {name}: its output is a map without a class token; pool it by :avg, not :{pool}"
                )
            return x.mean((1, 2) if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC" else (2, 3))
        if x.ndim != 3:
            raise ConfigError(f"layer {name}: its output has {x.ndim} dimensions; choose another part")
        norm = _last_norm(self.backbone)
        tokens = x if norm is None or x.shape[2] not in norm.normalized_shape else norm(x)  # (B, L, C)
        first = prefix_tokens(self.backbone)
        if first == 0 and pool not in (None, "avg"):
            raise ConfigError(f"layer {name}: the network has no class token; pool it by :avg, not :{pool}")
        patches = tokens[:, first:].mean(1)
        if pool == "avg" or first == 0:
            return patches
        return tokens[:, 0] if pool in (None, "cls") else torch.cat([tokens[:, 0], patches], dim=1)


def _keep(kept: dict[str, Tensor], name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        kept[name] = output[0] if isinstance(output, tuple) else output

    return hook


def _projector(method: Method, branch: Branch) -> nn.Module | None:
    if branch == "target":
        return method.target.parts["projector"] if method.target and "projector" in method.targets else None
    return getattr(method, "projector", None)


def _last_norm(backbone: nn.Module) -> nn.LayerNorm | None:
    """The LayerNorm after the last block of a ViT of timm or torchvision; None where there is none."""
    for name in ("norm", "encoder.ln"):
        owner, _, attribute = name.rpartition(".")
        found = getattr(getattr(backbone, owner, None) if owner else backbone, attribute, None)
        if isinstance(found, nn.LayerNorm):
            return found
    return None


def prefix_tokens(backbone: nn.Module) -> int:
    """How many tokens stand before those of the patches: the class token and registers."""
    return int(getattr(backbone, "num_prefix_tokens", 1 if hasattr(backbone, "class_token") else 0))


def stages(backbone: nn.Module) -> list[str]:
    """Names of the blocks of a ViT or the stages of a ResNet, from the first to the last; [] where none are known."""
    names = [name for name, _ in backbone.named_modules() if STAGES.fullmatch(name)]
    kinds = [name.rpartition(".")[0] for name in names]
    return [name for name, kind in zip(names, kinds, strict=True) if kind == kinds[0]]


def names(method: Method, branch: Branch | None = None) -> list[str]:
    """Layers of a method that can be asked for; parts of parts can, too."""
    of = Layers(method, [], branch)
    found = ["backbone"] + [f"backbone.{name}" for name in stages(of.backbone)]
    found += [f"last{n}" for n in (1, 4) if n <= len(found) - 1]
    if of.projector is not None:
        found += ["projector", *(f"projector.{name}" for name, _ in of.projector.named_children())]
    return found


def _parts(network: Layers, layer: str) -> tuple[tuple[str, ...], str | None]:
    """The modules behind the name of a layer, and its pooling."""
    name, colon, pool = layer.partition(":")
    if colon and pool not in POOLS:
        raise ConfigError(f"layer {layer!r}: no pooling {pool!r}; choose one of {', '.join(POOLS)}")
    last = re.fullmatch(r"last(\d+)", name)
    if last:
        known, n = stages(network.backbone), int(last[1])
        if not 1 <= n <= len(known):
            kind = type(network.backbone).__name__
            raise ConfigError(f"layer {layer!r}: {kind} has {len(known)} blocks whose names are known")
        return tuple(f"backbone.{part}" for part in known[-n:]), pool or None
    here = [path for path, _ in network.named_modules() if path]
    if name not in here:
        raise ConfigError(f"no layer named {layer!r}.{near_miss(name, here)} Known: {', '.join(_short(network))}")
    return (name,), pool or None


def _short(network: Layers) -> list[str]:
    found = ["backbone", *(f"backbone.{name}" for name in stages(network.backbone)), "last1"]
    return found + (["projector"] if network.projector is not None else [])
