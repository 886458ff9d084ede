"""What was measured of the ops, as plain values, as a table, and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_loading.bench.ops import PEERS, SIMCLR, Row
from data_loading.bench.peers import OURS
from data_loading.bench.timing import aligned, median, ratio, short


def as_json(rows: Sequence[Row]) -> list[dict]:
    """The rows as plain values; intervals are of 95 %. Ours has no difference from itself, and tells the whole view."""
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
    """The one of the peers that takes the least time for a case."""
    found = [row for row in rows if row.case is ours.case and row.peer in peers]
    return min(found, key=lambda row: row.us_per_image, default=None)


def times(ours: Row, other: Row | None) -> str:
    """How many times as long as ours another takes, with its interval; at least so many where ours may be nothing."""
    if other is None:
        return ""
    _, low, high = median(ours.us)
    if low > 0:
        return "{} [{}, {}]".format(*map(short, ratio(other.us, ours.us)))
    return f"over {short(other.us_per_image / high)}" if high > 0 else "ours costs nothing"


def table(rows: Sequence[Row]) -> str:
    """A line a case: microseconds an image, how many times as long the fastest peer takes, and mean/max differences."""
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
    """Whether an op of SimCLR's family costs more in a view of ours than the fastest peer takes for it; sentences."""
    said, held = [], []
    for ours in (row for row in rows if row.peer == OURS and row.case.op in SIMCLR):
        peer = fastest(rows, ours)
        if peer is None:
            continue
        _, low, high = median(peer.us - ours.us)  # of what is saved
        if low >= 0:
            held.append(ours.case.name)
            continue
        words = f"{ours.case.name} costs {short(ours.us_per_image)} us inside a view, "
        words += "more than" if high < 0 else "as much, within its interval, as"
        words += f" {peer.peer} takes alone, {short(peer.us_per_image)}"
        if peer.peer in ours.case.differs:
            words += f" ({ours.case.differs[peer.peer]})"
            same = fastest(rows, ours, [name for name in PEERS if name not in ours.case.differs])
            words += f"; of those that make the same, {same.peer} takes {short(same.us_per_image)}" if same else ""
        said.append(f"SimCLR's family: {words}")
    if held:
        said.insert(0, f"SimCLR's family: inside a view no more than the fastest peer takes alone: {'; '.join(held)}")
    return said


def notes(rows: Sequence[Row]) -> list[str]:
    """What the peers do otherwise by design, and where; a sentence each."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.peer in row.case.differs:
            where.setdefault((row.peer, row.case.differs[row.peer]), []).append(row.case.name)
    return [f"{peer} {what}: {'; '.join(names)}" for (peer, what), names in where.items()]
