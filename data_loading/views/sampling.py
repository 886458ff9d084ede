"""Drawing: what a view set compiles to, and how plans are drawn from it; compiled, one call a batch."""

from __future__ import annotations

from collections import Counter

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import ZERO, jit
from data_loading.kernel.rng import (
    DRAW,
    KEY_EPOCH,
    KEY_SEED,
    SAMPLE_HIGH,
    SAMPLE_LOW,
    STATE,
    STREAM,
    integer,
    stream,
    uniform,
)
from data_loading.ops import crop, own, program
from data_loading.ops.base import PARAMS, Op
from data_loading.ops.choose import CHOOSE, Choose
from data_loading.ops.crop import Crop
from data_loading.ops.step import ARGS
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet

U32, F32 = np.uint32, np.float32


def numbers_of(op: Op | Crop) -> list[float]:
    """op.params(), checked: a user's own op may return anything."""
    try:
        params = [float(number) for number in op.params()]
    except (TypeError, ValueError) as error:
        raise ViewError(f"{type(op).__name__}: params() must return plain numbers ({error})") from error
    if len(params) > PARAMS:
        raise ViewError(f"{type(op).__name__}: params() returns {len(params)} numbers; a drawing rule takes {PARAMS}")
    return params


class Policies:
    """The ops inside all Choose of a view set, one after another, and where each policy's begin."""

    def __init__(self):
        self.ops: list[Op] = []
        self.start: list[int] = [0]
        self._first: dict[int, int] = {}

    def params(self, op: Choose) -> list[float]:
        """The first policy of a Choose, their number, and how often one is drawn."""
        if id(op) not in self._first:  # several views may hold the same one
            self._first[id(op)] = len(self.start) - 1
            for policy in op.policies:
                self.ops += policy
                self.start.append(len(self.ops))
        return [self._first[id(op)], len(op.policies), op.times]

    def tables(self) -> tuple[np.ndarray, ...]:
        """start (P + 1,), rule (E,), p (E,), params (E, PARAMS)."""
        params = np.zeros((max(len(self.ops), 1), PARAMS))
        for row, op in zip(params, self.ops, strict=False):
            params_of = numbers_of(op)
            row[: len(params_of)] = params_of
        rule, p = [op.rule for op in self.ops] or [0], [op.p for op in self.ops] or [0.0]
        return np.array(self.start, np.int64), np.array(rule, np.int64), np.array(p), params


class Drawer:
    """The tables that one view set compiles to, and the drawing of plans from them.

    Arrays over (V, S, K): view, strategy that may be drawn for it (one, unless the view set draws them), op.
    """

    def __init__(self, view_set: ViewSet, seed: int):
        self.view_set, self.seed = view_set, seed
        views = view_set.views
        self._programs([view_set.programs(v) for v in range(len(views))])
        self.owns = own.table(view_set.all_ops())
        self.strategy = np.array([view_set.strategy_number(v) for v in range(len(views))], np.int64)
        self.strategy_stream = np.array([stream(f"{view.name}/strategy") for view in views], U32)
        self.view_crop = np.array([view.crop for view in views], np.int64)
        self.view_size = np.array([view.size for view in views], np.int64)
        self._crops()

    def _programs(self, programs: list[list[list[Op]]]) -> None:
        """The tables of all ops: programs[v][s] are those of view v under strategy s."""
        most = max([len(ops) for choices in programs for ops in choices] + [1])
        self.steps = max([sum(op.steps for op in ops) for choices in programs for ops in choices] + [1])
        shape = (len(programs), len(programs[0]), most)
        self.rule = np.zeros(shape, np.int64)  # 0: no op
        self.p = np.zeros(shape)
        self.params = np.zeros((*shape, PARAMS))
        self.stream = np.zeros(shape, U32)
        self.own_seed = np.full(shape, -1, np.int64)
        self.fixed = np.zeros(shape, np.bool_)
        policies = Policies()
        for v, choices in enumerate(programs):
            for s, ops in enumerate(choices):
                for i, (op, name) in enumerate(zip(ops, self._streams(v, s, ops), strict=True)):
                    at = (v, s, i)
                    self.rule[at], self.p[at], self.fixed[at] = op.rule, op.p, op.fixed
                    params = policies.params(op) if isinstance(op, Choose) else numbers_of(op)
                    self.params[at][: len(params)] = params
                    self.stream[at] = stream(name)
                    self.own_seed[at] = -1 if op.seed is None else op.seed
        self.policies = policies.tables()

    def _streams(self, v: int, s: int, ops: list[Op]) -> list[str]:
        """The names of the random streams of a view's ops."""
        view, names, seen = self.view_set.views[v].name, [], Counter()
        for op in ops:
            kind = type(op).__name__
            seen[kind] += 1
            name = op.name or self.view_set.op_stream(s, f"{kind}#{seen[kind]}")
            names.append(f"{view}/{name}" if op.share is None else f"share/{op.share}")
        named = Counter(op.name for op in ops if op.name is not None and op.share is None)
        if twice := [name for name, count in named.items() if count > 1]:
            raise ViewError(f"view {view}: two ops are named {twice[0]!r} and would draw the same numbers; rename one")
        return names

    def _crops(self) -> None:
        crops = sorted({view.crop for view in self.view_set.views})
        rules = [self.view_set.crop_rule(c) for c in crops]
        self.crop_rule = np.array([r.rule for r in rules], np.int64)
        self.crop_params = np.zeros((len(crops), PARAMS))
        for c, r in zip(crops, rules, strict=True):
            params = numbers_of(r)
            self.crop_params[c, : len(params)] = params
        self.crop_seed = np.array([-1 if r.seed is None else r.seed for r in rules], np.int64)
        self.crop_fixed = np.array([r.fixed for r in rules], np.bool_)
        self.partner = np.array([self.view_set.crop_partner(c) for c in crops], np.int64)
        self.crop_stream = np.array([stream(self.view_set.crop_stream(c)) for c in crops], U32)

    def __call__(self, epoch: int, samples: np.ndarray, height: np.ndarray, width: np.ndarray) -> Plan:
        """samples (B,) int64, height and width (B,) in pixels -> Plan."""
        n_views, n = len(self.view_set), len(samples)
        plan = Plan(
            np.empty((n_views, n, 4), F32),
            np.zeros((n_views, n, self.steps), np.uint8),
            np.zeros((n_views, n, self.steps, ARGS), U32),
            np.zeros((n_views, n), np.uint8),
        )
        draw_boxes(
            U32(self.seed), U32(epoch), samples, height, width,
            self.crop_rule, self.crop_params, self.crop_stream, self.crop_seed, self.crop_fixed,
            self.partner, self.view_crop, self.view_size, plan.box,
        )  # fmt: skip
        draw_programs(
            U32(self.seed), U32(epoch), samples, self.strategy, self.strategy_stream,
            self.rule, self.p, self.params, self.stream, self.own_seed, self.fixed, *self.policies, self.owns,
            self.view_size, plan.strategy, plan.op, plan.arg.view(F32), plan.arg,
        )  # fmt: skip
        return plan


