"""The forms that an encoder can be exported to, by name."""

from __future__ import annotations

from data_loading.errors import UnknownName, near_miss
from massrl.exporting import detectron2_file, onnx_file, safetensors_file, timm_folder, torch_export, torchvision_file
from massrl.exporting.target import Target

TARGETS: dict[str, Target] = {
    one.TARGET.name: one.TARGET
    for one in (timm_folder, torchvision_file, safetensors_file, onnx_file, torch_export, detectron2_file)
}


def target(name: str) -> Target:
    """The target of that name. Raises UnknownName, with the nearest one."""
    if name not in TARGETS:
        raise UnknownName(f"no export to {name!r}.{near_miss(name, TARGETS)} Known: {', '.join(TARGETS)}")
    return TARGETS[name]
