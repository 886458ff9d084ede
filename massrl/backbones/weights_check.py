"""Check whether a file of weights fits a backbone, before a run: the function under `massrl weights`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data_loading.errors import ConfigError
from massrl.backbones import weights_file
from massrl.backbones.making import build, except_names, without_weights
from massrl.backbones.weights_match import Match, match


def check_weights(
    weights: str | Path,
    backbone: str = "resnet50",
    backbone_args: Mapping[str, Any] | None = None,
    weights_key: str | None = None,
) -> Match:
    """Compare a file of weights with a backbone, as a run that starts from it would; nothing is trained or written.

    Args:
        weights: a file of any library (.pt, .pth, .ckpt, .safetensors), or a folder with model.safetensors.
        backbone: the name of an encoder.
        backbone_args: of the encoder: `stem`, `in_chans`, `weights_except` and what its constructor takes.
        weights_key: which state dict of the file to take, or the prefix of the keys to take.

    Raises:
        massrl.errors.ConfigError: a file that cannot be read, or an argument that does not fit, in one line.
    """
    args = dict(backbone_args or {})
    leave = except_names(args.pop("weights_except", ()))
    for name in ("weights", "pretrained"):
        if args.pop(name, None):
            raise ConfigError(f"backbone_args.{name}: the file is given as weights; leave it out")
    weights_key = args.pop("weights_key", weights_key)
    with torch.device("meta"), without_weights():  # names and shapes only
        network = build(backbone, **args)
    return match(network, weights_file.read(weights, weights_key), backbone, str(weights), leave)
