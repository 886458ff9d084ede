"""NVIDIA DALI's pipeline on the CPU, with its own RandAugment and AutoAugment.

Differs from colour jitter: one affine op in a fixed order, where jitter shuffles four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.auto_aug.auto_augment import auto_augment
from nvidia.dali.auto_aug.rand_augment import rand_augment

from data_loading.bench.peers.base import MEAN, STD, Peer
from data_loading.bench.works import ViewSpec, Work

DEPTH = 2  # batches in DALI's queue
FILTER = {"antialias": True, "interp_type": types.INTERP_LINEAR}
SOLARIZED = [v if v < 128 else 255 - v for v in range(256)]


class Entry(Peer):
    """The peer `dali`: one pipeline, whose source of stored images is changed for each round."""

    ahead = DEPTH  # its queue is full before a round begins

    def __init__(self, work: Work, file: str, batch_size: int, workers: int):
        super().__init__(work, file, batch_size, workers)
        self.rows: list[int] = []
        self.at = 0
        encoded = self.images.jpeg(0) is not None
        self.pipeline = graph(
            self._next,
            encoded,
            work,
            batch_size=batch_size,
            num_threads=workers,
            device_id=None,
            prefetch_queue_depth=DEPTH,
            enable_conditionals=True,
        )
        self.pipeline.build()

    def _next(self) -> list[np.ndarray]:
        """The next batch of stored images, uint8: JPEG bytes (n,) or pixels (H, W, 3); starts over after the last."""
        rows = [self.rows[(self.at + i) % len(self.rows)] for i in range(self.batch_size)]
        self.at += self.batch_size
        stored = (self.images.jpeg(row) for row in rows)
        return [
            self.images.reader.value(self.images.reader.image_field, row) if s is None else s
            for row, s in zip(rows, stored, strict=True)
        ]

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """Run the pipeline once per whole batch of these rows; yields the number of images of each."""
        self.rows = list(rows)
        for _ in range(len(rows) // self.batch_size):
            views = [out.as_tensor() for out in self.pipeline.run()]  # (B, 3, S, S) each
            yield views[0].shape()[0]


@pipeline_def
def graph(source, encoded: bool, work: Work):
    """All views as outputs of a DALI graph; DALI evaluates an `if` on a random number for each image separately."""
    stored = fn.external_source(source=source, batch=True, dtype=types.UINT8, layout=None if encoded else "HWC")
    spec = work.views[0]
    if encoded and len(work.views) == 1 and spec.geometry == "resized":  # with one box, only that box is decoded
        cut = fn.decoders.image_random_crop(stored, device="cpu", random_area=spec.scale)
        return finished(fn.resize(cut, size=(spec.size, spec.size), **FILTER), spec, work.dtype)
    image = fn.decoders.image(stored, device="cpu") if encoded else stored
    views = [None] * len(work.views)
    for spec, members in work.boxes():
        box = geometry(image, spec)
        for i in members:
            views[i] = finished(box, work.views[i], work.dtype)
    return tuple(views)


def chance(p: float):
    """1 with probability p, else 0, for each image."""
    return fn.random.coin_flip(probability=p)


def geometry(image, spec: ViewSpec):
    """The crop of a view and its resize; of a central crop the resize alone, since `finished` crops the centre."""
    if spec.geometry == "centre":
        return fn.resize(image, resize_shorter=spec.size * 8 // 7, **FILTER)
    if spec.geometry == "padded":
        shift = fn.random.uniform(values=list(range(-4, 5)), shape=2)
        start = fn.cast(shift, dtype=types.INT32)
        return fn.slice(image, start=start, shape=[spec.size, spec.size], axes=[0, 1], out_of_bounds_policy="pad")
    return fn.random_resized_crop(image, size=spec.size, random_area=spec.scale, **FILTER)


def augmented(view, spec: ViewSpec):
    """A view under RandAugment or ImageNet's AutoAugment of DALI, warped as torchvision does: nearest pixel, black."""
    warps = {"shape": (spec.size, spec.size), "max_translate_rel": 150 / 331}
    warps |= {"fill_value": 0, "interp_type": types.INTERP_NN}
    if spec.policy == "randaugment":
        return rand_augment(view, n=2, m=9, **warps)
    return auto_augment(view, "image_net", **warps)


def finished(view, spec: ViewSpec, dtype: str):
    """Policy, colours, blur, solarize, flip and normalising of a view (S, S, 3) -> (3, S, S)."""
    if spec.policy:
        view = augmented(view, spec)
    if spec.jitter is not None:
        jittered = fn.cast(chance(spec.p_jitter), dtype=types.FLOAT)
        coloured = fn.cast(chance(1 - spec.p_gray), dtype=types.FLOAT)  # gray is saturation 0
        b, c, s, h = [jittered * fn.random.uniform(range=(-v, v)) for v in spec.jitter]
        view = fn.color_twist(view, brightness=1 + b, contrast=1 + c, saturation=(1 + s) * coloured, hue=360 * h)
    if spec.p_blur > 0:
        blurred = chance(spec.p_blur)
        if blurred:
            view = fn.gaussian_blur(view, sigma=fn.random.uniform(range=(0.1, 2.0)))
    if spec.p_solarize > 0:
        solarized = chance(spec.p_solarize)
        if solarized:
            view = fn.lookup_table(view, keys=list(range(256)), values=SOLARIZED, dtype=types.UINT8)
    mirror = chance(0.5) if spec.flip else 0
    mean, std = ([0.0], [1.0]) if dtype == "uint8" else ([255 * m for m in MEAN], [255 * s for s in STD])
    kind = types.UINT8 if dtype == "uint8" else types.FLOAT
    crop = (spec.size, spec.size)
    return fn.crop_mirror_normalize(view, mirror=mirror, crop=crop, mean=mean, std=std, output_layout="CHW", dtype=kind)
