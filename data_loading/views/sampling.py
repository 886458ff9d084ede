"""Sampling: the tables of a view set, and the compiled functions that sample a batch's plan from them.

Every random number is keyed by (seed, epoch, sample, stream), see kernel/rng.py.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import NO, ZERO, jit
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
    """The numbers of op.params(), at most PARAMS; a user's own op that returns anything else is a ViewError."""
    try:
        params = [float(number) for number in op.params()]
    except (TypeError, ValueError) as error:
        raise ViewError(f"{type(op).__name__}: params() must return plain numbers ({error})") from error
    if len(params) > PARAMS:
        raise ViewError(f"{type(op).__name__}: params() returns {len(params)} numbers; an op takes at most {PARAMS}")
    return params


class Samples(NamedTuple):
    """The samples of a batch, and the seed and epoch of their random numbers."""

    seed: np.uint32
    epoch: np.uint32
    number: np.ndarray  # (B,) int64: their rows in the file
    height: np.ndarray  # (B,) of the images, in pixels
    width: np.ndarray


class ViewTable(NamedTuple):
    """The views as arrays, (V,) each."""

    crop: np.ndarray  # int64: the number of its crop
    size: np.ndarray  # int64: the side in pixels
    strategy: np.ndarray  # int64: the number of its strategy; -1 if that is sampled for each sample
    strategy_stream: np.ndarray  # uint32: the random stream from which it is then sampled


class CropTable(NamedTuple):
    """The crops as arrays, (C,) each."""

    rule: np.ndarray  # int64: Crop.rule
    params: np.ndarray  # (C, PARAMS) float64
    stream: np.ndarray  # uint32
    seed: np.ndarray  # int64, -1: the run's
    fixed: np.ndarray  # bool: the epoch is left out
    partner: np.ndarray  # int64: the crop that it must not overlap; -1: none


class OpTable(NamedTuple):
    """The ops as arrays, (V, S, K) each: of view v under strategy s, its k-th op.

    S is 1, unless the view set samples a view's strategy (assign="drawn").
    """

    rule: np.ndarray  # int64: Op.rule; 0: no op
    p: np.ndarray  # float64
    params: np.ndarray  # (V, S, K, PARAMS) float64
    stream: np.ndarray  # uint32
    seed: np.ndarray  # int64, -1: the run's
    fixed: np.ndarray  # bool: the epoch is left out


class PolicyTable(NamedTuple):
    """The ops of all policies of all Choose, E of them, one policy after another."""

    start: np.ndarray  # (P + 1,) int64: the first op of each policy; the last number is E
    rule: np.ndarray  # (E,) int64
    p: np.ndarray  # (E,) float64
    params: np.ndarray  # (E, PARAMS) float64


class PlanArrays(NamedTuple):
    """The arrays of a Plan, which the compiled functions fill."""

    box: np.ndarray
    strategy: np.ndarray
    op: np.ndarray
    arg: np.ndarray  # (V, B, K, ARGS) float32
    word: np.ndarray  # uint32, the memory of arg


class Policies:
    """Collects the policies of all Choose of a view set into one table."""

    def __init__(self):
        self.ops: list[Op] = []
        self.start: list[int] = [0]
        self._first: dict[int, int] = {}

    def params(self, op: Choose) -> list[float]:
        """The number of a Choose's first policy in the table, how many it has, and how many times one is chosen."""
        if id(op) not in self._first:  # several views may share a Choose
            self._first[id(op)] = len(self.start) - 1
            for policy in op.policies:
                self.ops += policy
                self.start.append(len(self.ops))
        return [self._first[id(op)], len(op.policies), op.times]

    def table(self) -> PolicyTable:
        """The table of all policies that `params` has collected."""
        params = np.zeros((max(len(self.ops), 1), PARAMS))
        for row, op in zip(params, self.ops, strict=False):
            params_of = numbers_of(op)
            row[: len(params_of)] = params_of
        rule, p = [op.rule for op in self.ops] or [0], [op.p for op in self.ops] or [0.0]
        return PolicyTable(np.array(self.start, np.int64), np.array(rule, np.int64), np.array(p), params)


