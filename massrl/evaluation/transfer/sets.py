"""The list of data sets that an encoder is transferred to: read from YAML or a dict, checked, and opened.

flowers:
  train: data/flowers/train      # a folder of class folders, or .beton files
  val: data/flowers/val          # chooses C; without it a fifth of train does
  test: data/flowers/test
  metric: mean_per_class         # accuracy, mean_per_class or map11
voc2007:
  voc: data/VOCdevkit/VOC2007    # several classes an image: train, val and test are its splits
  train: train
  val: val
  test: test
  metric: map11
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from data_loading import sources
from data_loading.beton.mapping import named
from data_loading.beton.reader import Reader
from data_loading.config import yaml_text
from data_loading.errors import ConfigError, SourceError, UnknownName, UserError, near_miss, one_of
from massrl.evaluation.labels import check_labels, labels_of
from massrl.evaluation.rows import same_classes
from massrl.evaluation.transfer.metrics import ACCURACY, MAP11, METRICS
from massrl.evaluation.transfer.voc import IMAGES, VOC
from massrl.leaks.check import swapped_names

KEYS = ("train", "val", "test", "metric", "voc")
PARTS = {"train": "training", "val": "validation", "test": "test"}  # key -> word
Sets = str | os.PathLike | Mapping[str, Any]


@dataclass(frozen=True)
class TransferSet:
    """A data set by name.

    parts: "train", "test" and perhaps "val" -> folder or .beton files; with `voc`, the names of its splits.
    metric: a key of METRICS.  voc: a VOC folder, for images that show several classes.
    """

    name: str
    parts: Mapping[str, Any]
    metric: str
    voc: Path | None = None

    def open(self, cache_dir: Path) -> Opened:
        """Its .beton files and labels; folders are written to the cache. UserError for what does not fit."""
        try:
            return self._several(cache_dir) if self.voc is not None else self._one_class(cache_dir)
        except UserError as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _one_class(self, cache: Path) -> Opened:
        files = {part: named(sources.as_beton(path, cache)) for part, path in self.parts.items()}
        labels, hashes = {}, {}
        for part, of_part in files.items():
            with Reader(of_part) as reader:
                labels[part], hashes[part] = labels_of(reader, self.parts[part]), reader.sha256()
        classes = same_classes([self.parts[part] for part in files], list(files.values()))
        check_labels(labels, self.parts, classes)
        y = labels["train"]
        if "val" not in files and np.unique(y, return_counts=True)[1].max() == 1:
            raise ConfigError(f"{self.parts['train']}: no class has two images, so that none can choose C; give val")
        warnings = [
            f"the {PARTS[a]} and {PARTS[b]} images have the same content: {_means(a, b)}"
            for a, b in combinations(files, 2)
            if hashes[a] == hashes[b]
        ]
        warnings += swapped_names(self.parts["train"], self.parts["test"])
        return self._opened(files, labels, classes or [str(label) for label in np.unique(y)], warnings)

    def _several(self, cache: Path) -> Opened:
        assert self.voc is not None
        voc, images = VOC(self.voc), self.voc / IMAGES
        classes = voc.classes(str(self.parts["train"]))
        by_name = {Path(path).stem: row for row, path in enumerate(sources.open(images).paths)}
        files, labels, names = {}, {}, {}
        for part, split in self.parts.items():
            names[part], labels[part] = voc.labels(split, classes)
            missing = [name for name in names[part] if name not in by_name]
            if missing:
                raise SourceError(
                    f"{images}: has no image of {len(missing)} of the {len(names[part])} names of the split {split}, "
                    f"as {missing[0]}.jpg"
                )
            files[part] = named(sources.as_beton(images, cache, split, [by_name[name] for name in names[part]]))
        shared = {(a, b): set(names[a]) & set(names[b]) for a, b in combinations(files, 2)}
        warnings = [
            f"{len(both)} of the {len(names[b])} {PARTS[b]} images are also {PARTS[a]} images: {_means(a, b)}"
            for (a, b), both in shared.items()
            if both
        ]
        return self._opened(files, labels, classes, warnings)

    def _opened(
        self,
        files: Mapping[str, list[Path]],
        labels: Mapping[str, np.ndarray],
        classes: Sequence[str],
        warnings: Sequence[str],
    ) -> Opened:
        training = [part for part in ("train", "val") if part in files]
        digest = hashlib.sha256(json.dumps(list(classes)).encode())
        for part in files:
            digest.update(np.ascontiguousarray(labels[part]))
        return Opened(
            train=[file for part in training for file in files[part]],
            test=files["test"],
            y=np.concatenate([labels[part] for part in training]),
            test_y=labels["test"],
            validation=len(labels["val"]) if "val" in labels else 0,
            classes=list(classes),
            labels_sha256=digest.hexdigest(),
            warnings=list(warnings),
        )


def _means(a: str, b: str) -> str:
    """What it means that images of part `a` are also of part `b`."""
    if b == "test":
        return "C is chosen on test images" if a == "val" else "this is an accuracy on training images"
    return "C is chosen on training images"


@dataclass(frozen=True)
class Opened:
    """train: .beton files of training and then validation images, test: of test images.

    y (N,), test_y (M,): int64 labels; (N, K) and (M, K) int8 where images show several classes.  validation: how many
    of the last training images are validation images.  classes: their names, or labels.  labels_sha256: of all labels.
    warnings: sentences that must not be overlooked.
    """

    train: list[Path]
    test: list[Path]
    y: np.ndarray
    test_y: np.ndarray
    validation: int
    classes: list[str]
    labels_sha256: str
    warnings: list[str]


def read_sets(
    given: Sets, root: str | os.PathLike | None = None, only: str | Sequence[str] | None = None
) -> list[TransferSet]:
    """The data sets of a YAML file or a dict of the same form, of which `only` those of these names.

    root: the folder that relative paths are below; the current one unless said.  only: names, or words with commas.
    """
    if root is not None and not isinstance(root, str | os.PathLike):
        raise ConfigError(f"root is {root!r}; name a folder")
    where = str(given) if isinstance(given, str | os.PathLike) else "sets"
    entries = _entries(given, where)
    chosen = list(entries) if only is None else _names(only)
    for name in chosen:
        if name not in entries:
            raise UnknownName(f"{where}: no data set {name!r}.{near_miss(name, entries)} It has {', '.join(entries)}")
    if not chosen:
        raise ConfigError(f"{where}: names no data set" if only is None else "only names no data set")
    return [_set(name, entries[name], f"{where}: {name}", root) for name in entries if name in chosen]


def _names(only: Any) -> list[str]:
    if isinstance(only, str):
        return [name.strip() for name in only.split(",") if name.strip()]
    if not isinstance(only, Sequence) or not all(isinstance(name, str) for name in only):
        raise ConfigError(f"only is {only!r}; give names of data sets")
    return list(only)


def _entries(given: Sets, where: str) -> dict[str, Any]:
    if isinstance(given, Mapping):
        found: Any = dict(given)
    elif isinstance(given, str | os.PathLike):
        found = yaml_text.read_mapping(given, "data sets")
    else:
        raise ConfigError(f"sets is {given!r}; name a YAML file of data sets, or give a dict of the same form")
    for name in found:
        if not isinstance(name, str):
            raise ConfigError(f"{where}: the name {name!r} is no text; write it in quotes")
    return found


def _set(name: str, entry: Any, where: str, root: str | os.PathLike | None) -> TransferSet:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is {entry!r}; it needs train, test and metric below it")
    for key in entry:
        if key not in KEYS:
            raise ConfigError(f"{where}: no key {key!r}.{near_miss(key, KEYS)} Known: {', '.join(KEYS)}")
    given = {key: value for key, value in entry.items() if value is not None}
    metric = one_of(f"{where}: metric", given.get("metric", ACCURACY), METRICS, ConfigError)
    missing = [part for part in ("train", "test") if part not in given]
    if missing:
        raise ConfigError(f"{where}: {' and '.join(missing)} missing; name {'splits' if 'voc' in given else 'folders'}")
    if (metric == MAP11) != ("voc" in given):
        raise ConfigError(f"{where}: the metric {MAP11} and a voc folder go together; the other metrics have none")
    parts = {part: given[part] for part in PARTS if part in given}
    if "voc" in given:
        for part, split in parts.items():
            if not isinstance(split, str) or not split:
                raise ConfigError(f"{where}: {part} is {split!r}; name one split, as trainval")
        return TransferSet(name, parts, metric, _below(root, given["voc"], where))
    below: dict[str, Any] = {}
    for part, path in parts.items():
        several = isinstance(path, list | tuple) and bool(path)
        below[part] = [_below(root, one, where) for one in path] if several else _below(root, path, where)
    return TransferSet(name, below, metric)


def _below(root: str | os.PathLike | None, path: Any, where: str) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigError(f"{where}: {path!r} names no file or folder")
    found = Path(path).expanduser()
    return found if root is None else Path(root).expanduser() / found
