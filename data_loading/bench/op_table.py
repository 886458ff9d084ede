"""The measurements of the ops as plain values, as a text table, and as a summary in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_loading.bench.ops import PEERS, SIMCLR, Row
from data_loading.bench.peers import OURS
from data_loading.bench.text_table import aligned, short
from data_loading.bench.timing import median, ratio


def as_json(rows: Sequence[Row]) -> list[dict]:
    """The rows as plain values: microseconds per image with 95 % intervals, differences in levels of 255.

    Our rows have no difference; they have the time of the whole view, `view_us_per_image`, instead.
    """
    out = []
    for row in rows:
        middle, low, high = median(row.us)
        entry = {
            "op": row.case.name,
            "peer": row.peer,
            "us_per_image": round(middle, 2),
            "mean_diff": round(row.difference.mean, 4) if row.difference else None,
            "max_diff": row.difference.max if row.difference else None,
            "interval": [round(low, 2), round(high, 2)],
        }
        if row.view_us is not None:
            entry["view_us_per_image"] = round(float(np.median(row.view_us)), 2)
        out.append(entry)
    return out


def fastest(rows: Sequence[Row], ours: Row, peers: Sequence[str] = PEERS) -> Row | None:
    """The row of the peer that takes the least time for the case of `ours`; None if no peer has the op."""
    found = [row for row in rows if row.case is ours.case and row.peer in peers]
    return min(found, key=lambda row: row.us_per_image, default=None)


def times(ours: Row, other: Row | None) -> str:
    """The other's time divided by ours, with its 95 % interval; "over x" where our interval includes zero."""
    if other is None:
        return ""
    _, low, high = median(ours.us)
    if low > 0:
        return "{} [{}, {}]".format(*map(short, ratio(other.us, ours.us)))
    return f"over {short(other.us_per_image / high)}" if high > 0 else "ours costs nothing"


def table(rows: Sequence[Row]) -> str:
    """One line per case: microseconds per image, the fastest peer's time divided by ours, mean / max differences."""
    head = ["op", OURS, "95 %", "of a view", *PEERS, f"fastest / {OURS}", *(f"diff. {peer}" for peer in PEERS)]
    lines = [head]
    for ours in (row for row in rows if row.peer == OURS):
        found = {row.peer: row for row in rows if row.case is ours.case and row.peer != OURS}
        middle, low, high = map(short, median(ours.us))
        line = [ours.case.name, middle, f"[{low}, {high}]", short(float(np.median(ours.view_us)))]
        line += [short(found[peer].us_per_image) if peer in found else "" for peer in PEERS]
        line += [times(ours, fastest(rows, ours))]
        apart = [found[peer].difference if peer in found else None for peer in PEERS]
        line += [f"{d.mean:.2f} / {d.max}" if d else "" for d in apart]
        lines.append(line)
    return aligned(lines)


def verdict(rows: Sequence[Row]) -> list[str]:
    """Sentences: which ops of SimCLR cost more inside one of our views than the fastest peer takes for the op alone."""
    said, held = [], []
    for ours in (row for row in rows if row.peer == OURS and row.case.op in SIMCLR):
        peer = fastest(rows, ours)
        if peer is None:
            continue
        _, low, high = median(peer.us - ours.us)  # of the time saved
        if low >= 0:
            held.append(ours.case.name)
            continue
        words = f"{ours.case.name} costs {short(ours.us_per_image)} us inside a view, "
        words += "more than" if high < 0 else "as much, within its interval, as"
        words += f" {peer.peer} takes alone, {short(peer.us_per_image)}"
        if peer.peer in ours.case.differs:
            words += f" ({ours.case.differs[peer.peer]})"
            same = fastest(rows, ours, [name for name in PEERS if name not in ours.case.differs])
            words += f"; of those with equal pixels, {same.peer} takes {short(same.us_per_image)}" if same else ""
        said.append(f"SimCLR's family: {words}")
    if held:
        said.insert(0, f"SimCLR's family: inside a view no more than the fastest peer takes alone: {'; '.join(held)}")
    return said


def notes(rows: Sequence[Row]) -> list[str]:
    """One line for each way in which a peer differs by design, with the cases that it concerns."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.peer in row.case.differs:
            where.setdefault((row.peer, row.case.differs[row.peer]), []).append(row.case.name)
    return [f"{peer} {what}: {'; '.join(names)}" for (peer, what), names in where.items()]
