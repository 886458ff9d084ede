"""Worker: one thread's scratch memory; it decodes and renders chunks of a batch in the making."""

from __future__ import annotations

import logging

import numpy as np

from data_loading.beton.verify import image_header
from data_loading.decode import JPEG, RAW, decode_jpeg, decode_png
from data_loading.errors import BetonError, DecodeError, UserError
from data_loading.loading.assembly import Maker, Making
from data_loading.render.numba_renderer import Renderer
from data_loading.views.plan import Plan

log = logging.getLogger(__name__)
PLAUSIBLE = 64  # pixels a stored byte; an image that promises more is looked at before memory is taken for it
TRIES = 100  # so many samples in a row may be bad before a run that skips them ends


class Worker:
    """Draws samples first, first + 1, ... of a batch into its memory; not to be shared between threads."""

    def __init__(self, maker: Maker):
        self.maker = maker
        self._render = Renderer(maker.view_set, maker.largest, maker.normalize, maker.dtype)
        self._buffer: np.ndarray | None = None  # decoded pixels; made when the first encoded sample is met

    def __call__(self, making: Making, first: int, last: int) -> None:
        """Raw samples in one call, encoded ones one by one."""
        if making.raw and not making.faults:
            part = slice(first, last)
            sides = making.height[part], making.width[part]
            self._render(making.memory, making.start[part], *sides, making.plan, first, making.outs)
            return
        for b in range(first, last):
            start, row = making.start[b], making.rows[b]
            if b in making.faults:
                self._draw(making, b, self._replaced(making, b, int(row), making.faults[b]), 0)
                continue
            if self.maker.table.mode[row] == RAW:
                self._draw(making, b, making.memory, start)
                continue
            stored = making.memory[start : start + self.maker.table.size[row]]
            try:
                pixels = self._decode(int(row), stored, self.maker.half and self._halves(making.plan, b))
            except DecodeError as error:
                if not self.maker.skip:
                    raise
                pixels = self._replaced(making, b, int(row), error)
            self._draw(making, b, pixels, 0)

    def _draw(self, making: Making, b: int, pixels: np.ndarray, start: int) -> None:
        one = slice(b, b + 1)
        sides = making.height[one], making.width[one]
        if pixels is not making.memory and pixels.size < 3 * sides[0][0] * sides[1][0]:  # it was decoded at 1/2
            sides = (sides[0] + 1) // 2, (sides[1] + 1) // 2
            h, w = making.height[b], making.width[b]
            making.plan.box[:, b] *= np.array([sides[1][0] / w, sides[0][0] / h] * 2, np.float32)
        self._render(pixels, np.array([start], np.int64), *sides, making.plan, b, making.outs)

    def _decode(self, row: int, stored: np.ndarray, half: bool) -> np.ndarray:
        """Sample `row`'s pixels as uint8 (H * W * 3,), in this thread's buffer where the decoder can use it."""
        maker = self.maker
        size = int(maker.table.height[row]), int(maker.table.width[row])
        try:
            if size[0] * size[1] > PLAUSIBLE * stored.size:
                image_header(stored, maker.table.mode[row], *size)
            if self._buffer is None or self._buffer.size < 3 * size[0] * size[1]:
                self._buffer = np.empty(3 * size[0] * size[1], np.uint8)
            if maker.table.mode[row] == JPEG:
                image = decode_jpeg(stored, self._buffer, size, half, maker.fast_dct)
            else:
                image = decode_png(stored, self._buffer, size)
        except (DecodeError, BetonError) as error:
            raise DecodeError(f"{maker.reader.name(row)}: field {maker.reader.image_field!r}: {error}") from None
        pixels = image.reshape(-1)
        pixels.flags.writeable = False  # as the file's own memory: numba compiles `render` for one of the two only
        return pixels

    def _halves(self, plan: Plan, b: int) -> bool:
        """Whether all boxes of sample b, halved, are still at least as large as their views."""
        box, target = plan.box[:, b], 2 * self.maker.drawer.view_size
        return bool((box[:, 2] - box[:, 0] >= target).all() and (box[:, 3] - box[:, 1] >= target).all())

    def _replaced(self, making: Making, b: int, row: int, error: UserError) -> np.ndarray:
        """Put the nearest good sample before it in the epoch's order in the place of bad sample b; returns its pixels.

        The order knows no ranks and no batches, so the replacement is the same for any number of them.
        """
        maker, order = self.maker, making.epoch.order
        self._note(row, error)
        tries = min(TRIES, len(order) - 1)
        for back in range(1, tries + 1):
            other = int(order[making.position[b] - back])  # the first sample is preceded by the last
            if fault := maker.fault(other):
                self._note(other, fault)
                continue
            maker.replace(making, b, other)
            stored = maker.reader.memory[maker.table.ptr[other] :][: maker.table.size[other]]
            if maker.table.mode[other] == RAW:
                return stored
            try:
                return self._decode(other, stored, maker.half and self._halves(making.plan, b))
            except DecodeError as undecoded:
                self._note(other, undecoded)
        raise DecodeError(f"{error}; nor does any of the {tries} samples before it in the order") from error

    def _note(self, row: int, error: UserError) -> None:
        if row not in self.maker.bad:
            self.maker.bad[row] = str(error)
            log.warning("%s; another sample takes its place", error)
