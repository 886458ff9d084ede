"""Plan: every random number of a batch's views, sampled before any pixel is rendered.

A plan is a function of (seed, epoch, rows of the file, image sizes, view set). It can be compared, saved and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.config.described import dotted
from data_loading.errors import UnknownName, ViewError, near_miss
from data_loading.ops.own import OWN_OPS
from data_loading.ops.step import END, KEY, OWN, STEPS
from data_loading.views.view_set import ViewSet

F32 = np.float32


@dataclass
class Plan:
    """The boxes and programs of V views of B samples.

    box (V, B, 4) float32: x0, y0, x1, y1 of the crop in source pixels.
    op (V, B, K) uint8, arg (V, B, K, 8) uint32: step k of view v of sample b has the code op[v, b, k] and the words
    arg[v, b, k]: the bits of its float32 numbers, or a key of random numbers. Code 0 ends the program.
    strategy (V, B) uint8: the index in the view set's `strategies` of the strategy that a view got.
    """

    box: np.ndarray
    op: np.ndarray
    arg: np.ndarray
    strategy: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """The words of `arg` as float32, (V, B, K, 8); a view of the same memory."""
        return self.arg.view(F32)

    def acted(self, step: str) -> np.ndarray:
        """(V, B) bool: whether a view's program has a step of this name, as "grayscale".

        UnknownName for a name that no step has. The names are those that `rows` returns.
        """
        return np.asarray(np.isin(self.op, _codes(step)).any(axis=2))

    def number(self, step: str, name: str) -> np.ndarray:
        """(V, B) float32: a number of a view's first step of this name, as ("hue", "turn"); NaN without such a step.

        Useful as labels for a network that predicts augmentations. UnknownName for a name that no step has, ViewError
        if the step has no number of this name.
        """
        codes = _codes(step)
        known = list(dict.fromkeys(n for code in codes for n in STEPS[code].numbers if n != KEY))
        if name not in known:
            raise ViewError(f"step {step!r} has no number {name!r}; it has {', '.join(known) or 'none'}")
        found = np.isin(self.op, codes)
        first = found.argmax(axis=2)[..., None]
        code_there = np.where(found.any(axis=2), np.take_along_axis(self.op, first, axis=2)[..., 0], END)
        out = np.full(code_there.shape, np.nan, F32)
        for code in codes:
            if name in STEPS[code].numbers:
                value = np.take_along_axis(self.numbers[..., STEPS[code].numbers.index(name)], first, axis=2)[..., 0]
                out = np.where(code_there == code, value, out)
        return out

    def rows(self, view_set: ViewSet, b: int) -> list[dict]:
        """Sample b's views as plain values: view, strategy, box (x0, y0, x1, y1), steps (name, {parameter: value})."""
        out = []
        for v, view in enumerate(view_set.views):
            steps = []
            for code, word in zip(self.op[v, b], self.arg[v, b], strict=True):
                if code == END:
                    break
                step = STEPS[int(code)]
                named = list(zip(step.numbers, step.values(word), strict=True))
                values: dict[str, Any] = {name: value for name, value in named if name != KEY}
                if KEY in step.numbers:
                    values[KEY] = [value for name, value in named if name == KEY]
                steps.append((step.name, values))
            strategy = view_set.strategies[self.strategy[v, b]].name
            out.append({"view": view.name, "strategy": strategy, "box": self.box[v, b].tolist(), "steps": steps})
        return out

    def table(self, view_set: ViewSet, b: int) -> str:
        """The views of sample b as text, a line for each."""
        lines = []
        for row in self.rows(view_set, b):
            x0, y0, x1, y1 = row["box"]
            steps = [f"{name} {' '.join(map(_short, values.values()))}".strip() for name, values in row["steps"]]
            name = row["view"] + (f" {row['strategy']}" if view_set.assign == "drawn" else "")
            lines.append(f"{name:<14}({x0:.6g}, {y0:.6g})-({x1:.6g}, {y1:.6g})  {', '.join(steps) or 'no steps'}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the plan as .npz; users' own ops by import path, since their codes are valid in this process only."""
        codes = sorted({int(code) for code in np.unique(self.op) if code >= OWN})
        names = np.array([dotted(OWN_OPS[code - OWN]) for code in codes], str)
        np.savez_compressed(
            path, box=self.box, op=self.op, arg=self.arg, strategy=self.strategy, own_codes=codes, own_names=names
        )

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan that `save` wrote; ViewError for another file, or for a user's op that is not yet imported."""
        with np.load(path) as stored:
            missing = [
                name for name in ("box", "op", "arg", "strategy", "own_codes", "own_names") if name not in stored
            ]
            if missing:
                raise ViewError(f"{path} is no plan: it has no {', '.join(missing)}; Plan.save writes one")
            op, known = stored["op"].copy(), {dotted(own): own.rule for own in OWN_OPS}
            for code, name in zip(stored["own_codes"], stored["own_names"].tolist(), strict=True):
                if name not in known:
                    raise ViewError(f"{path}: the plan runs the op {name}, which is not known here; import it first")
                op[stored["op"] == code] = known[name]
            return cls(stored["box"], op, stored["arg"], stored["strategy"])


def _codes(step: str) -> list[int]:
    """The codes of a step's name: several where a user's own op was defined again."""
    codes = [known.code for known in STEPS.values() if known.name == step]
    if not codes:
        known = list(dict.fromkeys(one.name for one in STEPS.values()))
        raise UnknownName(f"no step named {step!r}.{near_miss(step, known)} Known: {', '.join(known)}")
    return codes


def _short(value: float | list[int]) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "key " + "-".join(f"{word:08x}" for word in value)
