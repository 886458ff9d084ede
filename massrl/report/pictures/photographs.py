"""The images that pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_loading.decode import decode_jpeg
from data_loading.decode.file import read_image
from data_loading.errors import DecodeError, SourceError
from data_loading.sources.folder import Folder
from massrl.report.pictures.draw import at_least_one


def photographs(source: str | Path | Sequence[str | Path] | None = None, limit: int = 16) -> list[np.ndarray]:
    """Read images, uint8 (H, W, 3): the first `limit` of a folder, the files of a list, or scikit-learn's two.

    Those are china.jpg and flower.jpg, 427 x 640, CC BY 2.0; the README names their photographers.
    Raises SourceError for an empty list, a folder without images or a missing file, DecodeError for a file that is not
    an image, and ConfigError for limit < 1.
    """
    at_least_one(limit=limit)
    if source is None:
        from sklearn.datasets import load_sample_images

        return list(load_sample_images().images)
    if not isinstance(source, str | Path):
        if not len(source):
            raise SourceError("the list of photographs is empty; name a file, or omit it for scikit-learn's two")
        return [_pixels(Path(path)) for path in source]
    if Path(source).is_file():
        return [_pixels(Path(source))]
    return [_pixels(Path(source) / path) for path in Folder(source).paths[:limit]]


def _pixels(path: Path) -> np.ndarray:
    """Decode an image file to uint8 (H, W, 3)."""
    try:
        found = read_image(path.read_bytes())
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}") from error
    return decode_jpeg(found) if isinstance(found, bytes) else found
