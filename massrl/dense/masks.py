"""Class masks: images, and PNG files of the same names with a class number per pixel, 255 ignored."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_loading.errors import ConfigError, DecodeError, SourceError
from massrl.dense.images import SUFFIXES, folder_of, opened, read_rgb, size_of

IGNORED = 255
MODES = ("L", "P", "1")  # Pillow's modes of one 8-bit channel; of a palette image the indices are the classes
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Masks:
    """Images with class masks. files: (image, mask).  classes: their number.

    zero_is_ignored: 0 in a file is ignored, and class k is k + 1 there, as in ADE20K ("reduce_zero_label").
    """

    files: list[tuple[Path, Path]]
    classes: int
    zero_is_ignored: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def read(self, row: int) -> tuple[Tensor, Tensor]:
        """Image, uint8 (3, H, W), and mask, uint8 (H, W), of a row.

        Raises DecodeError where a file cannot be read, SourceError where the mask has another size or other labels.
        """
        image_path, mask_path = self.files[row]
        image, mask = read_rgb(image_path), self.mask(row)
        if image.shape[1:] != mask.shape:
            raise SourceError(_other_size(image_path, (image.shape[2], image.shape[1]), mask_path, mask.shape[::-1]))
        return image, torch.from_numpy(mask)

    def mask(self, row: int) -> np.ndarray:
        """The class of every pixel, uint8 (H, W), IGNORED where there is none; errors as of `read`."""
        path = self.files[row][1]
        image = opened(path)
        if image.mode not in MODES:
            raise DecodeError(f"{path}: has the mode {image.mode}; a mask has one channel of 8 bits, the class numbers")
        mask = np.array(image, dtype=np.uint8)
        if self.zero_is_ignored:
            mask = np.where(mask == IGNORED, IGNORED, mask - np.uint8(1))  # 0 - 1 is 255 in uint8
        high = _highest(mask)
        if high >= self.classes:
            less = " after 1 is subtracted" if self.zero_is_ignored else ""
            raise SourceError(
                f"{path}: has the label {high}{less}, and classes are 0 to {self.classes - 1}; set classes, or give "
                f"{IGNORED} to pixels without a class"
            )
        return mask

    def check(self) -> None:
        """Read every mask; an error, as of `read`, comes before a training instead of after it."""
        for row in range(len(self)):
            self.mask(row)

    def names_sha256(self) -> str:
        """Hash of the names and sizes in bytes of all files."""
        said = "\n".join(f"{path.name} {path.stat().st_size}" for pair in self.files for path in pair)
        return hashlib.sha256(said.encode()).hexdigest()


def read_masks(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    part: str = "train",
    classes: int | None = None,
    zero_is_ignored: bool = False,
) -> Masks:
    """Pair images with masks by name, and check sizes from the headers.

    classes: their number; None takes the highest label of all masks, which are then all read.
    Raises SourceError, in one line, where a partner is missing, sizes differ, or no mask has a class.
    """
    if classes is not None and not 2 <= classes <= IGNORED:
        raise ConfigError(f"classes is {classes}; it must lie from 2 to {IGNORED}")
    image_folder, mask_folder = folder_of(images, part), folder_of(masks, f"{part}_masks")
    pictures = _by_stem(image_folder, SUFFIXES)
    labels = _by_stem(mask_folder, {".png"})
    if not pictures:
        raise SourceError(f"{part}: no images in {image_folder}")
    alone = sorted(pictures.keys() - labels.keys())
    if alone:
        shown = ", ".join(pictures[name].name for name in alone[:SHOWN])
        raise SourceError(
            f"{part}: {len(alone)} of {len(pictures)} images have no mask in {mask_folder}, for example {shown}"
        )
    files = [(pictures[name], labels[name]) for name in sorted(pictures)]
    for image_path, mask_path in files:
        a, b = size_of(image_path), size_of(mask_path)
        if a != b:
            raise SourceError(_other_size(image_path, a, mask_path, b))
    found = Masks(files, classes or IGNORED, zero_is_ignored)
    if classes is not None:
        return found
    highest = max(_highest(found.mask(row)) for row in range(len(files)))
    if highest < 1:
        raise SourceError(f"{part}_masks: {mask_folder} has fewer than two classes; there is nothing to segment")
    return Masks(files, highest + 1, zero_is_ignored)


def _highest(mask: np.ndarray) -> int:
    return int(mask[mask != IGNORED].max(initial=0))


def _by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """{name without suffix: path} of the images of a folder. Raises SourceError where two have one name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and path.is_file():
            if path.stem in found:
                raise SourceError(f"{folder}: {found[path.stem].name} and {path.name} have one name; masks go by name")
            found[path.stem] = path
    return found


def _other_size(image: Path, a: tuple[int, int], mask: Path, b: tuple[int, ...]) -> str:
    return f"{mask}: has {b[0]} x {b[1]} pixels, and its image {image.name} has {a[0]} x {a[1]}"
