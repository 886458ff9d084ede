"""Helpers for tests of the writer: random data sets, with a sample that fails on request."""

import io
import os
import signal

import numpy as np
from PIL import Image

from data_loading import DatasetWriter
from data_loading.fields import IntField, RGBImageField

FIELDS = {"image": RGBImageField(), "label": IntField()}


def random_image(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def jpeg(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


class RandomImages:
    """n random images with sides from 1 to `side` - 1, labels i mod 3.

    Sample `bad` fails as `fault` says: "raise" (ValueError), "die" (SIGKILL), "cut" (truncated JPEG), "stop" (Ctrl-C).
    """

    def __init__(self, n, bad=None, fault=None, side=40):
        self.n, self.bad, self.fault, self.side = n, bad, fault, side

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i == self.bad and self.fault == "raise":
            raise ValueError("no such luck")
        if i == self.bad and self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == self.bad and self.fault == "cut":
            return jpeg(random_image(i, 30, 30))[:200], 0
        if i == self.bad and self.fault == "stop":
            raise KeyboardInterrupt
        return random_image(i, *np.random.default_rng(i).integers(1, self.side, 2)), i % 3


def write(path, dataset, fields=None, **options):
    writer = DatasetWriter(path, fields or FIELDS, **options)
    writer.from_indexed_dataset(dataset, progress=False)
    return writer
