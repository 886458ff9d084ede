"""BadSamples: what a loader does with samples that cannot be read, as `on_error` says.

raise: the error ends the epoch.
skip:  the sample is replaced by the nearest good one before it in the epoch's order, views included; it is marked False
       in `Batch.valid`, its reason is kept in `Loader.bad` and logged once. The order depends on neither ranks nor
       batches nor threads, so neither does the replacement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from data_loading.batch import Batch
from data_loading.decode import RAW
from data_loading.errors import BetonError, DecodeError, UserError
from data_loading.loading.assembly import Assembler, PendingBatch

log = logging.getLogger(__name__)
TRIES = 100  # a run that skips bad samples ends where so many in a row are bad
Decode = Callable[[PendingBatch, int, np.ndarray], np.ndarray]  # pending, b, stored bytes -> pixels uint8 (H * W * 3,)


class BadSamples:
    """Shared by the threads of a loader.

    skip: replace bad samples; False lets their errors pass.  reasons: row of the file -> why it could not be read.
    """

    def __init__(self, assembler: Assembler, skip: bool, reasons: dict[int, str] | None = None):
        self.assembler, self.skip = assembler, skip
        self.reasons = {} if reasons is None else reasons
        fields = assembler.reader.fields.items()
        self._checked = [name for name, stored in fields if stored.checked and stored.kind != "image"]

    def describe(self, pending: PendingBatch) -> None:
        """Fill in labels and fields of a new batch; where some cannot be read, note in `faults` which samples' are bad.

        The error is raised unless bad samples are skipped, and where no sample is to blame for it.
        """
        try:
            self.assembler.describe(pending.batch, pending.rows)
        except BetonError:
            if not self.skip:
                raise
            rows = pending.rows.tolist()
            pending.faults = {b: error for b, row in enumerate(rows) if (error := self._fault(row))}
            if not pending.faults:
                raise

    def replace(self, pending: PendingBatch, b: int, error: UserError, decode: Decode) -> tuple[np.ndarray, int]:
        """Replace sample b, which failed with `error`; returns memory and where in it the new sample's pixels begin.

        DecodeError where none of the TRIES samples before it can be read either.
        """
        assembler, order = self.assembler, pending.epoch.order
        self._note(int(pending.rows[b]), error)
        tries = min(TRIES, len(order) - 1)
        for back in range(1, tries + 1):
            row = int(order[pending.position[b] - back])  # the first sample is preceded by the last
            if fault := self._fault(row):
                self._note(row, fault)
                continue
            assembler.set_row(pending, b, row)
            stored = assembler.reader.memory[assembler.table.ptr[row] :][: assembler.table.size[row]]
            if assembler.table.mode[row] == RAW:
                return stored, 0
            try:
                return decode(pending, b, stored), 0
            except DecodeError as undecoded:
                self._note(row, undecoded)
        raise DecodeError(f"{error}; nor does any of the {tries} samples before it in the order") from error

    def finish(self, pending: PendingBatch) -> Batch:
        """The rendered batch; index, labels and fields are those of the replacements."""
        if pending.replaced:
            self.assembler.describe(pending.batch, pending.rows)
        return pending.batch

    def _fault(self, row: int) -> BetonError | None:
        """Why a field of this row, images apart, cannot be read; None where all can."""
        for name in self._checked:
            try:
                self.assembler.reader.value(name, row)
            except BetonError as error:
                return error
        return None

    def _note(self, row: int, error: UserError) -> None:
        if row not in self.reasons:
            self.reasons[row] = str(error)
            log.warning("%s; it is replaced by another sample", error)
