"""Read weights from a file and load them into a backbone; report in one line what matched, and refuse a mismatch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from data_loading.errors import CheckpointError, ConfigError, near_miss
from massrl.runs.checkpoint import UnsafeFile, read_file

NESTS = ("state_dict", "model_state_dict", "model", "network", "net")  # keys under which files nest their state dict
# Prefixes of parameter names that are stripped.
WRAPPERS = ("module", "_orig_mod", "backbone", "encoder", "model", "encoder_q", "base_encoder", "method")
HEADS = ("fc", "head", "heads", "classifier")  # names of classifiers, which are not loaded
# Computed buffers, not weights; whether a file has them depends on the version that wrote it.
DERIVED = ("num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask")
FEW = 4  # names listed in a message


def read(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The state dict in a file, at the top level or nested one level deep: {parameter name: tensor on the CPU}.

    path: .pt, .pth or .ckpt as torch.save writes them (tensors and plain values only), or .safetensors.
    key: which of several state dicts to take, or the prefix of the parameter names to take.
    Raises ConfigError when the file cannot be read, or does not determine one state dict.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"backbone_args.weights is {path!r}; name a file")
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"backbone_args.weights: {path}: no such file")
    content = _content(path)
    nests = {k: v for k, v in content.items() if isinstance(v, Mapping) and _tensors(v)}
    if key in nests:
        return _tensors(nests[key])
    if _tensors(content):
        found = _tensors(content)
    else:
        usual = [name for name in NESTS if name in nests] or list(nests)
        if len(usual) != 1:
            which = f"holds {', '.join(nests)}; say which: weights_key: {usual[0]}" if nests else "holds no weights"
            raise ConfigError(f"backbone_args.weights: {path}: {which}")
        found = _tensors(nests[usual[0]])
    if key is None:
        return found
    under = {k.removeprefix(f"{key}."): v for k, v in found.items() if k.startswith(f"{key}.")}
    if not under:
        known = [*nests, *dict.fromkeys(k.partition(".")[0] for k in found)]
        raise ConfigError(
            f"backbone_args.weights_key: {path} has nothing under {key!r}.{near_miss(key, known)} It has {_few(known)}"
        )
    return under


def fill(backbone: nn.Module, found: Mapping[str, Tensor], name: str, source: str, leave: Sequence[str] = ()) -> str:
    """Load weights into the backbone, in place; log and return a line: what matched, stays random, is unused.

    found: a state dict, as `read` returns it; wrappers such as "module." in its names are stripped.  name, source: of
    the backbone and of the weights, for messages.  leave: names of modules that keep their random weights.
    Raises ConfigError when another weight of the backbone is missing in `found`, has another shape or is not finite,
    or when `found` has further weights of the backbone's modules (a ResNet-34's, loaded into a ResNet-18).
    """
    from data_loading.config.lightning_package import pl

    mine = backbone.state_dict()
    for part in leave:
        if not any(_within(k, [part]) for k in mine):
            modules = dict.fromkeys(k.partition(".")[0] for k in mine)
            raise ConfigError(
                f"backbone_args.weights_except: {name} has no module {part!r}.{near_miss(part, modules)} It has "
                f"{_few(modules)}"
            )
    prefix = _prefix(found, mine)
    inside = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    wanted = [k for k in mine if not k.endswith(DERIVED)]
    left = [k for k in wanted if _within(k, leave)]
    missing = [k for k in wanted if k not in inside and k not in left]
    shapes = [k for k in wanted if k in inside and k not in left and inside[k].shape != mine[k].shape]
    head = [k for k in inside if k not in mine and k.partition(".")[0] in HEADS]
    extra = [k for k in inside if k not in mine and k not in head and not k.endswith(DERIVED)]
    tops = {k.partition(".")[0] for k in mine}
    beyond = [k for k in extra if k.partition(".")[0] in tops and not _within(k, leave)]
    if missing or shapes or beyond:
        raise ConfigError(_mismatch(name, source, mine, inside, missing, shapes, beyond, len(wanted) - len(left)))
    broken = [k for k in wanted if k not in left and not inside[k].isfinite().all()]
    if broken:
        raise ConfigError(f"{source} has NaN or infinite values in {_counted(broken)}; use another file")
    fits = {k: v for k, v in inside.items() if k in mine and not _within(k, leave) and v.shape == mine[k].shape}
    backbone.load_state_dict(fits, strict=False)
    outside = [k for k in found if not k.startswith(prefix)]
    parts = [f"{name}: {len(wanted) - len(left)} of {len(wanted)} weights from {source}"]
    parts[0] += f", there under {prefix.removesuffix('.')!r}" if prefix else ""
    parts += [f"left random by weights_except: {_counted(left)}" if left else "none missing"]
    parts += [f"classifier dropped: {_counted(head)}"] if head else []
    parts += [f"not used: {_counted([*extra, *outside])}"] if extra or outside else []
    line = "; ".join(parts)
    pl.utilities.rank_zero_info(line)
    return line


def _content(path: Path) -> Mapping[str, Any]:
    """The mapping stored in a file, read without running any code in it. Raises ConfigError."""
    try:
        if path.suffix == ".safetensors":
            content = _safetensors(path)
        else:
            content = read_file(path, safe=[argparse.Namespace])  # many published checkpoints hold their settings so
    except UnsafeFile:
        raise ConfigError(
            f"backbone_args.weights: {path}: holds objects other than tensors, which could run code; if you trust its "
            "origin, save its state dict alone to a new file"
        ) from None
    except CheckpointError:
        raise ConfigError(
            f"backbone_args.weights: {path}: not a file of weights, or truncated; supported are .safetensors and .pt, "
            ".pth and .ckpt as torch.save writes them"
        ) from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"backbone_args.weights: {path}: holds a {type(content).__name__}, not a state dict")
    return content


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # whatever a file cut short does to it
        raise CheckpointError(f"{path}: {error}") from None


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _prefix(found: Iterable[str], mine: Mapping[str, Tensor]) -> str:
    """The prefix ("module.backbone.", often "") under which `found` has most parameter names of the backbone."""
    chains: dict[str, None] = {"": None}  # ordered, the shortest first
    for key in found:
        chain = ""
        for word in key.split(".")[:-1]:
            if word not in WRAPPERS:
                break
            chain += f"{word}."
            chains[chain] = None
    keys = set(found)
    return max(sorted(chains, key=len), key=lambda chain: sum(chain + k in keys for k in mine))


def _within(key: str, parts: Iterable[str]) -> bool:
    """Whether a parameter belongs to one of the named modules."""
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} ({_few(names)})"


def _mismatch(name, source, mine, inside, missing, shapes, beyond, total) -> str:
    """The error message for weights that do not fit: what differs, and what to change."""
    fitting = total - len(missing) - len(shapes)
    found = [f"{source} does not fit {name}: {fitting} of {total} weights match"]
    if missing:
        found.append(f"missing there: {_counted(missing)}")
    if shapes:
        each = [f"{k} {tuple(inside[k].shape)} there and {tuple(mine[k].shape)} here" for k in shapes]
        found.append(f"of another shape: {_counted(each)}")
    if beyond:
        found.append(f"only there: {_counted(beyond)}")
    bad = [*missing, *shapes, *beyond]
    parts = ", ".join(dict.fromkeys(k.partition(".")[0] for k in [*missing, *shapes]))
    first = next(iter(mine)).rpartition(".")[0]
    if all(_within(k, [first]) for k in bad):
        todo = f"set its stem and in_chans, or leave that layer random: backbone_args: {{weights_except: [{first}]}}"
    elif all(_within(k, ["pos_embed", "patch_embed", "conv_proj"]) for k in bad):
        todo = "set the img_size, patch_size and in_chans of the file's model (views may have other sizes)"
    elif beyond or fitting < total / 2:
        todo = f"it has {_few(inside)}: set the backbone and the arguments of the file's model"
    else:
        todo = f"set the arguments of the file's model, or name what may stay random: weights_except: [{parts}]"
    return f"{'; '.join(found)}; {todo}"
