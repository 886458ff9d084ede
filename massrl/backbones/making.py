"""From a name and arguments to an encoder."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from data_loading.errors import ConfigError, near_miss
from massrl.backbones import stems, weights_file
from massrl.backbones.names import BACKBONES, STEMS, find, takes_small_stem

_FILL = ContextVar("_FILL", default=True)


def build(
    name: str,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    weights: str | Path | None = None,
    weights_key: str | None = None,
    weights_except: Sequence[str] = (),
    pretrained: bool | str = False,
    **args: Any,
) -> nn.Module:
    """The encoder of that name: ours, a ResNet of torchvision, or timm's; timm:NAME and torchvision:NAME say whose.

    stem: "cifar" (3 x 3, stride 1, padding 1, no max-pool) keeps small images large; ResNets have it.
    weights: a file to start from; weights_key: which of the state dicts in it, or under which prefix of its keys.
    pretrained: start from the weights that timm or torchvision has; a word names which of them.
    weights_except: parts that stay random all the same, as [conv1].
    args: passed on to the constructor; `in_chans` is taken by all.
    Raises UnknownName with the nearest name, ConfigError for arguments and for weights that do not fit.
    """
    if stem not in STEMS:
        raise ConfigError(f"backbone_args.stem is {stem!r}; choose one of {', '.join(STEMS)}")
    library, plain = find(name)
    if stem == "cifar" and not takes_small_stem(name):
        raise ConfigError(
            f"backbone {name!r} has no stem to replace; stem: cifar fits ResNets (use stem: imagenet; for small images "
            "a ViT of timm takes img_size: 32, patch_size: 4)"
        )
    in_chans = args.get("in_chans", 3)
    if not isinstance(in_chans, int) or in_chans < 1:
        raise ConfigError(f"backbone_args.in_chans is {in_chans!r}; it must be a whole number of at least 1")
    make = {"massrl": _own, "torchvision": _torchvision, "timm": _timm}[library]
    try:
        backbone = make(plain, args)
    except TypeError as error:  # an argument that the constructor does not take
        raise ConfigError(_unfit(name, library, plain, error)) from None
    except (ValueError, ArithmeticError, AssertionError, RuntimeError) as error:  # a value that it does not take
        line = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"backbone {name!r} cannot be made with these backbone_args: {line}") from None
    if stem == "cifar" and library != "massrl":
        stems.make_small(backbone)
    if _FILL.get() and (weights is not None or pretrained):
        if weights is not None and pretrained:
            raise ConfigError("backbone_args have both weights and pretrained; leave one out")
        if weights is not None:
            source, found = str(weights), weights_file.read(weights, weights_key)
        else:
            source, found = _pretrained(name, library, plain, pretrained, args)
        weights_file.fill(backbone, found, name, source, _names(weights_except))
    elif _FILL.get() and (weights_key is not None or weights_except):
        raise ConfigError(
            "backbone_args.weights_key and weights_except go with weights or pretrained; give one of them"
        )
    backbone.recipe = {"name": name, "stem": stem, **args}  # for `reinitialise`: the architecture, not its weights
    return backbone


@contextmanager
def without_weights() -> Iterator[None]:
    """`build` leaves all weights random in here, for those who put others in their place: no file is read."""
    token = _FILL.set(False)
    try:
        yield
    finally:
        _FILL.reset(token)


def width_of(backbone: nn.Module) -> int:
    """`num_features` of an encoder, or a ConfigError that asks for it."""
    width = getattr(backbone, "num_features", None)
    if not isinstance(width, int):
        raise ConfigError(f"backbone {type(backbone).__name__} has no num_features; set it to the width of its output")
    return width


def reinitialise(backbone: nn.Module, seed: int) -> nn.Module:
    """The same architecture with random weights drawn from a seed; global random state is left as it was.

    What `build` made, also as a part of another module, is built anew, with its own initialisation, never with weights
    of a file; other modules have their `reset_parameters` called, in place. Raises ConfigError where a parameter
    belongs to a module that has none.
    """
    device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
    # Drawn on the CPU by its default generator alone: torch.manual_seed would disturb those of other devices.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = _anew(backbone.cpu(), type(backbone).__name__)
    return fresh.to(device).train(backbone.training)


def _anew(module: nn.Module, place: str) -> nn.Module:
    recipe = getattr(module, "recipe", None)
    if recipe:
        return build(**recipe)
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif next(module.parameters(recurse=False), None) is not None:
        raise ConfigError(f"backbone {place} ({type(module).__name__}) has parameters and no reset_parameters method")
    for name, part in module.named_children():
        setattr(module, name, _anew(part, f"{place}.{name}"))
    return module


def _own(name: str, args: dict[str, Any]) -> nn.Module:
    return BACKBONES[name](**args)


def _torchvision(name: str, args: dict[str, Any]) -> nn.Module:
    from torchvision.models import get_model

    args = dict(args)
    in_chans = args.pop("in_chans", 3)
    model = get_model(name, weights=None, **args)
    for word in (
        args.keys() - inspect.signature(type(model)).parameters.keys()
    ):  # ConvNeXt ignores what it does not know
        raise TypeError(f"{type(model).__name__}.__init__() got an unexpected keyword argument {word!r}")
    stems.drop_head(model)
    if in_chans != 3:
        stems.take_channels(model, in_chans)
    return model


def _timm(name: str, args: dict[str, Any], pretrained: bool = False) -> nn.Module:
    import timm

    def make(**more: Any) -> nn.Module:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **more, **args)

    try:
        # ViTs: position embeddings follow the size of the view, as multi-crop needs it. At img_size nothing changes.
        model = make() if "dynamic_img_size" in args else make(dynamic_img_size=True)
    except TypeError as error:
        if "'dynamic_img_size'" not in str(error) or "dynamic_img_size" in args:
            raise
        model = make()  # any other model: most take every size as they are
    # Some models have a layer between pooling and classifier: what comes out is then not num_features wide.
    model.num_features = getattr(model, "head_hidden_size", None) or model.num_features
    return model


def _pretrained(name: str, library: str, plain: str, which: bool | str, args: dict[str, Any]):
    """(where they are from, state dict) of a library's weights."""
    from pytorch_lightning.utilities import rank_zero_info

    if library == "massrl":
        raise ConfigError(f"backbone {name!r} has no pretrained weights; give a file: backbone_args: {{weights: FILE}}")
    tags = _tags(library, plain)
    if not tags:
        raise ConfigError(
            f"{library} has no pretrained weights of {plain}; leave pretrained out, or give weights: FILE"
        )
    if isinstance(which, str) and which not in tags:
        raise ConfigError(
            f"backbone_args.pretrained: {library} has no weights {which!r} of {plain}.{near_miss(which, tags)} "
            f"Known: {', '.join(tags)}"
        )
    rank_zero_info(f"{name}: getting the pretrained weights of {library}")
    try:
        if library == "torchvision":
            entry = tags[which if isinstance(which, str) else "DEFAULT"]
            return f"{library} ({entry.name})", entry.get_state_dict(progress=False, check_hash=True)
        full = f"{plain.partition('.')[0]}.{which}" if isinstance(which, str) else plain
        # With 3 channels, as the weights: timm would fit the first convolution to others without a word.
        with torch.random.fork_rng(devices=[]):
            model = _timm(full, {k: v for k, v in args.items() if k != "in_chans"}, pretrained=True)
        return f"{library} ({model.pretrained_cfg.get('tag') or full})", model.state_dict()
    except Exception as error:  # network, hub and file errors of three libraries have no common class
        line = str(error).strip().partition("\n")[0][:200]
        raise ConfigError(
            f"backbone {name!r}: the pretrained weights of {library} could not be had "
            f"({type(error).__name__}: {line}); without a network, bring the file here and give backbone_args: "
            "{weights: FILE} in place of pretrained"
        ) from error


