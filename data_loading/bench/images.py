"""The images of a .beton file for the peers: JPEG bytes, or decoded by Pillow, simplejpeg or OpenCV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_loading.beton.reader import Reader
from data_loading.decode import JPEG


class StoredImages:
    """The images of a .beton file. Each call decodes again, as a peer's loader would.

    file: path of a .beton file, a pattern of several, as "train-*.beton", or a list.
    """

    def __init__(self, file: str | Path | Sequence[str | Path]):
        self.reader = Reader(file)
        self.table = self.reader.image_table()

    def __len__(self) -> int:
        return len(self.reader)

    def longest(self) -> int:
        """The longest side of any image, pixels."""
        return int(max(self.table.height.max(), self.table.width.max()))

    def jpeg(self, row: int) -> np.ndarray | None:
        """The stored JPEG bytes of an image, uint8 (n,), a view of the file's memory map; None if it is no JPEG."""
        if self.table.mode[row] != JPEG:
            return None
        start = int(self.table.ptr[row])
        return self.reader.memory[start : start + int(self.table.size[row])]

    def pil(self, row: int):
        """RGB image decoded by Pillow, as torchvision's ImageFolder does it."""
        from PIL import Image

        data = self.jpeg(row)
        if data is None:
            return Image.fromarray(self.reader.value(self.reader.image_field, row))
        return Image.open(io.BytesIO(data)).convert("RGB")

    def by_simplejpeg(self, row: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB decoded by simplejpeg, the fastest decoder with wheels for every system."""
        import simplejpeg

        data = self.jpeg(row)
        return self.reader.value(self.reader.image_field, row) if data is None else simplejpeg.decode_jpeg(data)

    def by_opencv(self, row: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB decoded by OpenCV."""
        import cv2

        data = self.jpeg(row)
        if data is None:
            return self.reader.value(self.reader.image_field, row)
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def cut_photographs(folder: str | Path, n: int = 1000, seed: int = 0) -> Path:
    """Write n JPEGs (quality 90, 4:2:0, about 500 x 375 pixels) cut from scikit-learn's two photographs.

    The photographs are `china.jpg` by danielbuechele and `flower.jpg` by vultilion, both 640 x 427, CC BY 2.0. Cuts are
    not scaled, so that they keep the originals' detail; a quarter of them is rotated by 90 degrees.
    folder: gets two class folders, `china` and `flower`; it is returned.  seed: of the cuts.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder, rng = Path(folder), np.random.default_rng(seed)
    sources = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for i in range(n):
        image = sources[i % 2]
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        width, height = int(rng.integers(440, 561)), int(rng.integers(330, 421))
        x, y = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
        image = image.crop((x, y, x + width, y + height))
        if rng.random() < 0.25:
            image = image.transpose(Image.Transpose.ROTATE_90)
        out = folder / ("china", "flower")[i % 2] / f"{i:04}.jpg"
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out, quality=90)
    return folder


if __name__ == "__main__":
    import sys

    print(f"{cut_photographs(sys.argv[1])}: 1,000 JPEGs cut from scikit-learn's photographs")
