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

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, SourceError, UnknownName, near_miss, one_of
from massrl.evaluation.classify.inputs import labels_of
from massrl.evaluation.rows import same_classes
from massrl.evaluation.transfer.metrics import ACCURACY, MAP11, METRICS
from massrl.evaluation.transfer.voc import IMAGES, VOC

KEYS = ("train", "val", "test", "metric", "voc")
PARTS = ("train", "val", "test")
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
        """Its .beton files and labels; folders are written to the cache. SourceError for what does not fit."""
        return self._several(cache_dir) if self.voc is not None else self._one_class(cache_dir)

    def _one_class(self, cache: Path) -> Opened:
        files = {part: sources.as_beton(path, cache) for part, path in self.parts.items()}
        labels = {}
        for part, file in files.items():
            with Reader(file) as reader:
                labels[part] = labels_of(reader, self.parts[part])
        for part in files:
            same_classes([self.parts["train"], self.parts[part]], [files["train"], files[part]])
        return self._opened(files, labels)

    def _several(self, cache: Path) -> Opened:
        assert self.voc is not None
        voc, images = VOC(self.voc), self.voc / IMAGES
        classes = voc.classes(str(self.parts["train"]))
        source = sources.open(images)
        by_name = {Path(path).stem: row for row, path in enumerate(source.paths)}
        files, labels = {}, {}
        for part, split in self.parts.items():
            names, labels[part] = voc.labels(str(split), classes)
            missing = [name for name in names if name not in by_name]
            if missing:
                raise SourceError(
                    f"{images}: has no image of {len(missing)} of the {len(names)} names of the split {split}, as "
                    f"{missing[0]}.jpg"
                )
            rows = [by_name[name] for name in names]
            files[part] = sources.as_beton(images, cache, str(split), rows)
        return self._opened(files, labels)

    def _opened(self, files: Mapping[str, Path | list[Path]], labels: Mapping[str, np.ndarray]) -> Opened:
        training = [part for part in ("train", "val") if part in files]
        together = [path for part in training for path in _list(files[part])]
        return Opened(
            train=together[0] if len(together) == 1 else together,
            test=files["test"],
            y=np.concatenate([labels[part] for part in training]),
            test_y=labels["test"],
            validation=len(labels["val"]) if "val" in labels else 0,
        )


@dataclass(frozen=True)
class Opened:
    """train: .beton files of training and then validation images, test: of test images.

    y (N,), test_y (M,): int64 labels; (N, K) and (M, K) int8 where images show several classes.  validation: how many
    of the last training images are validation images.
    """

    train: Path | list[Path]
    test: Path | list[Path]
    y: np.ndarray
    test_y: np.ndarray
    validation: int


def _list(files: Path | list[Path]) -> list[Path]:
    return files if isinstance(files, list) else [files]


def read_sets(
    given: Sets, root: str | os.PathLike | None = None, only: Sequence[str] | None = None
) -> list[TransferSet]:
    """The data sets of a YAML file or a dict of the same form, of which `only` those of these names.

    root: the folder that relative paths are below; the current one unless said.
    """
    where = str(given) if isinstance(given, str | os.PathLike) else "sets"
    entries = _entries(given, where)
    for name in only or ():
        if name not in entries:
            raise UnknownName(f"{where}: no data set {name!r}.{near_miss(name, entries)} It has {', '.join(entries)}")
    names = [name for name in entries if only is None or name in only]
    if not names:
        raise ConfigError(f"{where}: names no data set")
    return [_set(name, entries[name], f"{where}: {name}", root) for name in names]


def _entries(given: Sets, where: str) -> dict[str, Any]:
    if isinstance(given, Mapping):
        found: Any = dict(given)
    elif isinstance(given, str | os.PathLike):
        try:
            found = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not text"
            raise ConfigError(f"{where}: {reason}; name a YAML file of data sets") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{where}: no YAML: {' '.join(str(error).split())}") from None
    else:
        raise ConfigError(f"sets is {given!r}; name a YAML file of data sets, or give a dict of the same form")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{where}: data sets are needed, each a name with train, test and metric below it")
    return found


def _set(name: str, entry: Any, where: str, root: str | os.PathLike | None) -> TransferSet:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is {entry!r}; it needs train, test and metric below it")
    for key in entry:
        if key not in KEYS:
            raise ConfigError(f"{where}: no key {key!r}.{near_miss(key, KEYS)} Known: {', '.join(KEYS)}")
    metric = one_of(f"{where}: metric", entry.get("metric", ACCURACY), METRICS, ConfigError)
    missing = [part for part in ("train", "test") if not entry.get(part)]
    if missing:
        raise ConfigError(f"{where}: {' and '.join(missing)} missing; name {'splits' if 'voc' in entry else 'folders'}")
    if (metric == MAP11) != ("voc" in entry):
        raise ConfigError(f"{where}: the metric {MAP11} and a voc folder go together; the other metrics have none")
    parts = {part: entry[part] for part in PARTS if entry.get(part)}
    if "voc" in entry:
        return TransferSet(name, parts, metric, _below(root, entry["voc"], where))
    below: dict[str, Any] = {}
    for part, path in parts.items():
        several = isinstance(path, list | tuple)
        below[part] = [_below(root, one, where) for one in path] if several else _below(root, path, where)
    return TransferSet(name, below, metric)


def _below(root: str | os.PathLike | None, path: Any, where: str) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigError(f"{where}: {path!r} names no file or folder")
    return Path(path) if root is None else Path(root) / path
