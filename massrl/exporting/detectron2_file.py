"""A pickle of a ResNet by detectron2's names with NumPy values, as MoCo's converter writes it.

The names: https://github.com/facebookresearch/moco, detection/convert-pretrain-to-detectron2.py. detectron2 itself is
not run: the check maps the names back to torchvision's and loads the weights into torchvision's model, strictly.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from massrl.backbones import stems
from massrl.exporting.source import Encoder
from massrl.exporting.target import SAME, Target, no_name


def unfit(encoder: Encoder) -> str:
    """Why detectron2 cannot express the network: "" where it can."""
    if reason := no_name(encoder, "detectron2"):
        return reason
    return "" if encoder.is_resnet else f"detectron2's names are those of ResNets as published, not of {encoder.title}"


def to_detectron2(name: str) -> str:
    """layer1.0.bn2.weight -> res2.0.conv2.norm.weight; the layers before layer1 are its stem."""
    name = name if name.startswith("layer") else f"stem.{name}"
    name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)\b", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def from_detectron2(name: str) -> str:
    """The inverse of `to_detectron2`."""
    name = name.removeprefix("stem.")
    name = name.replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")
    name = re.sub(r"\bconv(\d)\.norm\b", r"bn\1", name)
    return re.sub(r"^res(\d)", lambda m: f"layer{int(m[1]) - 1}", name)


def write(encoder: Encoder) -> dict[str, bytes]:
    model = {to_detectron2(name): value.numpy() for name, value in encoder.state_dict().items()}
    content = {"model": model, "__author__": "massrl", "matching_heuristics": True}
    return {TARGET.file: pickle.dumps(content)}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    """torchvision's model with the weights of the pickle, their names mapped back."""
    import torchvision

    content = pickle.loads((folder / TARGET.file).read_bytes())  # which `write` has just made
    with torch.random.fork_rng(devices=[]):
        args = {name: encoder.arguments[name] for name in ("groups", "width_per_group") if name in encoder.arguments}
        model = torchvision.models.get_model(encoder.architecture, weights=None, **args)
    stems.drop_head(model)
    if encoder.channels != 3:
        stems.take_channels(model, encoder.channels)
    model.load_state_dict({from_detectron2(name): torch.from_numpy(v) for name, v in content["model"].items()})
    return model.eval(), f"names mapped back, torchvision {torchvision.__version__}; detectron2 was not run"


def use(path: str, encoder: Encoder) -> str:
    mean, std = (", ".join(f"{255 * x:.3f}" for x in values) for values in (encoder.mean, encoder.std))
    depth = re.search(r"\d+", encoder.architecture)
    groups = re.search(r"_(\d+)x(\d+)d$", encoder.architecture)  # of a ResNeXt
    more = f", NUM_GROUPS: {groups[1]}, WIDTH_PER_GROUP: {groups[2]}" if groups else ""
    more += ", WIDTH_PER_GROUP: 128" if encoder.architecture.startswith("wide_") else ""
    more += ", RES2_OUT_CHANNELS: 64" if encoder.architecture in ("resnet18", "resnet34") else ""
    return f"""\
# detectron2's config, as in detection/configs of MoCo:
MODEL:
  WEIGHTS: {path}
  PIXEL_MEAN: [{mean}]
  PIXEL_STD: [{std}]
  RESNETS: {{DEPTH: {depth[0] if depth else ""}, STRIDE_IN_1X1: False, NORM: SyncBN{more}}}
INPUT: {{FORMAT: RGB}}
"""


TARGET = Target("detectron2", ".pkl", SAME, unfit, write, read, use)
