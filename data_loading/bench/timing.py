"""Timing: interleaved rounds of all peers on the same images, medians, and ratios with bootstrap intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_loading.bench.peers import BASELINE, BOUND, OURS
from data_loading.bench.process import PeerProcess
from data_loading.bench.works import Work
from data_loading.errors import ConfigError
from data_loading.kernel.jit import is_cold

COMPILING = "compiling the kernels of data_loading before the clock starts; this happens once"
LEAST_BATCHES = 2  # timed, of each worker in each round
# A peer hangs that takes longer: to open, FIRST_S and then 1 s an image; later, FIRST_S and PATIENCE times as long an
# image as before.
FIRST_S, PATIENCE = 120.0, 20


@dataclass
class Settings:
    """rounds: of each peer.  images: of the file, at most.  seconds: about how long a round takes, of any peer."""

    rounds: int = 9
    images: int = 500
    batch_size: int = 32
    seconds: float = 1.5
    pythons: Mapping[str, str] = field(default_factory=dict)  # peer -> interpreter of its environment

    def __post_init__(self):
        for what in ("rounds", "images", "batch_size"):
            if getattr(self, what) < 1:
                raise ConfigError(f"{what} is {getattr(self, what)}; it must be at least 1")
        if not self.seconds > 0:
            raise ConfigError(f"seconds is {self.seconds}; a round takes more than none")


@dataclass
class Row:
    """One peer at one work: rates in images/s, one a round; first_batch_s in s, peak_mb in 10^6 bytes."""

    work: str
    peer: str
    workers: int
    rates: np.ndarray
    first_batch_s: float
    peak_mb: float | None

    @property
    def images_per_s(self) -> float:
        return float(np.median(self.rates))

    @property
    def spread(self) -> float:
        """The middle half of the rounds, from its lowest to its highest, images/s."""
        low, high = np.quantile(self.rates, [0.25, 0.75])
        return float(high - low)


def ratio(a: np.ndarray, b: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """Median of a / b, round by round, and its 95 % bootstrap interval; a, b float64 (rounds,)."""
    return median(a / b, draws)


def median(each: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """Median of one number a round, float64 (rounds,), and its 95 % bootstrap interval."""
    again = np.random.default_rng(0).integers(0, len(each), (draws, len(each)))
    low, high = np.quantile(np.median(each[again], axis=1), [0.025, 0.975])
    return float(np.median(each)), float(low), float(high)


class Running:
    """A peer that is warm: its process, how many images a round takes, and where in the images the next one starts."""

    def __init__(self, work: Work, peer: str, workers: int, file: str, rows: Sequence[int], settings: Settings):
        self.work, self.peer, self.workers, self.rows, self.batch = work, peer, workers, rows, settings.batch_size
        self.process = PeerProcess(peer, settings.pythons.get(peer))
        self.rates: list[float] = []
        self.at = 0
        try:
            few = self._next(self.batch * (workers + 3 + LEAST_BATCHES * workers))
            opening = {"peer": peer, "work": work.name, "file": file, "batch_size": self.batch, "workers": workers}
            start = time.perf_counter()
            answer, self.peak_mb = self.process.ask_watched("open", FIRST_S + len(few), **opening, rows=few)
            self.per_image = (time.perf_counter() - start) / len(few)  # s
            self.able = not answer.get("cannot", False)
            if self.able:
                self.first_batch_s, untimed = answer["first_batch_s"], answer["untimed"]
                self.length = len(few)
                for _ in range(2):  # the first guess is of a short round
                    rate = self._time()
                    timed = max(LEAST_BATCHES * workers, round(rate * settings.seconds / self.batch))
                    self.length = self.batch * (untimed + timed)
        except BaseException:
            self.process.close()
            raise

    def _next(self, n: int) -> list[int]:
        """The next n rows, round and round, so that slow peers too meet all images in the end."""
        rows = np.take(self.rows, np.arange(self.at, self.at + n), mode="wrap")
        self.at += n
        return rows.tolist()

    def _time(self) -> float:
        within = FIRST_S + PATIENCE * self.per_image * self.length
        answer = self.process.ask("run", within, rows=self._next(self.length))
        self.per_image = answer["seconds"] / answer["images"]
        return answer["images"] / answer["seconds"]

    def round(self) -> None:
        self.rates.append(self._time())

    def row(self) -> Row:
        rates = np.array(self.rates)
        return Row(self.work.name, self.peer, self.workers, rates, self.first_batch_s, self.peak_mb)


def measure(
    work: Work,
    file: str,
    rows: Sequence[int],
    peers: Sequence[str],
    workers: Sequence[int],
    settings: Settings,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Rounds of all peers, with each number of workers, one after the other; `rows` of the file, in a fixed order.

    A peer that fails is left out with a word; ours failing is an error.
    """
    running: list[Running] = []
    if OURS in peers and is_cold():
        say(COMPILING)
        Running(work, OURS, 1, file, rows, settings).process.close()
    try:
        for peer in peers:
            for n in workers:
                try:
                    one = Running(work, peer, n, file, rows, settings)
                except Exception as error:
                    if peer == OURS:
                        raise
                    say(f"{work.name}: {error}")
                    break
                if not one.able:
                    one.process.close()
                    break
                running.append(one)
        for r in range(settings.rounds):
            for one in np.roll(np.array(running, object), r):  # each place in the order falls to each peer
                try:
                    one.round()
                except Exception as error:
                    if one.peer == OURS:
                        raise
                    say(f"{work.name}: {error}")
                    running.remove(one)
                    one.process.close()
        return [one.row() for one in running]
    finally:
        for one in running:
            one.process.close()


