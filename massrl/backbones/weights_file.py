"""Weights to start from: read from a file, put into a backbone, and said in a sentence; a mismatch is refused."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from data_loading.errors import CheckpointError, ConfigError, near_miss
from massrl.runs.checkpoint import UnsafeFile, read_file

NESTS = ("state_dict", "model_state_dict", "model", "network", "net")  # where files keep their state dict
# Prefixes of keys.
WRAPPERS = ("module", "_orig_mod", "backbone", "encoder", "model", "encoder_q", "base_encoder", "method")
HEADS = ("fc", "head", "heads", "classifier")  # a classifier is left out, under whichever name
# Counters and tables that are computed, not learnt; files of other versions have or lack them.
DERIVED = ("num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask")
FEW = 4  # names in a sentence


def read(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The state dict of a file: of its own or nested one level deep.

    key: which of several state dicts, or the prefix of the keys to take.  Raises ConfigError in one sentence.
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
    """Put the weights into the backbone; says, logs and returns what matched, what is missing, what was not used.

    leave: names of parts that stay random.  Raises ConfigError where any other weight of the backbone is not there or
    has another shape, or where the file goes on where the backbone ends (as ResNet-34's in a ResNet-18).
    """
    from pytorch_lightning.utilities import rank_zero_info

    mine = backbone.state_dict()
    for part in leave:
        if not any(_within(k, [part]) for k in mine):
            tops = dict.fromkeys(k.partition(".")[0] for k in mine)
            raise ConfigError(
                f"backbone_args.weights_except: {name} has no part {part!r}.{near_miss(part, tops)} It has {_few(tops)}"
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
        raise ConfigError(f"{source} has numbers that are not finite (NaN), in {_counted(broken)}; take another file")
    fits = {k: v for k, v in inside.items() if k in mine and not _within(k, leave) and v.shape == mine[k].shape}
    backbone.load_state_dict(fits, strict=False)
    outside = [k for k in found if not k.startswith(prefix)]
    said = [f"{name}: {len(wanted) - len(left)} of {len(wanted)} weights from {source}"]
    said[0] += f", there under {prefix.removesuffix('.')!r}" if prefix else ""
    said += [f"left random by weights_except: {_counted(left)}" if left else "none missing"]
    said += [f"classifier dropped: {_counted(head)}"] if head else []
    said += [f"not used: {_counted([*extra, *outside])}"] if extra or outside else []
    sentence = "; ".join(said)
    rank_zero_info(sentence)
    return sentence


def _content(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            content = _safetensors(path)
        else:
            content = read_file(path, safe=[argparse.Namespace])  # a box of settings in many authors' files
    except UnsafeFile:
        raise ConfigError(
            f"backbone_args.weights: {path}: holds objects other than tensors, which could run code; save its "
            "state dict alone as a new file, where you trust its origin"
        ) from None
    except CheckpointError:
        raise ConfigError(
            f"backbone_args.weights: {path}: not a file of weights, or cut short; .pt, .pth and .ckpt as torch.save "
            "writes them and .safetensors are read"
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
    """The chain of wrappers ("module.backbone.") under which most keys of the backbone are found; often none."""
    chains = {"": None}  # ordered, the shortest first
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
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} ({_few(names)})"


def _mismatch(name, source, mine, inside, missing, shapes, beyond, total) -> str:
    """Why the weights are refused, and what to do."""
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
        todo = f"give its stem and in_chans, or leave that layer random: backbone_args: {{weights_except: [{first}]}}"
    elif all(_within(k, ["pos_embed", "patch_embed", "conv_proj"]) for k in bad):
        todo = "give the img_size, patch_size and in_chans that it was made with (views may have other sizes)"
    elif beyond or fitting < total / 2:
        todo = f"it has {_few(inside)}: give the backbone and the arguments that it was made with"
    else:
        todo = f"give the arguments that it was made with, or name what may stay random: weights_except: [{parts}]"
    return f"{'; '.join(found)}; {todo}"
