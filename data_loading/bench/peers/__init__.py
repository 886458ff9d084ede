"""Peers: what stands beside our loader, one file each; `PEERS` says where."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple


class Place(NamedTuple):
    """Where a peer's class is, the module that must be installed for it, and what to know when reading its row."""

    module: str
    needs: str
    note: str = ""


OURS = "massrl"
BOUND = "decode"  # not a peer: decoding alone, which no loader of JPEGs can beat
BASELINE = "torchvision"
PEERS = {
    OURS: Place("ours", "data_loading"),
    BASELINE: Place("torchvision_v1", "torchvision", "transforms v1 on Pillow images, antialiased"),
    "torchvision-v2": Place(
        "torchvision_v2",
        "torchvision",
        "transforms v2 on tensors, on Pillow images where faster; simplejpeg, antialiased",
    ),
    "lightly": Place("lightly", "lightly", "its own transform classes, which blur by Pillow"),
    "albumentations": Place(
        "albumentations",
        "albumentations",
        "OpenCV; resizes without antialiasing, 8-bit tables; RandAugment and AutoAugment composed of its ops",
    ),
    "ffcv": Place(
        "ffcv", "ffcv", "reads the same file with its own threads; resizes by area; first batch holds its compilation"
    ),
    "dali": Place(
        "dali", "nvidia.dali", "its pipeline on the CPU; one affine colour op in place of jitter; its own RandAugment"
    ),
    BOUND: Place("decode", "simplejpeg", "decoding alone, into a buffer: no loader of JPEGs can be faster"),
}


def peer_class(name: str) -> type:
    """The class of a peer; imports its library."""
    return import_module(f"{__name__}.{PEERS[name].module}").Entry


def is_installed(name: str) -> bool:
    """Whether this interpreter finds the library, which is not imported."""
    try:
        return find_spec(PEERS[name].needs) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False
