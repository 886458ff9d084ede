"""Add a run to the zoo: `python -m massrl.exporting.to_zoo RUN --name NAME --data WORDS --record TITLE=FILE ...`.

Its optimiser's state and its paths are left out. RUN is a run folder; each record is what `massrl knn`, `linear` or
`semi` wrote with --json about that run.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError, UserError
from massrl._version import __version__
from massrl.backbones import width_of
from massrl.methods import load
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.folder import Run, is_run, read_json
from massrl.runs.record import file_sha256
from massrl.zoo import FOLDER

MOST_BYTES = 5_000_000
FACTS = ("size", "mean", "std", "view_set")
ROWS = ("accuracy", "untrained", "pixels", "probe", "scratch")  # of a record
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Of a machine: a word that begins with /, ~, ./, ../, \\, a drive or file:, or has a backslash.
PATH = re.compile(r"(?:^|[\s\"'=,;(\[])(?:/[^\s/]|~[^\s\d]|\.{1,2}/|[A-Za-z]:[/\\]|file:)|\\")


def add(
    run: Run, name: str, data: str, records: Mapping[str, Path], commands: Sequence[str], folder: Path = FOLDER
) -> Path:
    """Write NAME.ckpt and NAME.json to `folder`, in place of those of that name, and return the path of the card.

    data: the training images in words.  records: title -> JSON of an evaluation of this run.  commands: that make it
    again. ConfigError for a record of another checkpoint, a path of a machine, or a file of more than 5 MB.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: give lower-case letters, digits and hyphens, as cifar10-simclr")
    if not is_run(run.path):
        raise ConfigError(f"{run.path}: not a run folder; the card says how the run was made")
    checkpoint = Checkpoint.read(run)
    content = checkpoint.content
    progress = {"epoch_progress": {"current": {"processed": checkpoint.epochs}}}
    buffer = io.BytesIO()
    kept = {
        "state_dict": content["state_dict"],
        "hyper_parameters": _without_weights(content["hyper_parameters"]),
        "massrl": {key: content["massrl"][key] for key in FACTS},
        "global_step": checkpoint.steps,
        "loops": {"fit_loop": progress},
        "pytorch-lightning_version": content["pytorch-lightning_version"],
    }
    settings = {key: kept[key] for key in ("hyper_parameters", "massrl")}
    for found in paths_in(settings):
        raise ConfigError(f"{run.path}: its settings name a path, {found}, which would be published")
    torch.save(kept, buffer)
    raw = _compressed(buffer)
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{run.path}: {len(raw)} bytes without its optimiser; the zoo takes {MOST_BYTES} at most")
    figures = {title: _figures(path, file_sha256(checkpoint.path)) for title, path in records.items()}
    method = load(run)
    card = {
        "name": name,
        "file": f"{name}.ckpt",
        "sha256": hashlib.sha256(raw).hexdigest(),
        "bytes": len(raw),
        "method": run.method,
        "backbone": run.backbone,
        "backbone_args": kept["hyper_parameters"]["init_args"].get("backbone_args") or {},
        **_started_from(checkpoint.init_args),
        "parameters": sum(p.numel() for p in method.backbone.parameters()),
        "features": width_of(method.backbone),
        "data": data,
        "size": content["massrl"]["size"],
        "epochs": checkpoint.epochs,
        "steps": checkpoint.steps,
        "minutes": round(sum((run.metrics.get("seconds") or {}).values()) / 60, 1),
        "machine": {key: run.environment.get(key) for key in ("processor", "cores", "threads")},
        "figures": figures,
        "commands": list(commands),
        "massrl": __version__,
        "date": datetime.date.today().isoformat(),
    }
    for found in paths_in(card):
        raise ConfigError(f"--data, --record or --command names a path, {found!r}, which would be published")
    write_whole(folder / f"{name}.ckpt", raw)
    return write_whole(folder / f"{name}.json", json.dumps(card, indent=2) + "\n")


def _compressed(saved: IO[bytes]) -> bytes:
    """What torch.save wrote, which is a .zip archive, with its members compressed; torch.load reads both."""
    out = io.BytesIO()
    with zipfile.ZipFile(saved) as plain, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    return out.getvalue()


def paths_in(value: Any) -> Iterator[str]:
    """The strings in plain values, keys included, that name a path of a machine."""
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            yield from paths_in(one)
    elif isinstance(value, str) and PATH.search(value):
        yield value


def _without_weights(kept: Mapping[str, Any]) -> dict[str, Any]:
    """hyper_parameters without the file that the backbone started from: the weights are in the checkpoint."""
    args = kept["init_args"]
    network = {k: v for k, v in (args.get("backbone_args") or {}).items() if k not in ("weights", "weights_key")}
    return {**kept, "init_args": {**args, "backbone_args": network or None}}


def _started_from(args: Mapping[str, Any]) -> dict[str, str]:
    """The name of the file, or the weights of a library, that the backbone started from; {} for random weights."""
    network = args.get("backbone_args") or {}
    if "weights" in network:
        return {"started_from": Path(network["weights"]).name}
    return {"started_from": str(network["pretrained"])} if network.get("pretrained") else {}


def _figures(path: Path, sha256: str) -> dict[str, Any]:
    """Rows of an evaluation: mean and deviation of each accuracy, and the protocol."""
    if not path.is_file():
        raise ConfigError(f"--record: {path} is no file; write TITLE=FILE.json")
    record = read_json(path)
    if not isinstance(record, dict) or record.get("checkpoint_sha256") != sha256 or "accuracy" not in record:
        raise ConfigError(f"{path}: no evaluation of this checkpoint by massrl knn, linear or semi")
    found = {row: record[row] for row in ROWS if row in record}
    rows = {row: {key: of.get(key) for key in ("mean", "std")} for row, of in found.items()}
    return {**rows, **{key: record[key] for key in ("protocol", "selection", "optimistic")}}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m massrl.exporting.to_zoo", description=__doc__)
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--name", required=True, help="as cifar10-simclr")
    parser.add_argument("--data", required=True, help="the training images, in words")
    parser.add_argument("--record", action="append", default=[], help="TITLE=FILE.json of an evaluation")
    parser.add_argument("--command", action="append", default=[], help="a command that makes it again, in order")
    args = parser.parse_args(argv)
    try:
        records = {title: Path(file) for title, _, file in (one.partition("=") for one in args.record)}
        print(add(Run(args.run), args.name, args.data, records, args.command))
    except UserError as error:
        print(f"massrl.exporting.to_zoo: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
