"""How many optimiser steps fit into a run that only trainer.max_time ends: measured while it trains."""

from __future__ import annotations

from typing import Any

LEFT_OUT = 5  # optimiser steps before the clock is read first: kernels are compiled and threads start
MEASURED_AT = 20  # optimiser steps after which the length is measured; then at the start of each epoch


class Pace:
    """Estimates the optimiser steps of a run from Lightning's Timer, which knows the time that is left.

    The first estimate comes after MEASURED_AT steps, of which the first LEFT_OUT do not count; the start of each later
    epoch corrects it, by all steps since, so that pauses between epochs count too. In a resumed run the time and the
    steps before it give an estimate at once.

    Args:
        timer: a Timer with a duration.
        step: optimiser steps done when this process began to train.
    """

    def __init__(self, timer: Any, step: int):
        self.timer, self.began = timer, step
        self.mark: tuple[int, float] | None = None  # (step, seconds) at which the measuring begins
        self.measured = False

    def total(self, step: int, batch_idx: int) -> int | None:
        """Optimiser steps of the whole run, estimated before a batch; None where the last estimate stays."""
        elapsed, left = self.timer.time_elapsed(), self.timer.time_remaining()
        done = step - self.began
        if done == 0 and step and not self.measured:  # resumed
            return round(step * (elapsed + left) / max(elapsed, 1e-9))
        if self.mark is None and done >= LEFT_OUT:
            self.mark = step, elapsed
        due = done >= MEASURED_AT and (batch_idx == 0 or not self.measured)
        if not due or self.mark is None or step == self.mark[0]:
            return None
        self.measured = True
        seconds = max(elapsed - self.mark[1], 1e-9) / (step - self.mark[0])
        return step + max(1, round(max(left, 0.0) / seconds))