class Drawer:
    """Samples the plans of one view set under one seed.

    All that does not depend on the batch (rules, numbers, names of streams) is in tables, so that sampling a plan takes
    two compiled calls. ViewError for two ops of a view with one name, or wrong `params()` of a user's own op.
    """

    def __init__(self, view_set: ViewSet, seed: int):
        self.view_set, self.seed = view_set, seed
        views = view_set.views
        programs = [view_set.programs(v) for v in range(len(views))]
        self.steps = max([sum(op.steps for op in ops) for choices in programs for ops in choices] + [1])
        self.ops, self.policies = self._programs(programs)
        self.owns = own.table(view_set.all_ops())
        self.views = ViewTable(
            crop=np.array([view.crop for view in views], np.int64),
            size=np.array([view.size for view in views], np.int64),
            strategy=np.array([view_set.strategy_number(v) for v in range(len(views))], np.int64),
            strategy_stream=np.array([stream(f"{view.name}/strategy") for view in views], U32),
        )
        self.crops = self._crops()

    def _programs(self, programs: list[list[list[Op]]]) -> tuple[OpTable, PolicyTable]:
        """The tables of all ops: programs[v][s] are those of view v under strategy s."""
        most = max([len(ops) for choices in programs for ops in choices] + [1])
        shape = (len(programs), len(programs[0]), most)
        table = OpTable(
            rule=np.zeros(shape, np.int64),
            p=np.zeros(shape),
            params=np.zeros((*shape, PARAMS)),
            stream=np.zeros(shape, U32),
            seed=np.full(shape, -1, np.int64),
            fixed=np.zeros(shape, np.bool_),
        )
        policies = Policies()
        for v, choices in enumerate(programs):
            for s, ops in enumerate(choices):
                for i, (op, name) in enumerate(zip(ops, self._streams(v, s, ops), strict=True)):
                    at = (v, s, i)
                    table.rule[at], table.p[at], table.fixed[at] = op.rule, op.p, op.fixed
                    params = policies.params(op) if isinstance(op, Choose) else numbers_of(op)
                    table.params[at][: len(params)] = params
                    table.stream[at] = stream(name)
                    table.seed[at] = -1 if op.seed is None else op.seed
        return table, policies.table()

    def _streams(self, v: int, s: int, ops: list[Op]) -> list[str]:
        """The names of the random streams of a view's ops."""
        view = self.view_set.views[v].name
        names: list[str] = []
        seen: Counter[str] = Counter()
        for op in ops:
            kind = type(op).__name__
            seen[kind] += 1
            name = op.name or self.view_set.op_stream(s, f"{kind}#{seen[kind]}")
            names.append(f"{view}/{name}" if op.share is None else f"share/{op.share}")
        named = Counter(op.name for op in ops if op.name is not None and op.share is None)
        if twice := [name for name, count in named.items() if count > 1]:
            raise ViewError(
                f"view {view}: two ops are named {twice[0]!r} and would sample the same numbers; rename one"
            )
        return names

    def _crops(self) -> CropTable:
        crops = sorted({view.crop for view in self.view_set.views})
        rules = [self.view_set.crop_rule(c) for c in crops]
        all_params = np.zeros((len(crops), PARAMS))
        for c, r in zip(crops, rules, strict=True):
            params = numbers_of(r)
            all_params[c, : len(params)] = params
        return CropTable(
            rule=np.array([r.rule for r in rules], np.int64),
            params=all_params,
            stream=np.array([stream(self.view_set.crop_stream(c)) for c in crops], U32),
            seed=np.array([-1 if r.seed is None else r.seed for r in rules], np.int64),
            fixed=np.array([r.fixed for r in rules], np.bool_),
            partner=np.array([self.view_set.crop_partner(c) for c in crops], np.int64),
        )

    def __call__(self, epoch: int, samples: np.ndarray, height: np.ndarray, width: np.ndarray) -> Plan:
        """Sample the plan of a batch of B samples.

        samples (B,) int64: their rows in the file.  height, width (B,): of their images in pixels.
        """
        n_views, n = len(self.view_set), len(samples)
        plan = Plan(
            np.empty((n_views, n, 4), F32),
            np.zeros((n_views, n, self.steps), np.uint8),
            np.zeros((n_views, n, self.steps, ARGS), U32),
            np.zeros((n_views, n), np.uint8),
        )
        batch = Samples(U32(self.seed), U32(epoch), samples, height, width)
        arrays = PlanArrays(plan.box, plan.strategy, plan.op, plan.numbers, plan.arg)
        state = np.empty(STATE, U32)
        sample_boxes(state, batch, self.views, self.crops, arrays.box, np.empty(4, F32))
        sample_programs(state, batch, self.views, self.ops, self.policies, self.owns, arrays)
        return plan


