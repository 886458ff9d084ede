"""Assembler: what a batch needs before its pixels are rendered: rows, stored fields, plan and memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.decode import RAW
from data_loading.errors import BetonError
from data_loading.loading.batch_memory import Blocks
from data_loading.loading.cache import Mapped, Slots
from data_loading.ops.normalize import Normalize
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet

TENSORS = [np.dtype(kind) for kind in "? b B h H i I q Q e f d F D".split()]  # dtypes that torch has, too


@dataclass
class Epoch:
    """What the batches of one epoch share.

    number: the epoch, from 0.  order (n,) int64: rows of the file in this epoch's order.  stored: where the rows'
    bytes are while the epoch runs.  blocks: memory for the batches.
    """

    number: int
    order: np.ndarray
    stored: Mapped | Slots
    blocks: Blocks


@dataclass
class PendingBatch:
    """A batch whose pixels are being rendered, possibly by several threads.

    position (B,) int64: of its samples in the epoch's order; rows (B,) int64 of the file; height, width (B,) int64 in
    pixels; memory uint8 (bytes,) and start (B,) int64: sample b's stored bytes begin at memory[start[b]]; plan: as it
    is rendered; outs: for each view size an array (V, B, 3, S, S) to render into; raw: whether all images are stored
    undecoded; faults: index in the batch -> why a field beside the image cannot be read; filled with on_error="skip"
    only; replaced: whether a bad sample was replaced, so that labels and fields must be read again.
    """

    batch: Batch
    epoch: Epoch
    position: np.ndarray
    rows: np.ndarray
    height: np.ndarray
    width: np.ndarray
    memory: np.ndarray
    start: np.ndarray
    plan: Plan
    outs: list[np.ndarray]
    raw: bool
    faults: dict[int, BetonError] = field(default_factory=dict)
    replaced: bool = False


@dataclass
class Assembler:
    """Begins batches of the images of one file; shared by the threads of a loader.

    rows (n,) int64: the rows of the file that are used.  normalize: None leaves values in 0..255.  dtype: of the
    batch's blocks, by name.  with_plan: put the plan into the batch.  half: decode a JPEG at half its size where no
    view gets smaller than its crop by that.  fast_dct: libjpeg's quick DCT.  pinned: page-locked tensors.
    """

    reader: Reader
    rows: np.ndarray
    view_set: ViewSet
    drawer: Drawer
    normalize: Normalize | None
    dtype: str = "float32"
    with_plan: bool = False
    half: bool = False
    fast_dct: bool = False
    pinned: bool = False

    def __post_init__(self) -> None:
        self.table = self.reader.image_table()
        height, width = self.sides(self.rows)
        self.largest = int(max(height.max(), width.max()))
        self.mean_pixels = float((height * width).mean())
        self._fields = [name for name, stored in self.reader.fields.items() if stored.kind != "image"]

    def sides(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height and width (B,) int64 in pixels of the images of these rows."""
        return self.table.height[rows].astype(np.int64), self.table.width[rows].astype(np.int64)

    def begin(self, epoch: Epoch, k: int, position: np.ndarray, valid: np.ndarray) -> PendingBatch:
        """Sample the plan of a batch and take memory for it; labels and fields are still to be filled in (`describe`).

        k: number of the batch among those that `epoch.stored` was made for; waits until its bytes are in memory.
        position (B,) int64 in the epoch's order; valid (B,) bool, False for a sample that only fills the batch.
        """
        rows = epoch.order[position]
        height, width = self.sides(rows)
        plan = self.drawer(epoch.number, rows, height, width)
        taken = [epoch.blocks.take((len(v), len(rows), 3, side, side)) for side, v in self.view_set.groups()]
        batch = Batch(
            blocks=[tensor for tensor, _ in taken],
            labels=torch.empty(0),
            index=torch.empty(0),
            valid=self._tensor(valid),
            view_set=self.view_set,
            plan=plan if self.with_plan else None,
        )
        if self.half and self.with_plan:  # boxes are halved with their images; the user's plan stays as it was sampled
            plan = Plan(**{**vars(plan), "box": plan.box.copy()})
        start, outs = epoch.stored.place(k, self.table.ptr[rows]), [out for _, out in taken]
        raw = bool((self.table.mode[rows] == RAW).all())
        return PendingBatch(batch, epoch, position, rows, height, width, epoch.stored.memory, start, plan, outs, raw)

    def describe(self, batch: Batch, rows: np.ndarray) -> None:
        """Fill in what the file stores of these rows (B,) beside the images: index, labels and fields.

        BetonError names the first row of which a field cannot be read.
        """
        batch.index = self._tensor(rows.copy())
        batch.fields = {name: self._field(name, rows) for name in self._fields}
        labelled = "label" in batch.fields and self.reader.fields["label"].kind == "int"
        # A field of whole numbers is a tensor.
        batch.labels = cast(Tensor, batch.fields.pop("label")) if labelled else self._tensor(np.full(len(rows), -1))

    def set_row(self, pending: PendingBatch, b: int, row: int) -> None:
        """Make sample b another row of the file: its size and its plan; it counts as not valid."""
        rows = np.array([row])
        pending.replaced = True
        pending.rows[b], pending.batch.valid[b] = row, False
        height, width = self.sides(rows)
        pending.height[b], pending.width[b] = height[0], width[0]
        sampled = vars(self.drawer(pending.epoch.number, rows, height, width))
        for plan in (pending.plan, pending.batch.plan):
            for name, values in vars(plan).items() if plan else ():
                values[:, b] = sampled[name][:, 0]

    def _field(self, name: str, rows: np.ndarray) -> Tensor | list[Any] | np.ndarray:
        """A tensor where torch has the dtype; lists of bytes and of JSON values; a custom field's records in NumPy."""
        values = self.reader.values(name, rows)
        if not isinstance(values, np.ndarray) or values.dtype.newbyteorder("=") not in TENSORS:
            return values
        return self._tensor(values.astype(values.dtype.newbyteorder("="), copy=False))

    def _tensor(self, values: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(values)
        return tensor.pin_memory() if self.pinned else tensor
