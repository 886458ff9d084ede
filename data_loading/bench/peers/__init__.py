"""Peers: the loaders that are compared, ours among them, one file each; `PEERS` lists them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple


class PeerModule(NamedTuple):
    """module: file of this folder with the class `Entry`.  needs: module to be installed.  note: how it differs."""

    module: str
    needs: str
    note: str = ""


OURS = "massrl"
BOUND = "decode"  # no library, but decoding alone: the upper bound of every loader of JPEGs
BASELINE = "torchvision"
PEERS = {
    OURS: PeerModule("ours", "data_loading"),
    BASELINE: PeerModule("torchvision_v1", "torchvision", "transforms v1 on Pillow images, antialiased"),
    "torchvision-v2": PeerModule(
        "torchvision_v2",
        "torchvision",
        "transforms v2 on tensors, on Pillow images where faster; simplejpeg, antialiased",
    ),
    "lightly": PeerModule("lightly", "lightly", "its own transform classes, which blur by Pillow"),
    "albumentations": PeerModule(
        "albumentations",
        "albumentations",
        "OpenCV; resizes without antialiasing, 8-bit tables; RandAugment and AutoAugment composed of its ops",
    ),
    "ffcv": PeerModule(
        "ffcv", "ffcv", "reads the same file with its own threads; resizes by area; first batch holds its compilation"
    ),
    "dali": PeerModule(
        "dali", "nvidia.dali", "its pipeline on the CPU; one affine colour op in place of jitter; its own RandAugment"
    ),
    BOUND: PeerModule("decode", "simplejpeg", "decoding alone, into a buffer: no loader of JPEGs can be faster"),
}


def peer_class(name: str) -> type:
    """The class of a peer, a `base.Peer`; imports its library. Raises KeyError for an unknown name."""
    return import_module(f"{__name__}.{PEERS[name].module}").Entry


def is_installed(name: str) -> bool:
    """Whether the peer's library can be imported by this interpreter; it is not imported."""
    try:
        return find_spec(PEERS[name].needs) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False