def find(rows: Sequence[Row], row: Row, peer: str) -> Row | None:
    """The row of another peer at the same work with as many workers."""
    same = [r for r in rows if (r.work, r.workers, r.peer) == (row.work, row.workers, peer)]
    return same[0] if same else None


def fastest_peer(rows: Sequence[Row], row: Row) -> Row | None:
    """The fastest row of another library at the same work with as many workers."""
    same = [r for r in rows if (r.work, r.workers) == (row.work, row.workers) and r.peer not in (OURS, BOUND)]
    return max(same, key=lambda r: r.images_per_s, default=None)


def as_json(rows: Sequence[Row]) -> list[dict]:
    """The table as plain values; ratios carry their 95 % intervals, rates of every round are kept."""
    out = []
    for row in rows:
        entry = {
            "work": row.work,
            "peer": row.peer,
            "workers": row.workers,
            "images_per_s": round(row.images_per_s, 2),
            "spread": round(row.spread, 2),
            "ratio_to_torchvision": None,
            "first_batch_s": round(row.first_batch_s, 3),
            "peak_mb": None if row.peak_mb is None else round(row.peak_mb, 1),
        }
        fastest = fastest_peer(rows, row)
        for what, other in (("torchvision", find(rows, row, BASELINE)), ("fastest_peer", fastest)):
            if other is not None:
                middle, low, high = ratio(row.rates, other.rates)
                entry[f"ratio_to_{what}"] = round(middle, 3)
                entry[f"ratio_to_{what}_interval"] = [round(low, 3), round(high, 3)]
        entry["fastest_peer"] = fastest.peer if fastest else None
        entry["rounds"] = [round(float(rate), 2) for rate in row.rates]
        out.append(entry)
    return out


def table(rows: Sequence[Row]) -> str:
    """The rows as text; `x` is the ratio of medians round by round, with its 95 % interval."""
    head = ("work", "peer", "workers", "images/s", "spread", "x torchvision", "massrl is x", "first batch s", "peak MB")
    lines = [head]
    for row in rows:
        ours, base = find(rows, row, OURS), find(rows, row, BASELINE)
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        lines.append(
            (
                row.work,
                row.peer,
                str(row.workers),
                short(row.images_per_s),
                short(row.spread),
                _with_interval(row, base),
                _with_interval(ours, row) if row is not ours else "",
                f"{row.first_batch_s:.2f}",
                memory,
            )
        )
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of as many words each as text, in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(f"{w:<{n}}" for w, n in zip(line, widths, strict=True)).rstrip() for line in lines)


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the table says of ours: beside lightly first, then torchvision and the fastest peer; and of two workers."""
    said = []
    for row in rows:
        if row.peer != OURS:
            continue
        parts = []
        fastest = fastest_peer(rows, row)
        for name, other in (
            ("lightly", find(rows, row, "lightly")),
            ("torchvision", find(rows, row, BASELINE)),
            (f"the fastest peer ({fastest.peer})" if fastest else "", fastest),
        ):
            if other is not None:
                parts.append(f"{_with_interval(row, other)} x {name}")
        bound = find(rows, row, BOUND)
        if bound is not None:
            parts.append(f"{100 * ratio(row.rates, bound.rates)[0]:.0f} % of decoding alone")
        one = next((r for r in rows if (r.work, r.peer, r.workers) == (row.work, OURS, 1)), None)
        if one is not None and row.workers > 1:
            parts.append(f"{_with_interval(row, one)} x one worker")
        if parts:
            said.append(f"{row.work}, {row.workers} worker{'s' * (row.workers > 1)}: massrl is {', '.join(parts)}")
    return said


def _with_interval(row: Row | None, other: Row | None) -> str:
    if row is None or other is None:
        return ""
    middle, low, high = ratio(row.rates, other.rates)
    return f"{short(middle)} [{short(low)}, {short(high)}]"


def short(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
