"""Timing: alternating rounds of all peers on the same images, medians, and ratios with bootstrap intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_loading.bench.peers import BASELINE, BOUND, OURS
from data_loading.bench.process import PeerProcess
from data_loading.bench.text_table import aligned, short
from data_loading.bench.works import Work
from data_loading.errors import ConfigError
from data_loading.kernel.jit import is_cold

COMPILING = "compiling the kernels of data_loading before the clock starts; this happens once"
LEAST_BATCHES = 2  # timed batches per worker and round, at least
# A peer counts as hung if opening takes more than FIRST_S + 1 s per image, or a round more than FIRST_S + PATIENCE
# times as long per image as the round before.
FIRST_S, PATIENCE = 120.0, 20
COMPILING_S = 900.0  # in place of FIRST_S where our kernels are compiled; a busy machine takes minutes


MOST = {"rounds": 10_000, "images": 10_000_000, "batch_size": 16_384}
MOST_SECONDS = 3600  # of a round


@dataclass
class Settings:
    """Settings shared by all peers; ConfigError for a number out of range.

    rounds: of each peer, at least 1.  images: of the file, at most.  batch_size: images of a batch.
    seconds: about how long a round of any peer takes; slow peers see fewer images in it.
    pythons: peer -> path of the interpreter of its own environment.
    """

    rounds: int = 9
    images: int = 500
    batch_size: int = 32
    seconds: float = 1.5
    pythons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for what, most in MOST.items():
            if not 1 <= getattr(self, what) <= most:
                raise ConfigError(f"{what} is {getattr(self, what)}; it must be an integer from 1 to {most:,}")
        if not 0 < self.seconds <= MOST_SECONDS:
            raise ConfigError(f"seconds is {self.seconds}; it must be above 0, and at most {MOST_SECONDS:,}")


@dataclass
class Row:
    """The measurements of one peer at one work.

    rates: float64 (rounds,), images/s.  first_batch_s: seconds from building the loader to its first batch.
    peak_mb: peak memory while it warms up, 10^6 bytes; None if unknown.
    """

    work: str
    peer: str
    workers: int
    rates: np.ndarray
    first_batch_s: float
    peak_mb: float | None

    @property
    def images_per_s(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.rates))

    @property
    def spread(self) -> float:
        """Interquartile range of the rounds, images/s."""
        low, high = np.quantile(self.rates, [0.25, 0.75])
        return float(high - low)


def ratio(a: np.ndarray, b: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """(median, low, high) of a / b round by round, with a 95 % bootstrap interval; a, b: float64 (rounds,)."""
    return median(a / b, resamples)


def median(each: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """(median, low, high) of one number per round, float64 (rounds,), with a 95 % bootstrap interval."""
    rounds = np.random.default_rng(0).integers(0, len(each), (resamples, len(each)))
    low, high = np.quantile(np.median(each[rounds], axis=1), [0.025, 0.975])
    return float(np.median(each)), float(low), float(high)


class Running:
    """A peer's process that has been opened and warmed up, and the rates of its rounds so far.

    file: path of a .beton file.  rows: the images to use, in their order; a round begins where the last one ended.
    able: whether the library offers the work; if not, nothing has been timed.  rates: images/s, one per round.
    Raises UserError if the peer fails or hangs while it warms up.
    """

    def __init__(
        self,
        work: Work,
        peer: str,
        workers: int,
        file: str | list[str],
        rows: Sequence[int],
        settings: Settings,
        first_s: float = FIRST_S,
    ):
        self.work, self.peer, self.workers, self.rows, self.batch = work, peer, workers, rows, settings.batch_size
        self.process = PeerProcess(peer, settings.pythons.get(peer))
        self.rates: list[float] = []
        self.at = 0
        try:
            few = self._next(self.batch * (workers + 3 + LEAST_BATCHES * workers))
            opening = {"peer": peer, "work": work.name, "file": file, "batch_size": self.batch, "workers": workers}
            start = time.perf_counter()
            answer, self.peak_mb = self.process.ask_watched("open", first_s + len(few), **opening, rows=few)
            self.per_image = (time.perf_counter() - start) / len(few)  # s
            self.able = not answer.get("cannot", False)
            if self.able:
                self.first_batch_s, untimed = answer["first_batch_s"], answer["untimed"]
                self.length = len(few)
                for _ in range(2):  # twice: the first estimate comes from a short round
                    rate = self._time()
                    timed = max(LEAST_BATCHES * workers, round(rate * settings.seconds / self.batch))
                    self.length = self.batch * (untimed + timed)
        except BaseException:
            self.process.close()
            raise

    def _next(self, n: int) -> list[int]:
        """The next n rows; after the last row it starts over, so that slow peers too see all images."""
        rows = np.take(self.rows, np.arange(self.at, self.at + n), mode="wrap")
        self.at += n
        return rows.tolist()

    def _time(self) -> float:
        """Run one round and return images/s."""
        within = FIRST_S + PATIENCE * self.per_image * self.length
        answer = self.process.ask("run", within, rows=self._next(self.length))
        self.per_image = answer["seconds"] / answer["images"]
        return answer["images"] / answer["seconds"]

    def round(self) -> None:
        """Time one round and keep its rate."""
        self.rates.append(self._time())

    def row(self) -> Row:
        """The measurements so far."""
        rates = np.array(self.rates)
        return Row(self.work.name, self.peer, self.workers, rates, self.first_batch_s, self.peak_mb)


def measure(
    work: Work,
    file: str | list[str],
    rows: Sequence[int],
    peers: Sequence[str],
    workers: Sequence[int],
    settings: Settings,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Time all peers at one work, with each number of workers, in alternating rounds.

    file: path of a .beton file, a pattern, or a list of files.  rows: of the images to use, in a fixed order.
    say: prints a line.
    A peer that fails or hangs is left out and `say` gets the reason; if our own loader fails, its error is raised.
    """
    running: list[Running] = []
    if OURS in peers and is_cold():
        say(COMPILING)
        Running(work, OURS, 1, file, rows, settings, COMPILING_S).process.close()
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
            for one in np.roll(np.array(running, object), r):  # each round begins with another peer
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
    """The row of `peer` at the work and number of workers of `row`; None if there is none."""
    same = [r for r in rows if (r.work, r.workers, r.peer) == (row.work, row.workers, peer)]
    return same[0] if same else None


def fastest_peer(rows: Sequence[Row], row: Row) -> Row | None:
    """The fastest other library at the work and number of workers of `row`; None if there is none."""
    same = [r for r in rows if (r.work, r.workers) == (row.work, row.workers) and r.peer not in (OURS, BOUND)]
    return max(same, key=lambda r: r.images_per_s, default=None)


def as_json(rows: Sequence[Row]) -> list[dict]:
    """The rows as plain values: rates in images/s, ratios with their 95 % intervals, and the rates of all rounds."""
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
    """The rows as text; a ratio is the median of the rounds' ratios, with its 95 % interval."""
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


def sentences(rows: Sequence[Row]) -> list[str]:
    """One line per work: our loader compared with lightly, torchvision, the fastest peer and decoding alone."""
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