@jit(borrow=True)
def start(state, samples, b, stream_number, own_seed, fixed):
    """Set a random state to the first word of a stream of sample b; own_seed: in place of the run's, unless -1."""
    sample = samples.number[b]
    state[KEY_SEED] = samples.seed if own_seed < 0 else U32(own_seed)
    state[KEY_EPOCH] = U32(0) if fixed else samples.epoch
    state[SAMPLE_LOW], state[SAMPLE_HIGH] = U32(sample & 0xFFFFFFFF), U32(sample >> 32)
    state[STREAM], state[DRAW] = stream_number, U32(0)


@jit(borrow=True)
def sample_boxes(state, samples, views, crops, box, other):
    """Sample the boxes of a batch's views into box (V, B, 4) float32.

    samples: Samples.  views: ViewTable.  crops: CropTable.  Scratch: state (STATE,) uint32, other (4,) float32.
    """
    for v in range(views.crop.size):
        c, size = views.crop[v], views.size[v]
        p = crops.partner[c]
        for b in range(samples.number.size):
            height, width = samples.height[b], samples.width[b]
            # Views of one crop each sample its box anew, from equal random numbers: cheaper than storing it.
            if p >= 0:
                start(state, samples, b, crops.stream[p], crops.seed[p], crops.fixed[p])
                crop.draw(crops.rule[p], crops.params[p], state, height, width, size, other)
            start(state, samples, b, crops.stream[c], crops.seed[c], crops.fixed[c])
            if p >= 0:
                crop.draw_disjoint(crops.params[c], state, height, width, other, box[v, b])
            else:
                crop.draw(crops.rule[c], crops.params[c], state, height, width, size, box[v, b])


@jit(borrow=True)
def sample_programs(state, samples, views, ops, policies, owns, plan):
    """Sample the programs and strategies of a batch's views into plan (PlanArrays).

    samples: Samples.  views: ViewTable.  ops: OpTable.  policies: PolicyTable.  owns: own.table().
    Scratch: state (STATE,) uint32.
    """
    for v in range(ops.rule.shape[0]):
        for b in range(samples.number.size):
            s, which = ZERO, views.strategy[v]
            if which < 0:
                start(state, samples, b, views.strategy_stream[v], -1, NO)
                s = which = integer(state, ops.rule.shape[1])
            plan.strategy[v, b] = which
            op, arg, word = plan.op[v, b], plan.arg[v, b], plan.word[v, b]
            n = ZERO
            for i in range(ops.rule.shape[2]):
                rule = ops.rule[v, s, i]
                if rule == 0:
                    break
                start(state, samples, b, ops.stream[v, s, i], ops.seed[v, s, i], ops.fixed[v, s, i])
                if uniform(state, 0.0, 1.0) >= ops.p[v, s, i]:
                    continue
                params = ops.params[v, s, i]
                if rule == CHOOSE:
                    n = choose(params, policies, state, views.size[v], owns, op, arg, word, n)
                else:
                    n = program.draw(rule, params, state, views.size[v], owns, op, arg, word, n)


@jit(borrow=True)
def choose(params, policies, state, size, owns, op, arg, word, n):
    """Sample the policies of a Choose; write their steps from step n on -> the number of the next step."""
    for _ in range(int(params[2])):
        policy = int(params[0]) + integer(state, int(params[1]))
        for j in range(policies.start[policy], policies.start[policy + 1]):
            if uniform(state, 0.0, 1.0) < policies.p[j]:
                n = program.draw(policies.rule[j], policies.params[j], state, size, owns, op, arg, word, n)
    return n
