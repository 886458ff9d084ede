"""RUN/export: what every training ends by writing, an encoder that can be used without a checkpoint."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

from torch import nn

from data_loading.config.atomic import beside
from massrl.exporting import safetensors_file, source, timm_folder
from massrl.exporting.export import compose, staged
from massrl.methods import Method
from massrl.runs.folder import EXPORT, Run


def export_run(run: Run, method: Method) -> str:
    """Write RUN/export from the run's newest checkpoint, in place of an earlier one; returns a line about it.

    It is a timm folder where timm can express the network, else a safetensors file for `massrl.load_encoder`.
    method: the run's own, for its class and, where the backbone was given as a module, its network.
    Raises UserError where it cannot be written.
    """
    given = method.init_args.get("backbone")
    backbone = copy.deepcopy(method.backbone).cpu() if isinstance(given, nn.Module) else None
    encoder = source.read(run, kind=type(method), backbone=backbone)
    reason = timm_folder.unfit(encoder)
    target = safetensors_file.TARGET if reason else timm_folder.TARGET
    path = run.path / EXPORT
    with staged(path) as folder:
        compose(folder, encoder, target, str(run.environment.get("command", "")), path.name)
        _replace(path, folder)
    if reason:
        more = "" if encoder.made_by else ", backbone=..."
        return f"export: massrl.load_encoder({str(path)!r}{more}), as {reason}"
    return f'export: timm.create_model("local-dir:{path}", pretrained=True)'


def _replace(path: Path, folder: Path) -> None:
    """Give a folder the name `path`, in place of the folder that has it, which stays where that fails."""
    old = beside(path)
    if path.exists():
        path.replace(old)
    try:
        folder.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
