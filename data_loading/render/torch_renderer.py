"""Render the views that a plan describes from image tensors on any device, with torch only.

Step k of all programs runs at once for all views whose step k has the same code, whatever their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from data_loading.errors import ViewError
from data_loading.ops import normalize, resize
from data_loading.ops.normalize import Normalize
from data_loading.ops.step import END, KEY, STEPS
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet


@torch.no_grad()
def render(view_set: ViewSet, images: Tensor, plan: Plan, normalise: Normalize | None = None) -> list[Tensor]:
    """Render the views of images (B, 3, H, W) in 0..255, of any dtype and device -> V tensors (B, 3, S, S) float32.

    The views are in the view set's order; those of one size are slices of one tensor. normalise: None keeps 0..255.
    plan: of B samples of that height and width. ViewError for a plan of another shape, or with a user's own op, which
    has no form for tensors. Autocast is switched off: half precision would round the colours.
    """
    if plan.box.shape[:2] != (len(view_set), len(images)):
        raise ViewError(f"the plan is one of {plan.box.shape[:2]} views and samples, not of this view set and batch")
    out: list[Tensor | None] = [None] * len(view_set)
    with torch.autocast(images.device.type, enabled=False):
        for size, members in view_set.groups():
            x = torch.cat([_crop(view_set, images, plan, v, size) for v in members])  # (V*B, 3, S, S)
            x = run(x, plan.op[members].reshape(len(x), -1), plan.arg[members].reshape(len(x), *plan.arg.shape[2:]))
            if normalise is not None:
                x = normalize.tensor(x, normalise.mean, normalise.std)
            for v, view in zip(members, x.chunk(len(members)), strict=True):
                out[v] = view
    return out


def _crop(view_set: ViewSet, images: Tensor, plan: Plan, v: int, size: int) -> Tensor:
    edge = view_set.crop_rule(view_set.views[v].crop).edge
    boxes = torch.from_numpy(plan.box[v])
    if images.device.type != "mps":  # mps has no float64, which the weights are computed in
        boxes = boxes.to(images.device)
    return resize.tensor(images, boxes, (size, size), edge, view_set.interpolation == "bicubic")


def run(x: Tensor, op: np.ndarray, word: np.ndarray) -> Tensor:
    """Run programs on images x (N, 3, H, W) in 0..255, in place; op (N, K) and word (N, K, ARGS) as in a Plan."""
    last = np.zeros_like(op[:, 0])
    for k in range(op.shape[1]):
        following = op[:, k + 1] if k + 1 < op.shape[1] else np.zeros_like(last)
        for code, joined, rows in _alike(op[:, k], following, last):
            at = torch.from_numpy(rows).to(x.device)
            numbers = _numbers(code, word[rows, k], x.device)
            if joined:
                numbers += _numbers(STEPS[code].joins, word[rows, k - 1], x.device)
            x.index_copy_(0, at, STEPS[code].tensor(x[at], *numbers))
        last = op[:, k]
    return x


def _alike(op: np.ndarray, following: np.ndarray, last: np.ndarray) -> Iterator[tuple[int, bool, np.ndarray]]:
    """Group the steps op (N,) of N programs -> (code, whether the step before joins, int64 indices of the programs).

    last, following (N,): codes of the steps before and after. A step joined by the following one (Step.joins) is
    omitted: the following step does its work. ViewError for a step without a form for tensors.
    """
    for code in np.unique(op[op != END]).tolist():
        step = STEPS[code]
        if step.tensor is None:
            raise ViewError(f"the op {step.name} has no form for tensors; leave it out, or use a Loader to render it")
        joining = [other.code for other in STEPS.values() if other.joins == code]
        has = (op == code) & ~np.isin(following, joining)
        before = (last == step.joins) & (step.joins != END)
        for joined in (False, True):
            rows = np.flatnonzero(has & (before == joined))
            if rows.size:
                yield code, joined, rows


def _numbers(code: int, words: np.ndarray, device: torch.device) -> list[Tensor]:
    """The numbers among words (n, ARGS) uint32 of n steps, each (n,): float32, or int64 for a key's word."""
    columns = [
        words[:, i].astype(np.int64) if name == KEY else words[:, i].copy().view(np.float32)
        for i, name in enumerate(STEPS[code].numbers)
    ]
    return [torch.from_numpy(column).to(device) for column in columns]
