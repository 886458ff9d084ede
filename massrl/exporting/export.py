"""Export: write an encoder in the form of another library, read it back by that library, and keep it if it is equal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_loading.config.atomic import beside
from data_loading.errors import ConfigError, UserError
from massrl.evaluation.options import check_options
from massrl.exporting import card, source
from massrl.exporting.card import Checked
from massrl.exporting.source import Encoder, Part
from massrl.exporting.target import Target
from massrl.exporting.targets import target as target_of
from massrl.methods.base import Branch

README, CARD = "README.md", "model.json"


@dataclass(frozen=True, repr=False)
class Exported:
    """An export that was written, read back and found equal.

    path: its file or folder.  target: its form.  bytes: size of what was written, without the card.  card: all that is
    known of it, as its card says.  use: lines that load it.
    """

    path: Path
    target: str
    bytes: int
    card: dict[str, Any]
    use: str

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def difference(self) -> float:
        """Largest absolute difference of a feature between the encoder and what was read back."""
        return self.card["check"]["largest_difference"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: path, target, bytes, and the card."""
        return {"path": str(self.path), "target": self.target, "bytes": self.bytes, **self.card}

    def _rows(self) -> list[tuple[str, str]]:
        known, check = self.card, self.card["check"]
        image = known["input"]
        return [
            ("export", f"{self.path} ({self.target}, {megabytes(self.bytes)})"),
            ("encoder", f"{known['architecture']}, {known['method']}, the {known['branch']} network, {known['layer']}"),
            ("features", f"{known['num_features']} of {image['channels']} x {image['size']} x {image['size']} images"),
            (
                "difference",
                f"{check['largest_difference']:.2g} at most, of features up to {check['largest_feature']:.3g}",
            ),
            ("accepted", f"{check['tolerance']:.1e}"),
            ("read back by", check["read_by"]),
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<14}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"


def export(
    checkpoint: str | os.PathLike,
    to: str,
    out: str | os.PathLike,
    *,
    branch: Branch | None = None,
    part: Part = "encoder",
    size: int | None = None,
    backbone: nn.Module | None = None,
) -> Exported:
    """Write the encoder of a checkpoint in the form of another library, as `massrl export`.

    The library reads the result back, and its features of four fixed images are compared with the encoder's. The
    largest difference is in the card; one above the tolerance is an error, and nothing is kept then.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        to: timm, torchvision, safetensors, onnx, torch-export or detectron2.
        out: the folder (timm) or file to write, which must not exist; a card of the same name, .json, is beside a file.
        branch: "online" or "target"; the network that the method's authors evaluate unless said.
        part: "backbone" leaves out layers of the projector that belong to the encoder, as SimCLR v2's.
        size: side of the images in pixels, for the card and the check; that of the training unless said.
        backbone: a network of the same architecture, where the method was made with a module in place of a name; its
            weights are replaced.

    Raises:
        massrl.errors.UserError: a checkpoint, name, path or network that does not fit, or a difference, in one line.
    """
    target = target_of(to)
    path = _free(out, target)
    check_options(size=size)
    encoder = source.read(checkpoint, branch, part, size, backbone=backbone)
    if reason := target.unfit(encoder):
        raise ConfigError(f"{encoder.checkpoint} cannot be exported to {to}: {reason}; --to safetensors holds it")
    command = card.command(checkpoint, to, out, branch, part, size)
    with staged(path) as folder:
        found = compose(folder, encoder, target, command, path.name)
        count = sum(file.stat().st_size for file in folder.iterdir() if file.name not in (README, CARD))
        publish(folder, path, target)
    return Exported(path, to, count, found, target.use(str(path), encoder))


