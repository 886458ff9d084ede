"""The encoder of a checkpoint, with all that must be known to use it elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from data_loading.errors import CheckpointError, ConfigError, one_of
from data_loading.ops import CenterCrop
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.views import view_sets
from massrl.backbones.names import RESNETS, takes_small_stem, torchvision_names
from massrl.backbones.names import find as find_library
from massrl.evaluation.rows import VIEW
from massrl.methods import Method, load
from massrl.methods.base import Branch
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.record import file_sha256

PARTS = ("encoder", "backbone")
Part = Literal["encoder", "backbone"]
BATCH = 4  # images of the check
# Arguments of a ResNet's constructor that leave it what both libraries call by its name.
PLAIN = {
    "torchvision": {"in_chans", "zero_init_residual", "groups", "width_per_group"},
    "timm": {"in_chans", "zero_init_last", "drop_rate", "drop_path_rate"},
}


@dataclass(frozen=True)
class Encoder:
    """An encoder: images (B, channels, size, size), normalised by mean and std -> features (B, num_features).

    network: in eval mode, float32, on the CPU.  made_by: what `load_encoder` makes it from: {"backbone": name, stem and
    arguments}, or {"method": ..., "module": ..., "init_args": ..., "branch": ...}, or {} for a module that was given.
    layer: what it ends with.  checkpoint, sha256: the file that it comes from.
    """

    network: nn.Module
    made_by: dict[str, Any]
    num_features: int
    channels: int
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    branch: Branch
    layer: str
    method: str
    epochs: int | None
    steps: int | None
    checkpoint: Path
    sha256: str

    @property
    def recipe(self) -> dict[str, Any]:
        """Name, stem and arguments of a bare backbone that was given by name; {} for any other network."""
        return dict(self.made_by.get("backbone") or {})

    @property
    def library(self) -> str:
        """Whose constructor makes it: "timm", "torchvision", "massrl"; "" for a network that has no name."""
        return find_library(self.recipe["name"])[0] if self.recipe else ""

    @property
    def architecture(self) -> str:
        """Its name in that library, without a tag of pretrained weights; the class of a network without a name."""
        if not self.recipe:
            return type(self.network).__name__
        return find_library(self.recipe["name"])[1].partition(".")[0]

    @property
    def title(self) -> str:
        """Its name as `backbones.build` takes it, with the stem where it is not the published one; for messages."""
        stem = self.recipe.get("stem", "imagenet")
        name = self.recipe.get("name", self.architecture)
        return name if stem == "imagenet" else f"{name} with stem: {stem}"

    @property
    def has_stems(self) -> bool:
        """Whether its stem is one of several, as of the ResNets of timm and torchvision."""
        return self.library in ("timm", "torchvision") and takes_small_stem(self.recipe["name"])

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the constructor in its library."""
        known: Any = getattr(self.network, "timm_args", None)
        args = known if known is not None else self.recipe
        return {name: value for name, value in args.items() if name not in ("name", "stem")}

    @property
    def is_resnet(self) -> bool:
        """Whether it is a ResNet as published, with torchvision's names of the layers."""
        if self.library not in PLAIN or not self.architecture.startswith(RESNETS):
            return False
        plain = self.recipe["stem"] == "imagenet" and set(self.arguments) <= PLAIN[self.library]
        return plain and self.architecture in torchvision_names()

    def inputs(self) -> Tensor:
        """The images of the check, (4, channels, size, size) float32: normal random numbers of seed 0."""
        shape = (BATCH, self.channels, self.size, self.size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, each in memory of its own."""
        return {name: value.detach().clone().contiguous() for name, value in self.network.state_dict().items()}


def view() -> dict[str, Any]:
    """How images are prepared for evaluation: {"interpolation", "crop_pct"}; size and normalisation are the encoder's.

    The shorter side is resized to size / crop_pct, then the centre is cropped.
    """
    view_set = view_sets.get(VIEW)
    crop = view_set.strategies[0].crop
    assert isinstance(crop, CenterCrop), "timm's crop_pct says nothing of other crops"
    return {"interpolation": view_set.interpolation, "crop_pct": crop.ratio}


def read(
    checkpoint: str | os.PathLike,
    branch: Branch | None = None,
    part: Part = "encoder",
    size: int | None = None,
    *,
    kind: type[Method] | None = None,
    backbone: nn.Module | None = None,
) -> Encoder:
    """The encoder of a checkpoint file, a run folder or a `Run`; torch's random state does not change.

    branch: "online" or "target"; None takes the one that the method's authors evaluate.  part: "backbone" leaves out
    layers of the projector that belong to the encoder.  size: side of the images in pixels; that of the training unless
    said.  kind: the method's class, where it cannot be imported.  backbone: a network of the same architecture, where
    the method was made with a module; its weights are replaced.
    Raises CheckpointError where the checkpoint is missing, damaged or diverged, and ConfigError for a wrong argument.
    """
    one_of("part", part, PARTS, ConfigError)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ConfigError(f"size is {size!r}; it must be an integer of at least 1")
    path = find(checkpoint)
    sha256 = file_sha256(path)
    kept = Checkpoint.read(path)
    data = kept.data(size)
    with torch.random.fork_rng(devices=[]):  # making a network samples its first weights
        method = load(path, kind, backbone)
    if file_sha256(path) != sha256:
        raise CheckpointError(f"{path}: was replaced while it was read; run this again, or copy it first")
    chosen: Branch = method.evaluated if branch is None else branch
    network = encoder_of(method, chosen, part)
    network = network.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    _check_finite(network, path)
    bare = network is method.backbone_of(chosen)
    return Encoder(
        network=network,
        made_by=_made_by(method, kept, network, chosen, part),
        num_features=int(network.num_features),  # type: ignore[arg-type]
        channels=int((getattr(method.backbone, "recipe", None) or {}).get("in_chans", 3)),
        size=data["size"],
        mean=data["mean"] or list(IMAGENET_MEAN),
        std=data["std"] or list(IMAGENET_STD),
        branch=chosen,
        layer="backbone" if bare else method.layer,
        method=type(method).__name__,
        epochs=kept.epochs if "loops" in kept.content else None,  # not in every file that a Trainer saves
        steps=kept.steps if "global_step" in kept.content else None,
        checkpoint=path,
        sha256=sha256,
    )


def encoder_of(method: Method, branch: Branch, part: Part = "encoder") -> nn.Module:
    """The network that is exported of a method. Raises ConfigError where the method has no such branch."""
    if part == "encoder" and branch == method.evaluated:
        return method.encoder
    return method.backbone_of(branch)


def _made_by(method: Method, kept: Checkpoint, network: nn.Module, branch: Branch, part: Part) -> dict[str, Any]:
    """What `load_encoder` makes the network from."""
    recipe: Any = getattr(network, "recipe", None)
    if recipe:
        return {"backbone": dict(recipe)}
    if kept.init_args.get("backbone") is None:  # a module
        return {}
    args = {**kept.init_args, "backbone_args": _without_weights(kept.init_args.get("backbone_args"))}
    facts = {"method": kept.method, "module": kept.module, "init_args": args}
    return {**facts, "branch": branch, "part": part}


def _without_weights(args: dict[str, Any] | None) -> dict[str, Any] | None:
    """Arguments of a backbone without the file that it began with, which is no part of the encoder."""
    files = ("weights", "weights_key", "weights_except", "pretrained")
    return None if args is None else {name: value for name, value in args.items() if name not in files}


def _check_finite(network: nn.Module, path: Path) -> None:
    broken = [name for name, value in network.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: NaN or infinite values in {len(broken)} weights of its encoder ({broken[0]}, ...); the training "
            "has diverged, so there is nothing to export"
        )
