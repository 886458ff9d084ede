"""Match the weights of a file with those of a backbone by their names, report it, and load them; or refuse.

Names in files of other libraries differ by a prefix ("module.encoder_q."), which is stripped, and in a few libraries by
what the layers are called, which FORMS translates. Loading is all or nothing: a weight without its match is an error,
never a random weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from torch import Tensor, nn

from data_loading.errors import ConfigError, near_miss

# Prefixes of parameter names that are stripped.
WRAPPERS = {"module", "_orig_mod", "backbone", "encoder", "model", "encoder_q", "base_encoder", "method"}
WRAPPERS |= {"trunk", "_feature_blocks"}  # vissl's
HEADS = ("fc", "head", "heads", "classifier")  # names of classifiers, which are not loaded
# Computed buffers, not weights; whether a file has them depends on the version that wrote it.
DERIVED = ("num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask")
FEW = 4  # names listed in a message
SOLO_STEM = "solo-learn's stem for small images has padding 2: stem: cifar_pad2 computes the same as there"


def _layer(number: re.Match[str]) -> str:
    return f"layer{int(number[1]) - 3}."


# Other names of the layers of a backbone: (pattern, replacement), of which the first that fits is used.
FORMS: dict[str, Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]] = {
    "": (),
    # nn.Sequential(*list(resnet.children())[:-1]), as in lightly's examples; 2 and 3 are ReLU and max-pool
    "layers by number": ((r"^0\.", "conv1."), (r"^1\.", "bn1."), (r"^([4-7])\.", _layer)),
    "ViT of torchvision": (
        (r"^class_token$", "cls_token"),
        (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.pos_embedding$", "pos_embed"),
        (r"^encoder\.ln\.", "norm."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.", r"blocks.\1.norm\2."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_", r"blocks.\1.attn.qkv."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.", r"blocks.\1.attn.proj."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.0\.", r"blocks.\1.mlp.fc1."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.3\.", r"blocks.\1.mlp.fc2."),
    ),
    "ViT of mmpretrain": (
        (r"^patch_embed\.projection\.", "patch_embed.proj."),
        (r"^ln1\.", "norm."),
        (r"^layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
        (r"^layers\.(\d+)\.attn\.", r"blocks.\1.attn."),
        (r"^layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
        (r"^layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    ),
}


@dataclass(frozen=True, repr=False)
class Match:
    """How the weights of a file fit a backbone.

    name, source: of the backbone and of the file.  prefix: of the backbone's weights in the file.  form: what the file
    calls the layers, "" as the backbone does.  wanted: the backbone's weights that must be in the file; left: those
    that stay random by `weights_except`.  missing: wanted and not in the file; shapes: with another shape there, in
    words; unexpected: in the file only, in modules of the backbone; broken: not finite.  head: the classifier, which
    is dropped; unused: all else in the file.  values: the weights by the backbone's names.
    """

    name: str
    source: str
    prefix: str
    form: str
    wanted: tuple[str, ...]
    left: tuple[str, ...]
    missing: tuple[str, ...]
    shapes: dict[str, str]
    unexpected: tuple[str, ...]
    broken: tuple[str, ...]
    head: tuple[str, ...]
    unused: tuple[str, ...]
    note: str
    values: dict[str, Tensor] = field(compare=False)
    inside: tuple[str, ...]  # all names under the prefix

    @property
    def matched(self) -> int:
        """Weights of the backbone that the file has, in the backbone's shape."""
        return len(self.wanted) - len(self.missing) - len(self.shapes)

    @property
    def fits(self) -> bool:
        """Whether the weights can be loaded: none missing, of another shape, unexpected or not finite."""
        return not (self.missing or self.shapes or self.unexpected or self.broken)

    def check(self) -> None:
        """Raise a ConfigError that says what differs, and what to change, unless the weights fit."""
        if self.missing or self.shapes or self.unexpected:
            raise ConfigError(self._mismatch())
        if self.broken:
            raise ConfigError(f"{self.source} has NaN or infinite values in {_counted(self.broken)}; use another file")

    @property
    def line(self) -> str:
        """In a line: how many weights were loaded from where, what stays random, and what is not used."""
        parts = [f"{self.name}: {len(self.wanted)} of {len(self.wanted) + len(self.left)} weights from {self.source}"]
        parts[0] += f", there under {self.prefix.removesuffix('.')!r}" if self.prefix else ""
        parts[0] += f" ({self.form})" if self.form else ""
        parts += [f"left random by weights_except: {_counted(self.left)}" if self.left else "none missing"]
        parts += [f"classifier dropped: {_counted(self.head)}"] if self.head else []
        parts += [f"not used: {_counted(self.unused)}"] if self.unused else []
        parts += [self.note] if self.note else []
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: everything but the weights themselves, all names in full."""
        names = ("name", "source", "prefix", "form", "fits", "matched", "note")
        lists = ("wanted", "left", "missing", "unexpected", "broken", "head", "unused")
        return (
            {n: getattr(self, n) for n in names} | {n: list(getattr(self, n)) for n in lists} | {"shapes": self.shapes}
        )

    def _rows(self) -> list[tuple[str, str]]:
        def listed(names: Iterable[str]) -> str:
            return _counted(list(names)) if names else "none"

        under = repr(self.prefix.removesuffix(".")) if self.prefix else "without a prefix"
        rows = [("weights", self.source), ("backbone", self.name), ("names", f"{under} {self.form}".strip())]
        rows += [("matched", f"{self.matched} of {len(self.wanted)}"), ("missing there", listed(self.missing))]
        rows += [("of another shape", listed(self.shapes.values())), ("only there", listed(self.unexpected))]
        rows += [("not finite", listed(self.broken))] if self.broken else []
        rows += [("left random", listed(self.left))] if self.left else []
        rows += [("classifier, dropped", listed(self.head)), ("not used", listed(self.unused))]
        return [
            *rows,
            ("verdict", "fits" if self.fits else "does not fit"),
            *([("note", self.note)] if self.note else []),
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<21}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"

    def _mismatch(self) -> str:
        """The error message for weights that do not fit: what differs, and what to change."""
        total = len(self.wanted)
        found = [f"{self.source} does not fit {self.name}: {self.matched} of {total} weights match"]
        found += [f"missing there: {_counted(self.missing)}"] if self.missing else []
        found += [f"of another shape: {_counted(list(self.shapes.values()))}"] if self.shapes else []
        found += [f"only there: {_counted(self.unexpected)}"] if self.unexpected else []
        bad = [*self.missing, *self.shapes, *self.unexpected]
        parts = ", ".join(dict.fromkeys(k.partition(".")[0] for k in [*self.missing, *self.shapes]))
        first = next(iter([*self.wanted, *self.left])).rpartition(".")[0]
        if all(within(k, [first]) for k in bad):
            todo = (
                f"set its stem and in_chans, or leave that layer random: backbone_args: {{weights_except: [{first}]}}"
            )
        elif all(within(k, ["pos_embed", "patch_embed", "conv_proj"]) for k in bad):
            todo = "set the img_size, patch_size and in_chans of the file's model (views may have other sizes)"
        elif self.unexpected or self.matched < total / 2:
            todo = f"it has {few(self.inside)}: set the backbone and the arguments of the file's model"
        else:
            todo = f"set the arguments of the file's model, or name what may stay random: weights_except: [{parts}]"
        return f"{'; '.join(found)}; {todo}"


def match(backbone: nn.Module, found: Mapping[str, Tensor], name: str, source: str, leave: Sequence[str] = ()) -> Match:
    """Compare the weights of a file with those of a backbone, which may be on the meta device; changes nothing.

    found: a state dict, as `weights_file.read` returns it.  name, source: of the backbone and of the file, in words.
    leave: names of modules that keep their random weights. Raises ConfigError for a name in `leave` that is no module.
    """
    mine = backbone.state_dict()
    for part in leave:
        if not any(within(k, [part]) for k in mine):
            modules = dict.fromkeys(k.partition(".")[0] for k in mine)
            raise ConfigError(
                f"backbone_args.weights_except: {name} has no module {part!r}.{near_miss(part, modules)} It has "
                f"{few(modules)}"
            )
    prefix, form = _naming(found, mine)
    inside = {_renamed(k.removeprefix(prefix), form): v for k, v in found.items() if k.startswith(prefix)}
    wanted = [k for k in mine if not k.endswith(DERIVED) and not within(k, leave)]
    shapes = {
        k: f"{k} {tuple(inside[k].shape)} there and {tuple(mine[k].shape)} here"
        for k in wanted
        if k in inside and inside[k].shape != mine[k].shape
    }
    head = [k for k in inside if k not in mine and k.partition(".")[0] in HEADS]
    extra = [k for k in inside if k not in mine and k not in head and not k.endswith(DERIVED)]
    tops = {k.partition(".")[0] for k in mine}
    unexpected = [k for k in extra if k.partition(".")[0] in tops and not within(k, leave)]
    return Match(
        name=name,
        source=source,
        prefix=prefix,
        form=form,
        wanted=tuple(wanted),
        left=tuple(k for k in mine if not k.endswith(DERIVED) and within(k, leave)),
        missing=tuple(k for k in wanted if k not in inside),
        shapes=shapes,
        unexpected=tuple(unexpected),
        broken=tuple(k for k in wanted if k in inside and k not in shapes and not inside[k].isfinite().all()),
        head=tuple(head),
        unused=(*(k for k in extra if k not in unexpected), *(k for k in found if not k.startswith(prefix))),
        note=SOLO_STEM if _is_solo(found, prefix) and _pads_by_one(backbone) else "",
        values={k: v for k, v in inside.items() if k in mine and not within(k, leave) and v.shape == mine[k].shape},
        inside=tuple(inside),
    )


def fill(backbone: nn.Module, found: Mapping[str, Tensor], name: str, source: str, leave: Sequence[str] = ()) -> str:
    """Load weights into the backbone, in place; log and return a line: what matched, stays random, is unused.

    Arguments as of `match`. Raises ConfigError when a weight of the backbone outside `leave` is missing in `found`, has
    another shape or is not finite, or when `found` has further weights of the backbone's modules (a ResNet-34's,
    loaded into a ResNet-18).
    """
    from data_loading.config.lightning_package import pl

    matched = match(backbone, found, name, source, leave)
    matched.check()
    backbone.load_state_dict(matched.values, strict=False)
    pl.utilities.rank_zero_info(matched.line)
    return matched.line


def _naming(found: Iterable[str], mine: Mapping[str, Tensor]) -> tuple[str, str]:
    """(prefix, form) by which `found` has most parameter names of the backbone; often ("", "")."""
    chains: dict[str, None] = {"": None}  # ordered, the shortest first
    for key in found:
        chain = ""
        for word in key.split(".")[:-1]:
            if word not in WRAPPERS:
                break
            chain += f"{word}."
            chains[chain] = None
    keys = list(found)

    def hits(prefix: str, form: str) -> int:
        return sum(_renamed(k.removeprefix(prefix), form) in mine for k in keys if k.startswith(prefix))

    pairs = [(chain, form) for form in FORMS for chain in sorted(chains, key=len)]
    own = pairs[: len(chains)]  # under the backbone's own names; of equally good pairs the first is taken
    best = max(own, key=lambda pair: hits(*pair))
    return best if 2 * hits(*best) > len(mine) else max(pairs, key=lambda pair: hits(*pair))


def _renamed(key: str, form: str) -> str:
    """A parameter's name in the backbone, of its name in a file of that form."""
    for pattern, replacement in FORMS[form]:
        new, count = re.subn(pattern, replacement, key)
        if count:
            return new
    return key


def _is_solo(found: Iterable[str], prefix: str) -> bool:
    """Whether the names are those of a checkpoint of solo-learn, which MASSRL's authors' code has too."""
    tops = {key.partition(".")[0] for key in found}
    return prefix in ("backbone.", "encoder.") and "classifier" in tops and len(tops) > 2


def _pads_by_one(backbone: nn.Module) -> bool:
    """Whether the backbone is a ResNet with massrl's stem for small images."""
    conv = getattr(backbone, "conv1", None)
    return isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and conv.padding == (1, 1)


def within(key: str, parts: Iterable[str]) -> bool:
    """Whether a parameter belongs to one of the named modules."""
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def few(names: Iterable[str]) -> str:
    """The first names of a list, in words."""
    names = list(names)
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} ({few(names)})"