def _free(out: str | os.PathLike, target: Target) -> Path:
    """The path to write to. Raises ConfigError where it is in use or has the wrong ending."""
    if not isinstance(out, str | os.PathLike) or not os.fspath(out):
        raise ConfigError(f"--out is {out!r}; name a {'file' if target.suffix else 'folder'}")
    path = Path(out)
    if not target.suffix:
        if path.exists() and not path.is_dir():
            raise ConfigError(f"--out {path} is a file; --to {target.name} writes a folder")
        if path.is_dir() and any(path.iterdir()):
            raise ConfigError(f"--out {path} is not empty; name another folder")
        return path
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; name a file, as {path / ('encoder' + target.suffix)}")
    if path.suffix != target.suffix:
        raise ConfigError(f"--out {path}: a file of --to {target.name} ends in {target.suffix}")
    for one in (path, path.with_suffix(".json")):
        if one.exists():
            raise ConfigError(f"--out {path}: {one} exists; name another file, or remove it")
    return path


def compose(folder: Path, encoder: Encoder, target: Target, command: str, name: str) -> dict[str, Any]:
    """Write an export and its card into a folder, read it back and compare; returns the card.

    name: what the card calls it. Raises UserError where it cannot be written or read back, or differs.
    """
    for file, content in _written(encoder, target).items():
        (folder / file).write_bytes(content)
    checked = _compared(folder, encoder, target)
    found = card.facts(encoder, target, checked, command, target.use(name, encoder))
    if target.suffix:
        (folder / CARD).write_bytes(card.sidecar(found))
    else:
        (folder / README).write_bytes(card.page(found))
    return found


def _written(encoder: Encoder, target: Target) -> dict[str, bytes]:
    """The files of an export. Raises UserError where the library cannot make them, as beyond protobuf's 2 GB."""
    try:
        return target.write(encoder)
    except (UserError, OSError):  # `staged` words the latter
        raise
    except Exception as error:  # each library raises its own types for what it cannot write
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{target.name} cannot write the export ({line}); nothing was kept") from error


def _compared(folder: Path, encoder: Encoder, target: Target) -> Checked:
    """The check of a written export. Raises UserError where it differs by more than the target's tolerance."""
    images = encoder.inputs()
    with torch.no_grad():
        try:
            expected = encoder.network(images).double()
        except (RuntimeError, AssertionError, ValueError) as error:  # as a ViT of a fixed size
            line = str(error).strip().partition("\n")[0]
            raise ConfigError(f"{encoder.title} does not take images of {encoder.size} px: {line}") from None
        try:
            model, reader = target.read(folder, encoder)
            found = model(images).double()
        except UserError:
            raise
        except Exception as error:  # each library raises its own types for what it cannot read
            line = " ".join(str(error).split())[:300]
            raise UserError(f"{target.name} cannot read the export back ({line}); nothing was kept") from error
    if found.shape != expected.shape:
        raise UserError(
            f"the export to {target.name} gives features of shape {tuple(found.shape)}, the encoder "
            f"{tuple(expected.shape)}; nothing was kept"
        )
    difference, scale = (found - expected).abs().max().item(), expected.abs().max().item()
    tolerance = target.tolerance * scale
    if not difference <= tolerance:  # also where it is NaN
        raise UserError(
            f"the export to {target.name}, read by {reader}, gives features that differ by {difference:.2g} (accepted: "
            f"{tolerance:.2g}); nothing was kept"
        )
    return Checked(difference, scale, tolerance, reader)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` to write into, which is gone after the block; so are parents made for a failure.

    Raises UserError where something cannot be written.
    """
    folder = beside(path)
    missing = [parent for parent in path.parents if not parent.exists()]
    done = False
    try:
        folder.mkdir(parents=True)
        yield folder
        done = True
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in missing if not done else ():
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def publish(folder: Path, path: Path, target: Target) -> None:
    """Give a staged export its name: the folder itself, or its file and its card."""
    if not target.suffix:
        folder.replace(path)
        return
    (folder / CARD).replace(path.with_suffix(".json"))
    (folder / target.file).replace(path)


def megabytes(count: int) -> str:
    """A number of bytes in words: "44.7 MB", "96.4 kB"."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
