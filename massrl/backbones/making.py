"""Make an encoder from its name and arguments, and make it again with other random weights."""

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
from massrl.backbones import stems, weights_file, weights_match
from massrl.backbones.names import BACKBONES, STEMS, find, takes_small_stem
from massrl.timm_package import import_timm

_FILL = ContextVar("_FILL", default=True)  # False inside `without_weights`: `build` reads no weights


def build(
    name: str,
    stem: Literal["imagenet", "cifar", "cifar_pad2"] = "imagenet",
    weights: str | Path | None = None,
    weights_key: str | None = None,
    weights_except: Sequence[str] = (),
    pretrained: bool | str = False,
    blur: bool = False,
    **args: Any,
) -> nn.Module:
    """Make an encoder: images (B, in_chans, H, W) -> features (B, num_features).

    name: a backbone of massrl, torchvision or timm; `timm:NAME` and `torchvision:NAME` choose the library.
    stem: "cifar" replaces the first layers of a ResNet by a 3 x 3 convolution with stride 1, padding 1 and no max-pool,
        for images of up to about 64 pixels; "cifar_pad2" has padding 2, as solo-learn's and MASSRL's code; "imagenet"
        leaves the network as published.
    weights: a file with weights to start from (.pt, .pth, .ckpt, .safetensors).
    weights_key: which state dict of the file to take, or the prefix of the keys to take.
    weights_except: modules that keep their random weights, for example [conv1].
    pretrained: True for the library's default pretrained weights; a string names one of several.
    blur: blur what convolutions with a stride read (BlurPool, in FFCV's form); the network's weights stay the same.
    args: arguments of the constructor; every backbone takes `in_chans` (default 3).
    Raises UnknownName for an unknown name, with the nearest one, and ConfigError for arguments or weights that do not
    fit.
    """
    if stem not in STEMS:
        raise ConfigError(f"backbone_args.stem is {stem!r}; choose one of {', '.join(STEMS)}")
    library, plain = find(name)
    if stem != "imagenet" and not takes_small_stem(name, stem):
        raise ConfigError(
            f"backbone {name!r} has no stem to replace; stem: {stem} fits ResNets (use stem: imagenet; for small "
            "images a ViT of timm takes img_size: 32, patch_size: 4)"
        )
    in_chans = args.get("in_chans", 3)
    if not isinstance(in_chans, int) or in_chans < 1:
        raise ConfigError(f"backbone_args.in_chans is {in_chans!r}; it must be an integer of at least 1")
    make = {"massrl": _own, "torchvision": _torchvision, "timm": _timm}[library]
    try:
        backbone = make(plain, args)
    except TypeError as error:  # the constructor has no such argument
        raise ConfigError(_unfit(name, library, plain, error)) from None
    except (ValueError, ArithmeticError, AssertionError, RuntimeError) as error:  # the constructor rejects a value
        line = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"backbone {name!r} cannot be made with these backbone_args: {line}") from None
    if stem != "imagenet" and library != "massrl":
        stems.make_small(backbone, stems.PADDING[stem])
    _blur(backbone, name, blur)
    if _FILL.get() and (weights is not None or pretrained):
        if weights is not None and pretrained:
            raise ConfigError("backbone_args have both weights and pretrained; remove one of them")
        if weights is not None:
            source, found = str(weights), weights_file.read(weights, weights_key)
        else:
            source, found = _pretrained(name, library, plain, pretrained, args)
        weights_match.fill(backbone, found, name, source, except_names(weights_except))
    elif _FILL.get() and (weights_key is not None or weights_except):
        raise ConfigError(
            "backbone_args.weights_key and weights_except have no effect without weights or pretrained; set one"
        )
    # For `reinitialise`: the architecture, not its weights.
    backbone.recipe = {"name": name, "stem": stem, **({"blur": True} if blur else {}), **args}  # type: ignore[assignment]  # torch declares Tensor | Module
    return backbone


