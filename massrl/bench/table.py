"""Text tables of the results of `massrl bench`."""

from __future__ import annotations

from collections.abc import Sequence

from massrl.bench import conformance as _conformance
from massrl.bench import methods as _methods
from massrl.bench import peers as _peers
from massrl.bench.conformance import number
from massrl.evaluation.table import aligned


def conformance(rows: Sequence[_conformance.Row]) -> str:
    """One line per case: largest differences, in brackets relative to the largest entry of the expected tensor."""
    head = ["largest difference", "value", "gradient", "two processes"]
    cells = [[r.name, *(number(gap) for gap in (r.value, r.gradient, r.processes))] for r in rows]
    return aligned([head, *cells])


def methods(results: Sequence[_methods.Result]) -> str:
    """One line per method; accuracies in per cent."""
    head = [
        "on digits",
        "loss: start",
        "end",
        "1 label/class: before",
        "after",
        "rank",
        "z_std",
        "steps",
        "outside backbone",
    ]
    cells = [
        [r.method, f"{r.loss_start:.3f}", f"{r.loss_end:.3f}", f"{100 * r.linear_1_before:.1f}"]
        + [f"{100 * r.linear_1_after:.1f}", f"{r.rank:.1f}", f"{r.z_std:.3f}", str(r.steps), _overhead(r)]
        for r in results
    ]
    measured = [r.more for r in results if r.more]
    if not measured:
        return aligned([head, *cells])
    m = measured[0]
    foot = (
        f"outside backbone: share of a step's time; ResNet-18, views of {m['overhead_views']['size']} pixels, batch "
        f"{m['overhead_batch']}, {m['overhead_precision']}, heads at most {m['overhead_widest_head']} wide, on "
        f"{m['overhead_device']}"
    )
    return f"{aligned([head, *cells])}\n{foot}"


def _overhead(r: _methods.Result) -> str:
    """Overhead in per cent with its 95 % interval; "" if not measured."""
    if r.step_overhead is None:
        return ""
    low, high = r.more["step_overhead_interval"]
    return f"{100 * r.step_overhead:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def peers(rows: Sequence[_peers.Row]) -> str:
    """One line per loss; a ratio above 1 means that ours is faster."""
    head = [
        "loss, forward and backward",
        "inputs",
        "ours, ms",
        f"{rows[0].peer}, ms",
        "ours is faster by",
        "values differ by",
    ]
    cells = [
        [r.name, r.shape, f"{r.ms:.2f}", f"{r.peer_ms:.2f}", f"{r.ratio:.2f} x [{r.low:.2f}, {r.high:.2f}]"]
        + [f"{r.difference:.0e}"]
        for r in rows
    ]
    return aligned([head, *cells])
