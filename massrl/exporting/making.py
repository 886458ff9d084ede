"""A network from what an export says of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.errors import CheckpointError, UserError
from massrl import backbones
from massrl.exporting.source import encoder_of
from massrl.methods.checkpoints import class_of, made


def network_of(made_by: Mapping[str, Any], weights: Mapping[str, Tensor], given: nn.Module | None = None) -> nn.Module:
    """The network that `Encoder.made_by` describes, with these weights, all of which it must have.

    given: the network itself, where it has no name; a copy of it gets the weights. torch's random state stays as it is.
    Raises CheckpointError where the description is damaged or the weights do not fit.
    """
    with torch.random.fork_rng(devices=[]), backbones.without_weights():
        try:
            network = copy.deepcopy(given) if given is not None else _described(made_by)
        except CheckpointError:
            raise
        except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
            line = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"no network can be made as its card says ({type(error).__name__}: {line})"
            ) from error
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"its weights do not fit: {' '.join(str(error).split())[:300]}") from None
    # Kernels of another memory format sum in another order; in this one `source.read` gives encoders, too.
    return network.to(memory_format=torch.contiguous_format)


def _described(made_by: Mapping[str, Any]) -> nn.Module:
    """The network, without its weights. Raises many types where the description is damaged."""
    if "backbone" in made_by:
        return backbones.build(**made_by["backbone"])
    if "method" in made_by:
        kind = class_of(Path("the export"), made_by["method"], made_by["module"])
        return encoder_of(made(kind, made_by["init_args"]), made_by["branch"], made_by["part"])
    raise CheckpointError(
        "its backbone was given as a module, which the export does not hold; pass it on: "
        "load_encoder(path, backbone=...)"
    )
