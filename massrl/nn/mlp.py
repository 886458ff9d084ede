"""Heads: projectors and predictors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

RELU = partial(nn.ReLU, inplace=True)


def mlp(
    *dims: int,
    norm: bool = True,
    activation: Callable[[], nn.Module] = RELU,
    last_norm: bool = False,
    last_affine: bool = True,
    last_shift: bool = True,
    last_bias: bool = True,
) -> nn.Sequential:
    """Linear layers (B, dims[0]) -> (B, dims[-1]), with BatchNorm and an activation between them.

    A layer that BatchNorm follows has no bias, which BatchNorm would subtract again.

    Args:
        dims: widths from the input to the output.
        norm: BatchNorm between the layers.
        activation: makes the activation between the layers.
        last_norm: BatchNorm on the output.
        last_affine: whether the BatchNorm on the output has a scale and a shift.
        last_shift: whether it has the shift.
        last_bias: whether the last layer has a bias.
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(dims, dims[1:], strict=False)):
        last = i == len(dims) - 2
        followed = last_norm if last else norm
        layers.append(nn.Linear(a, b, bias=not followed and (last_bias or not last)))
        if not last:
            layers += [nn.BatchNorm1d(b)] * norm + [activation()]
        elif last_norm:
            layers.append(nn.BatchNorm1d(b, affine=last_affine))
            if not last_shift:
                layers[-1].register_parameter("bias", None)
    return nn.Sequential(*layers)


def projector(num_features: int, hidden_dim: int, out_dim: int, norm: bool = False) -> nn.Sequential:
    """The projector of BYOL and MASSRL, (B, num_features) -> (B, out_dim), of two layers; no bias on the output.

    Args:
        num_features: width of the input.
        hidden_dim: width between the layers.
        out_dim: width of the output.
        norm: BatchNorm without scale and shift on the output.
    """
    return mlp(num_features, hidden_dim, out_dim, last_norm=norm, last_affine=False, last_bias=False)
