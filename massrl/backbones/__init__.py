"""Backbones: encoders (B, in_chans, H, W) -> (B, F), made by name; `num_features` is F. See docs/backbones.md."""

from massrl.backbones.making import build, reinitialise, width_of, without_weights
from massrl.backbones.names import BACKBONES, STEMS, names, takes_small_stem
from massrl.backbones.resnet9 import ResNet9
from massrl.backbones.tiny_resnet import TinyResNet
from massrl.backbones.weights_check import check_weights
from massrl.backbones.weights_match import Match

__all__ = [
    "BACKBONES",
    "STEMS",
    "Match",
    "ResNet9",
    "TinyResNet",
    "build",
    "check_weights",
    "names",
    "reinitialise",
    "takes_small_stem",
    "width_of",
    "without_weights",
]
