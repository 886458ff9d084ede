"""Files that the tests of data_loading.ffcv read, written through its own names from drawn images."""

import numpy as np
import torch

from data_loading.ffcv.fields import IntField, RGBImageField
from data_loading.ffcv.writer import DatasetWriter

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406]) * 255
IMAGENET_STD = np.array([0.229, 0.224, 0.225]) * 255


def photograph(i, height, width):
    """Smooth colours with edges, as uint8 (height, width, 3): what JPEG and a resize leave alike."""
    rng = np.random.default_rng(i)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(rng.uniform(3, 9) * (x * np.cos(a) + y * np.sin(a)) + a) for a in rng.uniform(0, 6, 3)]
    image = 128 + 70 * np.stack(waves, axis=2) + 40 * (x > rng.uniform(0.2, 0.8))[..., None] * [1, 0, -1]
    return image.clip(0, 255).astype(np.uint8)


class Photographs:
    """n images of (image, label); sides: one number for squares, or an interval that height and width come from."""

    def __init__(self, n=24, sides=(40, 90)):
        self.n, self.sides = n, sides

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if isinstance(self.sides, int):
            return photograph(i, self.sides, self.sides), i % 7
        return photograph(i, *np.random.default_rng(i).integers(*self.sides, 2)), i % 7

    def images(self):
        return np.stack([self[i][0] for i in range(self.n)])


def write(path, dataset, **image):
    DatasetWriter(path, {"image": RGBImageField(**image), "label": IntField()}).from_indexed_dataset(
        dataset, progress=False
    )
    return path