def _blur(backbone: nn.Module, name: str, blur: bool) -> None:
    """Blur what the strided convolutions read, where that is wanted; ConfigError where there are none."""
    if not isinstance(blur, bool):
        raise ConfigError(f"backbone_args.blur is {blur!r}; it must be true or false")
    if blur and not stems.add_blur(backbone):
        raise ConfigError(f"backbone {name!r} has no strided convolution of 16 channels or more; leave blur out")


@contextmanager
def without_weights() -> Iterator[None]:
    """Context in which `build` reads no weights and leaves them random: the caller loads a checkpoint afterwards."""
    token = _FILL.set(False)
    try:
        yield
    finally:
        _FILL.reset(token)


def width_of(backbone: nn.Module) -> int:
    """The attribute `num_features` of an encoder. Raises ConfigError when it is missing or not an int."""
    width = getattr(backbone, "num_features", None)
    if not isinstance(width, int):
        raise ConfigError(f"backbone {type(backbone).__name__} has no num_features; set it to the width of its output")
    return width


def reinitialise(backbone: nn.Module, seed: int) -> nn.Module:
    """Return the same architecture with new random weights; torch's global random state does not change.

    seed: of the random weights.  Modules made by `build` are made again with their own initialisation (also inside
    another module, and never with weights from a file). For other modules `reset_parameters` is called, in place.
    Raises ConfigError for a module that has parameters but no `reset_parameters`.
    """
    device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
    # Sample on the CPU with its default generator only: torch.manual_seed would reseed the GPU generators too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = _anew(backbone.cpu(), type(backbone).__name__)
    return fresh.to(device).train(backbone.training)


def _anew(module: nn.Module, path: str) -> nn.Module:
    """Reinitialise a module and its children; `path` names it in an error."""
    recipe = getattr(module, "recipe", None)
    if recipe:
        return build(**recipe)
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif next(module.parameters(recurse=False), None) is not None:
        raise ConfigError(f"backbone {path} ({type(module).__name__}) has parameters and no reset_parameters method")
    for name, part in module.named_children():
        setattr(module, name, _anew(part, f"{path}.{name}"))
    return module


def _own(name: str, args: dict[str, Any]) -> nn.Module:
    return BACKBONES[name](**args)


def _torchvision(name: str, args: dict[str, Any]) -> nn.Module:
    from torchvision.models import get_model

    args = dict(args)
    in_chans = args.pop("in_chans", 3)
    model = get_model(name, weights=None, **args)
    for word in args.keys() - inspect.signature(type(model)).parameters.keys():  # ConvNeXt ignores unknown arguments
        raise TypeError(f"{type(model).__name__}.__init__() got an unexpected keyword argument {word!r}")
    stems.drop_head(model)
    if in_chans != 3:
        stems.take_channels(model, in_chans)
    return model


def _timm(name: str, args: dict[str, Any], pretrained: bool = False) -> nn.Module:
    timm = import_timm()

    def make(**more: Any) -> nn.Module:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **more, **args)

    more = {} if "dynamic_img_size" in args else {"dynamic_img_size": True}
    try:
        # ViTs: interpolate position embeddings to the size of the view, for multi-crop. No change at img_size.
        model = make(**more)
    except TypeError as error:
        if "'dynamic_img_size'" not in str(error) or not more:
            raise
        more = {}
        model = make()  # models without that argument: most accept any image size
    # For an export: what timm makes the same network from.
    model.timm_args = {**args, **more}  # type: ignore[assignment]  # torch declares Tensor | Module
    # Models with a layer between pooling and classifier return features of width head_hidden_size.
    model.num_features = getattr(model, "head_hidden_size", None) or model.num_features
    return model


