"""Labels of PASCAL VOC: which classes an image shows, from the lists of a VOCdevkit/VOC2007 folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loading.errors import SourceError
from massrl.evaluation.transfer.protocol import UNKNOWN

IMAGES, LISTS = "JPEGImages", Path("ImageSets") / "Main"
# What the lists say -> what a label is: absent, hard to see ("difficult"; the challenge's code ignores it), present.
LABELS = {"-1": 0, "0": UNKNOWN, "1": 1}


@dataclass(frozen=True)
class VOC:
    """A folder with JPEGImages/ and ImageSets/Main/CLASS_SPLIT.txt, whose lines are "000005 -1", 0 or 1."""

    root: Path

    def classes(self, split: str) -> list[str]:
        """The names of the classes that have a list of this split, sorted; SourceError where there is none."""
        ending = f"_{split}.txt"
        found = sorted(file.name.removesuffix(ending) for file in (self.root / LISTS).glob(f"*{ending}"))
        if not found:
            raise SourceError(
                f"{self.root}: has no {LISTS / f'CLASS{ending}'}; name a folder such as VOCdevkit/VOC2007 and a split "
                "such as train, val, trainval or test"
            )
        return found

    def labels(self, split: str, classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """(names of the split's images without suffix, labels (N, K) int8: 1 shown, 0 not, -1 unknown)."""
        names: list[str] = []
        columns = []
        for name in classes:
            ids, column = self._read(self.root / LISTS / f"{name}_{split}.txt")
            if names and ids != names:
                raise SourceError(f"{self.root / LISTS}: {name}_{split}.txt lists other images than {classes[0]}'s")
            names = ids
            columns.append(column)
        return names, np.stack(columns, 1)

    def _read(self, file: Path) -> tuple[list[str], np.ndarray]:
        try:
            lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{file}: {getattr(error, 'strerror', None) or 'is not text'}") from None
        wrong = next((i for i, line in enumerate(lines, 1) if len(line) != 2 or line[1] not in LABELS), None)
        if wrong or not lines:
            where = f"line {wrong} is" if wrong else "it has no line with"
            raise SourceError(f"{file}: {where} {'no ' if wrong else ''}image name and -1, 0 or 1")
        names = [line[0] for line in lines]
        if len(set(names)) < len(names):
            again = next(name for i, name in enumerate(names) if name in names[:i])
            raise SourceError(f"{file}: names the image {again} twice")
        return names, np.array([LABELS[line[1]] for line in lines], np.int8)
