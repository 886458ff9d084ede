"""A safetensors file with the weights by the encoder's own names; `load_encoder` makes it by the card beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from massrl._version import __version__
from massrl.exporting.making import network_of
from massrl.exporting.source import Encoder
from massrl.exporting.target import SAME, Target, anything


def write(encoder: Encoder) -> dict[str, bytes]:
    return {TARGET.file: save(encoder.state_dict(), {"format": "pt"})}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    """The encoder as `massrl.load_encoder` makes it from the file and its facts."""
    given = None if encoder.made_by else encoder.network
    return network_of(encoder.made_by, load_file(folder / TARGET.file), given).eval(), f"massrl {__version__}"


def use(path: str, encoder: Encoder) -> str:
    if encoder.made_by:
        return f"import massrl\n\nmodel = massrl.load_encoder({path!r})\n"
    return (
        f"import massrl\n\nmodel = massrl.load_encoder({path!r}, backbone=net)  # net: one like the method's backbone\n"
    )


TARGET = Target("safetensors", ".safetensors", SAME, anything, write, read, use)
