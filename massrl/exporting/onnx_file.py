"""An ONNX file: input `images` (batch, channels, size, size), output `features` (batch, num_features)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from data_loading.errors import ConfigError
from massrl.exporting.source import Encoder
from massrl.exporting.target import OTHER, Target, anything

NEEDED = ("onnx", "onnxscript")


def write(encoder: Encoder) -> dict[str, bytes]:
    """Raises ConfigError where onnx is not installed, or torch cannot express the network in ONNX."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"ONNX needs {' and '.join(missing)}: pip install massrl[onnx]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own inner workings
        try:
            program = torch.onnx.export(
                encoder.network,
                (encoder.inputs()[:2],),
                dynamo=True,
                input_names=["images"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            line = str(error).strip().partition("\n")[0]
            raise ConfigError(f"torch cannot express {encoder.title} in ONNX: {line}") from None
    assert program is not None
    return {TARGET.file: program.model_proto.SerializeToString()}


def read(folder: Path, encoder: Encoder) -> tuple[Callable[[Tensor], Tensor], str]:
    """The file run by onnxruntime; where that is not installed, by onnx's reference, which is slow."""
    path = str(folder / TARGET.file)
    if find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = f"onnxruntime {onnxruntime.__version__}"
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session, name = ReferenceEvaluator(path), f"the reference of onnx {onnx.__version__}"
    return lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0]), name


def use(path: str, encoder: Encoder) -> str:
    return f"""\
import onnxruntime

session = onnxruntime.InferenceSession({path!r})
model = lambda images: session.run(None, {{"images": images}})[0]  # float32 arrays
"""


TARGET = Target("onnx", ".onnx", OTHER, anything, write, read, use)
