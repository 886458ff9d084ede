"""A state dict by torchvision's names, without the classifier: `load_state_dict` of the model takes it strictly."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from massrl.backbones import stems
from massrl.exporting.source import PLAIN, Encoder
from massrl.exporting.target import SAME, Target, no_name

HEADS = {"fc": "model.fc", "classifier": "model.classifier[-1]", "heads": "model.heads[-1]"}


def unfit(encoder: Encoder) -> str:
    """Why torchvision cannot express the network: "" where it can."""
    if reason := no_name(encoder, "torchvision"):
        return reason
    if encoder.library == "timm" and not encoder.is_resnet:
        return f"torchvision has no {encoder.title} with these names of the layers"
    return ""


def _arguments(encoder: Encoder) -> dict[str, Any]:
    """What torchvision makes the network from, beside its name; without the number of channels."""
    names = PLAIN["timm"] if encoder.library == "timm" else {"in_chans"}
    return {name: value for name, value in encoder.arguments.items() if name not in names}


def write(encoder: Encoder) -> dict[str, bytes]:
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    return {TARGET.file: file.getvalue()}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    """torchvision's own model with the file's weights, loaded strictly."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        model = torchvision.models.get_model(encoder.architecture, weights=None, **_arguments(encoder))
    stems.drop_head(model)
    if encoder.channels != 3:
        stems.take_channels(model, encoder.channels)
    if encoder.recipe["stem"] != "imagenet":
        stems.make_small(model, stems.PADDING[encoder.recipe["stem"]])
    model.load_state_dict(torch.load(folder / TARGET.file, weights_only=True), strict=True)
    return model.eval(), f"torchvision {torchvision.__version__}"


def use(path: str, encoder: Encoder) -> str:
    args = "".join(f", {name}={value!r}" for name, value in _arguments(encoder).items())
    lines = ["import torch", "import torchvision", ""]
    lines += [f"model = torchvision.models.get_model({encoder.architecture!r}, weights=None{args})"]
    head = next(name for name in HEADS if hasattr(encoder.network, name))
    lines += [
        f"{HEADS[head]} = torch.nn.Identity()  # gives features; or a classifier of yours, loaded with strict=False"
    ]
    if encoder.recipe["stem"] != "imagenet" or encoder.channels != 3:
        path_of, conv = next((p, m) for p, m in encoder.network.named_modules() if isinstance(m, nn.Conv2d))
        place = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path_of.split("."))
        options = f"{conv.kernel_size}, stride={conv.stride}, padding={conv.padding}, bias={conv.bias is not None}"
        lines += [f"model{place} = torch.nn.Conv2d({conv.in_channels}, {conv.out_channels}, {options})"]
    if encoder.recipe["stem"] != "imagenet":
        lines += ["model.maxpool = torch.nn.Identity()"]
    return "\n".join([*lines, f"model.load_state_dict(torch.load({path!r}, weights_only=True))", "model.eval()", ""])


TARGET = Target("torchvision", ".pth", SAME, unfit, write, read, use)