@jit
def start(state, seed, own_seed, epoch, fixed, sample, stream_number):
    """Set a drawing state to the first draw of one stream of one sample; own_seed: -1 for none."""
    state[KEY_SEED] = seed if own_seed < 0 else U32(own_seed)
    state[KEY_EPOCH] = U32(0) if fixed else epoch
    state[SAMPLE_LOW], state[SAMPLE_HIGH] = U32(sample & 0xFFFFFFFF), U32(sample >> 32)
    state[STREAM], state[DRAW] = stream_number, U32(0)


@jit
def draw_boxes(
    seed, epoch, samples, height, width, rule, params, streams, own_seed, fixed, partner, view_crop, view_size, box
):
    state, other = np.empty(STATE, U32), np.empty(4, F32)
    for v in range(view_crop.size):
        c = view_crop[v]
        p = partner[c]
        for b in range(samples.size):
            # Views of one crop draw it again from the same numbers, which costs less than keeping it.
            if p >= 0:
                start(state, seed, own_seed[p], epoch, fixed[p], samples[b], streams[p])
                crop.draw(rule[p], params[p], state, height[b], width[b], view_size[v], other)
            start(state, seed, own_seed[c], epoch, fixed[c], samples[b], streams[c])
            if p >= 0:
                crop.draw_disjoint(params[c], state, height[b], width[b], other, box[v, b])
            else:
                crop.draw(rule[c], params[c], state, height[b], width[b], view_size[v], box[v, b])


@jit
def draw_programs(
    seed, epoch, samples, strategies, strategy_streams, rule, p, params, streams, own_seed, fixed,
    first_op, policy_rule, policy_p, policy_params, owns, size, strategy, op, arg, word,
):  # fmt: skip
    """strategies (V,): the number of each view's strategy, -1 where it is drawn for each sample."""
    state = np.empty(STATE, U32)
    for v in range(rule.shape[0]):
        for b in range(samples.size):
            s, which = ZERO, strategies[v]
            if which < 0:
                start(state, seed, -1, epoch, False, samples[b], strategy_streams[v])
                s = which = integer(state, rule.shape[1])
            strategy[v, b] = which
            n = ZERO
            for i in range(rule.shape[2]):
                one = rule[v, s, i]
                if one == 0:
                    break
                start(state, seed, own_seed[v, s, i], epoch, fixed[v, s, i], samples[b], streams[v, s, i])
                if uniform(state, 0.0, 1.0) >= p[v, s, i]:
                    continue
                numbers = params[v, s, i]
                if one != CHOOSE:
                    n = program.draw(one, numbers, state, size[v], owns, op[v, b], arg[v, b], word[v, b], n)
                    continue
                for _ in range(int(numbers[2])):
                    policy = int(numbers[0]) + integer(state, int(numbers[1]))
                    for j in range(first_op[policy], first_op[policy + 1]):
                        if uniform(state, 0.0, 1.0) < policy_p[j]:
                            n = program.draw(
                                policy_rule[j], policy_params[j], state, size[v], owns,
                                op[v, b], arg[v, b], word[v, b], n,
                            )  # fmt: skip
