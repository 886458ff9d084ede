"""A graph of torch.export with its weights: runs without the code that the network was written in."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from data_loading.errors import ConfigError
from massrl.exporting.source import Encoder
from massrl.exporting.target import SAME, Target, anything


def write(encoder: Encoder) -> dict[str, bytes]:
    """Raises ConfigError where torch cannot trace the network."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own inner workings
        try:
            batch = ({0: torch.export.Dim("batch")},)
            program = torch.export.export(encoder.network, (encoder.inputs()[:2],), dynamic_shapes=batch)
        except Exception as error:  # torch raises many types for code that it cannot trace
            line = str(error).strip().partition("\n")[0]
            raise ConfigError(f"torch.export cannot trace {encoder.title}: {line}") from None
        torch.export.save(program, file)
    return {TARGET.file: file.getvalue()}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(folder / TARGET.file).module(), f"torch {torch.__version__}"


def use(path: str, encoder: Encoder) -> str:
    return f"import torch\n\nmodel = torch.export.load({path!r}).module()\n"


TARGET = Target("torch-export", ".pt2", SAME, anything, write, read, use)
