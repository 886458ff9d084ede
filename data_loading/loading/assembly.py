"""Making: a batch before it is drawn; its rows, its plan and its memory."""

from __future__ import annotations

from dataclasses import dataclass, field

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

TENSORS = [np.dtype(kind) for kind in "? b B h H i I q Q e f d F D".split()]  # those that torch has


@dataclass
class Epoch:
    """What the batches of one epoch share: its order (n,) of rows, where their bytes lie, and memory for batches."""

    number: int
    order: np.ndarray
    stored: Mapped | Slots
    blocks: Blocks


@dataclass
class Making:
    """A batch in the making.

    position (B,) of its samples in the epoch's order; rows (B,) of the file; height, width (B,) in pixels; start (B,):
    where each one's bytes begin in `memory`; plan as it is rendered; outs: for each view size an array (V, B, 3, S, S);
    faults: place in the batch -> why its other fields cannot be read, where such samples are to be replaced.
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
    raw: bool  # all of it
    faults: dict[int, BetonError]
    replaced: bool = False  # a bad sample had to be


@dataclass
class Maker:
    """The images of a loader and what is wanted of them; shared by its threads."""

    reader: Reader
    rows: np.ndarray  # those that are used
    view_set: ViewSet
    drawer: Drawer
    normalize: Normalize | None
    dtype: str = "float32"  # of the batch's blocks
    with_plan: bool = False
    skip: bool = False  # replace bad samples
    half: bool = False  # decode at half the size where no view is smaller for it
    fast_dct: bool = False
    pinned: bool = False
    bad: dict[int, str] = field(default_factory=dict)  # row -> what is wrong with it

    def __post_init__(self):
        self.table = self.reader.image_table()
        height, width = self.sides(self.rows)
        self.largest = int(max(height.max(), width.max()))
        self.mean_pixels = float((height * width).mean())
        self._names = [name for name, one in self.reader.fields.items() if one.kind != "image"]
        self._checked = [name for name in self._names if self.reader.fields[name].checked]

    def sides(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height and width (B,) int64 in pixels."""
        return self.table.height[rows].astype(np.int64), self.table.width[rows].astype(np.int64)

    def begin(self, epoch: Epoch, k: int, position: np.ndarray, valid: np.ndarray) -> Making:
        """Batch k of those that `epoch.stored` knows; valid (B,) bool."""
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
        faults: dict[int, BetonError] = {}
        try:
            self.describe(batch, rows)
        except BetonError:
            if not self.skip:
                raise
            faults = {b: error for b, row in enumerate(rows.tolist()) if (error := self.fault(row))}
            if not faults:  # no sample is to blame, so none can be left out
                raise
        if self.half and self.with_plan:  # boxes are halved with their images; the batch's plan stays as it was drawn
            plan = Plan(**{**vars(plan), "box": plan.box.copy()})
        start, outs = epoch.stored.place(k, self.table.ptr[rows]), [out for _, out in taken]
        raw = bool((self.table.mode[rows] == RAW).all())
        return Making(batch, epoch, position, rows, height, width, epoch.stored.memory, start, plan, outs, raw, faults)

    def fault(self, row: int) -> BetonError | None:
        """Why a field of this row, images apart, cannot be read; None where all can."""
        for name in self._checked:
            try:
                self.reader.value(name, row)
            except BetonError as error:
                return error
        return None

    def replace(self, making: Making, b: int, row: int) -> None:
        """Let sample b be another row of the file."""
        rows = np.array([row])
        making.replaced = True
        making.rows[b], making.batch.valid[b] = row, False
        height, width = self.sides(rows)
        making.height[b], making.width[b] = height[0], width[0]
        drawn = vars(self.drawer(making.epoch.number, rows, height, width))
        for plan in (making.plan, making.batch.plan):
            for name, values in vars(plan).items() if plan else ():
                values[:, b] = drawn[name][:, 0]

    def describe(self, batch: Batch, rows: np.ndarray) -> None:
        """Fill in what the file stores of these rows beside the images."""
        batch.index = self._tensor(rows.copy())
        batch.fields = {name: self._field(name, rows) for name in self._names}
        labelled = "label" in batch.fields and self.reader.fields["label"].kind == "int"
        batch.labels = batch.fields.pop("label") if labelled else self._tensor(np.full(len(rows), -1))

    def _field(self, name: str, rows: np.ndarray) -> Tensor | list | np.ndarray:
        """A tensor where torch has the dtype; lists of bytes and of JSON's values; a custom field's own records."""
        values = self.reader.values(name, rows)
        if not isinstance(values, np.ndarray) or values.dtype.newbyteorder("=") not in TENSORS:
            return values
        return self._tensor(values.astype(values.dtype.newbyteorder("="), copy=False))

    def _tensor(self, values: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(values)
        return tensor.pin_memory() if self.pinned else tensor
