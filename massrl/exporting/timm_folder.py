"""A folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads, and that the Hugging Face hub takes.

config.json        architecture, its arguments, and how images are prepared; read by timm
model.safetensors  the weights, by timm's names
README.md          the card
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from massrl.exporting.source import Encoder, view
from massrl.exporting.target import SAME, Target, no_name
from massrl.timm_package import import_timm

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Arguments of torchvision's ResNets -> timm's; None where it only sets the first weights.
OF_TORCHVISION = {"groups": "cardinality", "width_per_group": "base_width", "in_chans": "in_chans"}
INITIAL = ("zero_init_residual",)


def unfit(encoder: Encoder) -> str:
    """Why timm cannot express the network: "" where it can."""
    if reason := no_name(encoder, "timm"):
        return reason
    if encoder.recipe["stem"] != "imagenet":
        return f"timm's ResNets have no 3 x 3 stem without max-pool (stem: {encoder.recipe['stem']})"
    if encoder.library == "torchvision":
        if not encoder.is_resnet:
            return f"timm names the layers of {encoder.title} otherwise, or takes no such arguments"
        if not import_timm().is_model(encoder.architecture):
            return f"timm has no {encoder.architecture}"
    try:
        json.dumps(_arguments(encoder))
    except TypeError:
        return "arguments of its constructor are objects, which config.json cannot hold"
    return ""


def _arguments(encoder: Encoder) -> dict[str, Any]:
    """What timm makes the network from, beside its name."""
    args = encoder.arguments
    if encoder.library == "timm":
        return args
    return {OF_TORCHVISION[name]: value for name, value in args.items() if name not in INITIAL}


def write(encoder: Encoder) -> dict[str, bytes]:
    """The files of the folder."""
    timm, args = import_timm(), _arguments(encoder)
    own = timm.get_pretrained_cfg(encoder.architecture)
    config = {
        "architecture": encoder.architecture,
        "num_classes": 0,
        "num_features": encoder.num_features,
        "model_args": args,
        "pretrained_cfg": {
            "tag": f"massrl_{encoder.method.lower()}",
            "input_size": [encoder.channels, encoder.size, encoder.size],
            "fixed_input_size": bool(getattr(own, "fixed_input_size", False)) and not args.get("dynamic_img_size"),
            "crop_mode": "center",
            **view(),
            "mean": list(encoder.mean),
            "std": list(encoder.std),
            "num_classes": 0,
            # Which layers timm replaces for other channels or classes.
            "first_conv": getattr(own, "first_conv", None),
            "classifier": getattr(own, "classifier", None),
        },
    }
    return {CONFIG: (json.dumps(config, indent=2) + "\n").encode(), WEIGHTS: save(encoder.state_dict(), _PT)}


_PT = {"format": "pt"}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    """The network as timm makes it from the folder."""
    timm = import_timm()
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.eval(), f"timm {timm.__version__}"


def use(path: str, encoder: Encoder) -> str:
    return f"""\
import timm

model = timm.create_model({f"local-dir:{path}"!r}, pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)  # of a PIL image
"""


TARGET = Target("timm", "", SAME, unfit, write, read, use)