def _pretrained(
    name: str, library: str, plain: str, which: bool | str, args: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """(description, state dict) of the pretrained weights of a library.

    which: True for the default weights, or the name of one set. Raises ConfigError when there are none, the name is
    unknown, or they cannot be downloaded.
    """
    from data_loading.config.lightning_package import pl

    if library == "massrl":
        raise ConfigError(f"backbone {name!r} has no pretrained weights; name a file: backbone_args: {{weights: FILE}}")
    tags = _tags(library, plain)
    if not tags:
        raise ConfigError(f"{library} has no pretrained weights for {plain}; remove pretrained, or set weights: FILE")
    if isinstance(which, str) and which not in tags:
        raise ConfigError(
            f"backbone_args.pretrained: {library} has no weights {which!r} for {plain}.{near_miss(which, tags)} "
            f"Known: {', '.join(tags)}"
        )
    pl.utilities.rank_zero_info(f"{name}: loading the pretrained weights of {library}")
    try:
        if library == "torchvision":
            entry = tags[which if isinstance(which, str) else "DEFAULT"]
            return f"{library} ({entry.name})", entry.get_state_dict(progress=False, check_hash=True)
        full = f"{plain.partition('.')[0]}.{which}" if isinstance(which, str) else plain
        # Always with 3 channels: timm would adapt the weights of the first convolution to in_chans silently.
        with torch.random.fork_rng(devices=[]):
            model = _timm(full, {k: v for k, v in args.items() if k != "in_chans"}, pretrained=True)
        config: Any = model.pretrained_cfg  # a dict, whatever nn.Module says of its attributes
        return f"{library} ({config.get('tag') or full})", model.state_dict()
    except Exception as error:  # network, hub and file errors have no common base class
        line = str(error).strip().partition("\n")[0][:200]
        raise ConfigError(
            f"backbone {name!r}: the pretrained weights of {library} could not be loaded "
            f"({type(error).__name__}: {line}); without a network, copy the file here and set backbone_args: "
            "{weights: FILE} instead of pretrained"
        ) from error


def _tags(library: str, plain: str) -> dict[str, Any]:
    """Pretrained weights of a model by name: torchvision's enum members, or timm's full model names."""
    if library == "torchvision":
        from torchvision.models import get_model_weights

        found = get_model_weights(plain)
        return {**{entry.name: entry for entry in found}, **({"DEFAULT": found.DEFAULT} if len(found) else {})}
    timm = import_timm()

    arch, _, _ = plain.partition(".")
    return {full.partition(".")[2]: full for full in timm.list_pretrained(f"{arch}.*")}


def except_names(given: Sequence[str] | str) -> list[str]:
    """weights_except as a list of module names; a single string is one name."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list | tuple) or not all(isinstance(part, str) for part in given):
        raise ConfigError(
            f"backbone_args.weights_except is {given!r}; give a list of module names, for example [conv1]"
        )
    return list(given)


def _unfit(name: str, library: str, plain: str, error: TypeError) -> str:
    """The error message for a constructor's TypeError, with the nearest valid argument."""
    match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not match:
        return f"backbone {name!r}: {error}; backbone_args must be arguments of its constructor"
    known = [*list(inspect.signature(build).parameters)[1:-1], "in_chans", *_arguments(library, plain, str(error))]
    return (
        f"backbone {name!r} takes no argument {match[1]!r}.{near_miss(match[1], known)} backbone_args are "
        f"{', '.join(known[:6])} and the arguments of its constructor"
    )


def _arguments(library: str, plain: str, message: str) -> list[str]:
    """Argument names of the class whose constructor raised a TypeError with this message; [] if it is not known."""
    if library == "massrl":
        return list(inspect.signature(BACKBONES[plain]).parameters)
    if library == "torchvision":
        from torchvision.models import get_model_builder as builder
    else:
        builder = import_timm("timm.models").model_entrypoint
    owner = getattr(sys.modules[builder(plain).__module__], message.partition(".")[0], None)
    return list(inspect.signature(owner).parameters) if inspect.isclass(owner) else []
