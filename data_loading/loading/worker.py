"""Worker: decodes and renders samples of a batch; one for each thread of a loader."""

from __future__ import annotations

import numpy as np

from data_loading.beton.verify import image_header
from data_loading.decode import JPEG, RAW, decode_jpeg, decode_png
from data_loading.errors import BetonError, DecodeError
from data_loading.loading.assembly import Assembler, PendingBatch
from data_loading.loading.bad_samples import BadSamples
from data_loading.render.numba_renderer import Renderer
from data_loading.views.plan import Plan

PLAUSIBLE = 64  # pixels a stored byte; the header of an image with more is checked before memory is taken for it


class Worker:
    """The scratch memory of one thread; not to be shared between threads."""

    def __init__(self, assembler: Assembler, bad: BadSamples):
        self.assembler, self.bad = assembler, bad
        self._renderer = Renderer(assembler.view_set, assembler.largest, assembler.normalize, assembler.dtype)
        self._buffer: np.ndarray | None = None  # decoded pixels; grows with the largest encoded image met so far

    def __call__(self, pending: PendingBatch, first: int, last: int) -> None:
        """Render samples first to last - 1 of a batch: raw ones in one call, encoded ones one by one.

        DecodeError names the first image that does not decode, unless bad samples are skipped.
        """
        if pending.raw and not pending.faults:
            part = slice(first, last)
            sides = pending.height[part], pending.width[part]
            self._renderer(pending.memory, pending.start[part], *sides, pending.plan, first, pending.outs)
            return
        for b in range(first, last):
            if b in pending.faults:
                pixels, start = self.bad.replace(pending, b, pending.faults[b], self._decode)
            else:
                try:
                    pixels, start = self._pixels(pending, b)
                except DecodeError as error:
                    if not self.bad.skip:
                        raise
                    pixels, start = self.bad.replace(pending, b, error, self._decode)
            self._render(pending, b, pixels, start)

    def _pixels(self, pending: PendingBatch, b: int) -> tuple[np.ndarray, int]:
        """Memory and where in it the pixels of sample b begin."""
        row, start = pending.rows[b], pending.start[b]
        if self.assembler.table.mode[row] == RAW:
            return pending.memory, start
        return self._decode(pending, b, pending.memory[start : start + self.assembler.table.size[row]]), 0

    def _decode(self, pending: PendingBatch, b: int, stored: np.ndarray) -> np.ndarray:
        """Stored bytes (n,) of sample b -> pixels uint8 (H * W * 3,), in this thread's buffer where the decoder can."""
        assembler, table, row = self.assembler, self.assembler.table, int(pending.rows[b])
        height, width, mode = (int(column[row]) for column in (table.height, table.width, table.mode))
        try:
            if height * width > PLAUSIBLE * stored.size:
                image_header(stored, mode, height, width)
            if self._buffer is None or self._buffer.size < 3 * height * width:
                self._buffer = np.empty(3 * height * width, np.uint8)
            if mode == JPEG:
                half = assembler.half and self._halves(pending.plan, b)
                image = decode_jpeg(stored, self._buffer, (height, width), half, assembler.fast_dct)
            else:
                image = decode_png(stored, self._buffer, (height, width))
        except (DecodeError, BetonError) as error:
            where = f"{assembler.reader.name(row)}: field {assembler.reader.image_field!r}"
            raise DecodeError(f"{where}: {error}") from None
        pixels = image.reshape(-1)
        pixels.flags.writeable = False  # as the file's own memory: numba compiles `render` for one of the two only
        return pixels

    def _halves(self, plan: Plan, b: int) -> bool:
        """Whether all boxes of sample b, halved, are still at least as large as their views."""
        box, target = plan.box[:, b], 2 * self.assembler.drawer.views.size
        return bool((box[:, 2] - box[:, 0] >= target).all() and (box[:, 3] - box[:, 1] >= target).all())

    def _render(self, pending: PendingBatch, b: int, pixels: np.ndarray, start: int) -> None:
        """Render sample b; the boxes of an image that was decoded at half its size are halved, too."""
        only = slice(b, b + 1)
        height, width = pending.height[only], pending.width[only]  # (1,) each
        if pixels is not pending.memory and pixels.size < 3 * height[0] * width[0]:
            half_height, half_width = (height + 1) // 2, (width + 1) // 2
            scale = np.array([half_width[0] / width[0], half_height[0] / height[0]] * 2, np.float32)
            pending.plan.box[:, b] *= scale
            height, width = half_height, half_width
        self._renderer(pixels, np.array([start], np.int64), height, width, pending.plan, b, pending.outs)
