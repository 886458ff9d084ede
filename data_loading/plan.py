"""Plan: every random number of a batch's views, drawn before any pixel is touched.

A plan is a function of (seed, epoch, sample numbers, image sizes, view set). It can be compared, saved and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loading.jit import ZERO, jit
from data_loading.ops import crop, program
from data_loading.ops.base import ARGS, END, PARAMS, STEPS
from data_loading.rng import DRAW, KEY_EPOCH, KEY_SEED, SAMPLE_HIGH, SAMPLE_LOW, STATE, STREAM, stream, uniform
from data_loading.views import ViewSet

U32, F32 = np.uint32, np.float32


@dataclass
class Plan:
    """box (V, B, 4) float32 x0, y0, x1, y1 in source pixels; op (V, B, K) uint8; arg (V, B, K, 8) uint32 words.

    Step k of view v of sample b is code op[v, b, k] with the words arg[v, b, k]: float32, or the key of a noise; a code
    of 0 ends the program.
    """

    box: np.ndarray
    op: np.ndarray
    arg: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """The words read as float32."""
        return self.arg.view(F32)

    def rows(self, view_set: ViewSet, b: int) -> list[dict]:
        """Sample b's views as plain values: view, box (x0, y0, x1, y1), steps as (name, {number: value})."""
        out = []
        for v, view in enumerate(view_set.views):
            steps = []
            for code, number, word in zip(self.op[v, b], self.numbers[v, b], self.arg[v, b], strict=True):
                if code == END:
                    break
                name, words = STEPS[int(code)]
                values = {w: float(number[i]) for i, w in enumerate(words) if w != "key"}
                if "key" in words:
                    values["key"] = [int(word[i]) for i, w in enumerate(words) if w == "key"]
                steps.append((name, values))
            out.append({"view": view.name, "box": [float(x) for x in self.box[v, b]], "steps": steps})
        return out

    def table(self, view_set: ViewSet, b: int) -> str:
        """Sample b's views as text, a line each."""
        lines = []
        for row in self.rows(view_set, b):
            x0, y0, x1, y1 = row["box"]
            steps = [f"{name} {' '.join(map(_short, values.values()))}".strip() for name, values in row["steps"]]
            lines.append(
                f"{row['view']:<14}({x0:.6g}, {y0:.6g})-({x1:.6g}, {y1:.6g})  {', '.join(steps) or 'no steps'}"
            )
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the plan as .npz."""
        np.savez_compressed(path, box=self.box, op=self.op, arg=self.arg)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        with np.load(path) as stored:
            return cls(stored["box"], stored["op"], stored["arg"])


def _short(value: float | list[int]) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "key " + "-".join(f"{word:08x}" for word in value)


class Drawer:
    """The tables that one view set compiles to, and the drawing of plans from them."""

    def __init__(self, view_set: ViewSet, seed: int):
        self.view_set, self.seed = view_set, seed
        ops = [view_set.ops(v) for v in range(len(view_set))]
        n_views, most = len(ops), max([len(o) for o in ops] + [1])
        self.steps = max([sum(op.steps for op in o) for o in ops] + [1])
        self.rule = np.zeros((n_views, most), np.int64)  # 0: no op
        self.p = np.zeros((n_views, most))
        self.params = np.zeros((n_views, most, PARAMS))
        self.stream = np.zeros((n_views, most), U32)
        self.own_seed = np.full((n_views, most), -1, np.int64)
        self.fixed = np.zeros((n_views, most), np.bool_)
        for v, view in enumerate(view_set.views):
            seen: dict[str, int] = {}
            for i, op in enumerate(ops[v]):
                kind = type(op).__name__
                seen[kind] = seen.get(kind, 0) + 1
                name = op.name or f"{kind}#{seen[kind]}"
                self.rule[v, i], self.p[v, i], self.fixed[v, i] = op.rule, op.p, op.fixed
                self.params[v, i, : len(op.params())] = op.params()
                self.stream[v, i] = stream(f"share/{op.share}" if op.share else f"{view.name}/{name}")
                self.own_seed[v, i] = -1 if op.seed is None else op.seed
        crops = sorted({view.crop for view in view_set.views})
        rules = [view_set.crop_rule(c) for c in crops]
        self.crop_rule = np.array([r.rule for r in rules], np.int64)
        self.crop_params = np.zeros((len(crops), PARAMS))
        for c, r in zip(crops, rules, strict=True):
            self.crop_params[c, : len(r.params())] = r.params()
        self.partner = np.array([view_set.crop_partner(c) for c in crops], np.int64)
        self.crop_stream = np.array([stream(view_set.crop_stream(c)) for c in crops], U32)
        self.view_crop = np.array([view.crop for view in view_set.views], np.int64)
        self.view_size = np.array([view.size for view in view_set.views], np.int64)

    def __call__(self, epoch: int, samples: np.ndarray, height: np.ndarray, width: np.ndarray) -> Plan:
        """samples (B,) int64, height and width (B,) in pixels -> Plan."""
        n_views, n = len(self.view_set), len(samples)
        plan = Plan(
            np.empty((n_views, n, 4), F32),
            np.zeros((n_views, n, self.steps), np.uint8),
            np.zeros((n_views, n, self.steps, ARGS), U32),
        )
        draw_boxes(
            U32(self.seed),
            U32(epoch),
            samples,
            height,
            width,
            self.crop_rule,
            self.crop_params,
            self.crop_stream,
            self.partner,
            self.view_crop,
            self.view_size,
            plan.box,
        )
        draw_programs(
            U32(self.seed),
            U32(epoch),
            samples,
            self.rule,
            self.p,
            self.params,
            self.stream,
            self.own_seed,
            self.fixed,
            plan.op,
            plan.arg.view(F32),
            plan.arg,
        )
        return plan


@jit
def start(state, seed, epoch, sample, stream_number):
    """Set a drawing state to the first draw of one stream of one sample."""
    state[KEY_SEED], state[KEY_EPOCH] = seed, epoch
    state[SAMPLE_LOW], state[SAMPLE_HIGH] = U32(sample & 0xFFFFFFFF), U32(sample >> 32)
    state[STREAM], state[DRAW] = stream_number, U32(0)


@jit
def draw_boxes(seed, epoch, samples, height, width, rule, params, streams, partner, view_crop, view_size, box):
    state, other = np.empty(STATE, U32), np.empty(4, F32)
    for v in range(view_crop.size):
        c = view_crop[v]
        p = partner[c]
        for b in range(samples.size):
            # Views of one crop draw it again from the same numbers, which costs less than keeping it.
            if p >= 0:
                start(state, seed, epoch, samples[b], streams[p])
                crop.draw(rule[p], params[p], state, height[b], width[b], view_size[v], other)
            start(state, seed, epoch, samples[b], streams[c])
            if p >= 0:
                crop.draw_disjoint(params[c], state, height[b], width[b], other, box[v, b])
            else:
                crop.draw(rule[c], params[c], state, height[b], width[b], view_size[v], box[v, b])


@jit
def draw_programs(seed, epoch, samples, rule, p, params, streams, own_seed, fixed, op, arg, word):
    state = np.empty(STATE, U32)
    for v in range(rule.shape[0]):
        for b in range(samples.size):
            n = ZERO
            for i in range(rule.shape[1]):
                if rule[v, i] == 0:
                    break
                key = seed if own_seed[v, i] < 0 else U32(own_seed[v, i])
                start(state, key, U32(0) if fixed[v, i] else epoch, samples[b], streams[v, i])
                if uniform(state, 0.0, 1.0) < p[v, i]:
                    n = program.draw(rule[v, i], params[v, i], state, op[v, b], arg[v, b], word[v, b], n)
