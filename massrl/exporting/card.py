"""The card of an export: what it is and how it was made, as JSON and as a page."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import Any

from massrl.exporting.source import Encoder, view
from massrl.exporting.target import Target
from massrl.runs.record import git, versions

MODE = "eval: BatchNorm with its running statistics, no dropout"


@dataclass(frozen=True)
class Checked:
    """What the check has found: largest difference of a feature, the largest feature, and who has read the export."""

    difference: float
    scale: float
    tolerance: float
    reader: str


def facts(encoder: Encoder, target: Target, checked: Checked, command: str, use: str) -> dict[str, Any]:
    """The card as plain values.  use: lines that load the export."""
    return {
        "format": target.name,
        "architecture": encoder.architecture,
        "library": encoder.library or None,
        "stem": encoder.recipe["stem"] if encoder.has_stems else None,
        "arguments": {name: value for name, value in encoder.recipe.items() if name not in ("name", "stem")},
        "num_features": encoder.num_features,
        "layer": encoder.layer,
        "mode": MODE,
        "input": {
            "channels": encoder.channels,
            "size": encoder.size,
            "mean": list(encoder.mean),
            "std": list(encoder.std),
            **view(),
            "crop": "shorter side to size / crop_pct, then the centre",
        },
        "method": encoder.method,
        "epochs": encoder.epochs,
        "steps": encoder.steps,
        "branch": encoder.branch,
        "checkpoint": encoder.checkpoint.name,
        "checkpoint_sha256": encoder.sha256,
        "check": {
            "largest_difference": checked.difference,
            "largest_feature": checked.scale,
            "tolerance": checked.tolerance,
            "images": "normal random numbers of seed 0",
            "read_by": checked.reader,
        },
        "command": command,
        "use": use,
        "versions": versions(),
        "git": git(),
        "made_by": encoder.made_by,
    }


def sidecar(found: dict[str, Any]) -> bytes:
    """The card as a JSON file."""
    return (json.dumps(found, indent=2) + "\n").encode()


def page(found: dict[str, Any]) -> bytes:
    """The card as README.md, with the metadata that the Hugging Face hub reads."""
    image, check = found["input"], found["check"]
    arguments = ", ".join(f"{name}={value!r}" for name, value in found["arguments"].items())
    counts = [f", {name} {found[name]}" for name in ("epochs", "steps") if found[name] is not None]
    rows = {
        "architecture": f"{found['architecture']} ({found['library']})" + (f", {arguments}" if arguments else ""),
        "stem": found["stem"],
        "features": f"{found['num_features']}, after: {found['layer']}",
        "input": f"{image['channels']} x {image['size']} x {image['size']}",
        "mean, std": f"{_numbers(image['mean'])}; {_numbers(image['std'])}",
        "images": f"{image['interpolation']}, crop_pct {image['crop_pct']:g}: {image['crop']}",
        "mode": found["mode"],
        "method": found["method"] + "".join(counts),
        "branch": f"the {found['branch']} network",
        "checkpoint": f"{found['checkpoint']}, SHA-256 {found['checkpoint_sha256']}",
        "check": f"largest difference {check['largest_difference']:.2g} of features up to "
        f"{check['largest_feature']:.3g} (accepted: {check['tolerance']:.1e}), on 4 images of random numbers, read by "
        f"{check['read_by']}",
        "command": f"`{found['command']}`",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
    }
    title = f"{found['architecture']}, {found['method']}"
    lines = ["---", "library_name: timm", "pipeline_tag: image-feature-extraction"]
    lines += ["tags: [timm, image-feature-extraction, self-supervised-learning, massrl]", "---", "", f"# {title}", ""]
    lines += [f"An image encoder, trained by massrl with {found['method']}: images -> features, no classifier.", ""]
    lines += ["```python", found["use"].strip(), "```", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return ("\n".join(lines) + "\n").encode()


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def command(checkpoint: Any, to: str, out: Any, branch: str | None, part: str, size: int | None) -> str:
    """The command that makes this export, whether it was given on the command line or in Python."""
    words = ["massrl", "export", os.fspath(checkpoint), "--to", to, "--out", os.fspath(out)]
    words += ["--branch", branch] if branch else []
    words += ["--part", part] if part != "encoder" else []
    words += ["--size", str(size)] if size is not None else []
    return shlex.join(words)