def _tags(library: str, plain: str) -> dict[str, Any]:
    """The names of a model's weights in its library."""
    if library == "torchvision":
        from torchvision.models import get_model_weights

        found = get_model_weights(plain)
        return {**{entry.name: entry for entry in found}, **({"DEFAULT": found.DEFAULT} if len(found) else {})}
    import timm

    arch, _, _ = plain.partition(".")
    return {full.partition(".")[2]: full for full in timm.list_pretrained(f"{arch}.*")}


def _names(given: Sequence[str] | str) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list | tuple) or not all(isinstance(part, str) for part in given):
        raise ConfigError(f"backbone_args.weights_except is {given!r}; give a list of parts, as [conv1]")
    return list(given)


def _unfit(name: str, library: str, plain: str, error: TypeError) -> str:
    """A constructor's TypeError as a sentence with the nearest argument."""
    match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not match:
        return f"backbone {name!r}: {error}; backbone_args must fit its constructor"
    known = [*list(inspect.signature(build).parameters)[1:-1], "in_chans", *_arguments(library, plain, str(error))]
    return (
        f"backbone {name!r} takes no argument {match[1]!r}.{near_miss(match[1], known)} backbone_args are "
        f"{', '.join(known[:5])} and what its constructor takes"
    )


def _arguments(library: str, plain: str, message: str) -> list[str]:
    """The arguments of the class whose constructor wrote the message."""
    if library == "massrl":
        return list(inspect.signature(BACKBONES[plain]).parameters)
    if library == "torchvision":
        from torchvision.models import get_model_builder as builder
    else:
        from timm.models import model_entrypoint as builder
    owner = getattr(sys.modules[builder(plain).__module__], message.partition(".")[0], None)
    return list(inspect.signature(owner).parameters) if inspect.isclass(owner) else []
