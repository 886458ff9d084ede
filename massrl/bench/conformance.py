"""How far every loss is from its equation in loops, in value and gradient, in one process and over two."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from massrl.bench.cases import CASES, SIZES, Case

WORLD, SEEDS = 2, 5
PATIENCE = 300  # seconds for the two processes
ROOT = Path(__file__).resolve().parents[2]
Found = tuple[Tensor, dict[str, Tensor]]  # value, and gradient by input


@dataclass
class Gap:
    """The largest difference seen so far: absolute, and relative to the largest entry of what was expected."""

    absolute: float = 0.0
    relative: float = 0.0

    def add(self, found: Tensor, expected: Tensor) -> None:
        gap, size = (float(x.abs().max()) for x in (found - expected, expected))
        relative = gap / size if size else (0.0 if gap == 0 else float("inf"))
        # max() would lose a NaN
        self.absolute = gap if gap > self.absolute or gap != gap else self.absolute
        self.relative = relative if relative > self.relative or relative != relative else self.relative


@dataclass
class Row:
    """A case and its gaps: to the equation in value and in gradient; of two processes to one, in both (None: not run).

    reference: the file that has the equation in loops.  within: whether all stay in the tolerance of the case.
    """

    name: str
    source: str
    equation: str
    reference: str
    value: Gap
    gradient: Gap
    processes: Gap | None
    within: bool = True


def measure(sizes: Sequence[tuple[int, int]] = SIZES, seeds: int = SEEDS, processes: bool = True) -> list[Row]:
    """Every case at each size (images, channels) and seed."""
    rows = []
    parts = over_processes(sizes, seeds) if processes else None
    for name, case in sorted(CASES.items()):
        file = Path(case.reference.__code__.co_filename).resolve().relative_to(ROOT).as_posix()
        row = Row(name, case.source, case.equation, file, Gap(), Gap(), Gap() if processes else None)
        rows.append(row)
        for size, seed in each(sizes, seeds):
            inputs = case.inputs(*size, seed)
            mine, equation = case.measure(case.loss, inputs), case.measure(case.reference, inputs)
            row.within &= compared(case, mine, equation, row.value, row.gradient)
            if parts is not None:
                together = mean_of(case, [part[name, size, seed] for part in parts])
                row.within &= compared(case, together, mine, row.processes, row.processes)
    return rows


def each(sizes: Iterable[tuple[int, int]], seeds: int) -> list[tuple[tuple[int, int], int]]:
    return [(tuple(size), seed) for size in sizes for seed in range(seeds)]


def compared(case: Case, found: Found, expected: Found, value: Gap, gradient: Gap) -> bool:
    """Add the differences to the gaps; whether all are within the tolerance of the case."""
    pairs = [(value, found[0], expected[0]), *((gradient, found[1][k], expected[1][k]) for k in case.learns)]
    for gap, a, b in pairs:
        gap.add(a, b)
    return all(torch.allclose(a, b, **case.tolerance) for _, a, b in pairs)


def mean_of(case: Case, parts: Sequence[Found]) -> Found:
    """Value and gradient of one step as DDP makes them of the processes' own: means."""
    grads = {}
    for key in case.learns:
        mine = [grad[key] for _, grad in parts]
        whole = torch.cat(mine, case.split[key]) if key in case.split else sum(mine)
        grads[key] = whole / len(parts)
    return sum(value for value, _ in parts) / len(parts), grads


def over_processes(sizes: Sequence[tuple[int, int]], seeds: int) -> list[dict]:
    """What each of two processes finds from its own half of the images: {(case, size, seed): value and gradient}."""
    with tempfile.TemporaryDirectory() as folder:
        return of_processes(_work, (folder, each(sizes, seeds)), Path(folder))


def of_processes(work: Callable, args: tuple, folder: Path) -> list[dict]:
    """What `work(rank, *args)` leaves as folder/RANK.pt in each of two processes; raises what one of them raised."""
    # Spawned: a fork of a process with threads can hang.
    running = mp.start_processes(work, args, nprocs=WORLD, join=False, start_method="spawn")
    try:
        deadline = time.monotonic() + PATIENCE
        while not running.join(timeout=5):  # true when both have ended
            if time.monotonic() > deadline:
                raise TimeoutError(f"the two processes did not end within {PATIENCE} s")
    finally:
        for process in running.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def _work(rank: int, folder: str, jobs: list[tuple[tuple[int, int], int]]) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # both are on this machine
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    found = {}
    for name, case in sorted(CASES.items()):
        for size, seed in jobs:
            mine = case.share(case.inputs(*size, seed), rank, WORLD)
            found[name, size, seed] = case.measure(case.on_ranks, mine)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def as_json(rows: Sequence[Row]) -> list[dict]:
    return [asdict(row) for row in rows]


def number(gap: Gap | None) -> str:
    return "" if gap is None else "0" if gap.absolute == 0 else f"{gap.absolute:.1e} ({gap.relative:.0e})"


def page(rows: Sequence[Row], sizes: Sequence[tuple[int, int]], seeds: int) -> str:
    """docs/conformance.md."""
    head = ["Loss", "Source", "Equation", "Reference", "Value", "Gradient", "Two processes"]
    cells = [
        [f"`{r.name}`", r.source, code(r.equation), f"[{Path(r.reference).name}](../{r.reference})"]
        + [number(gap) for gap in (r.value, r.gradient, r.processes)]
        for r in rows
    ]
    table = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *cells)]
    said = ", ".join(f"{B} x {D}" for B, D in sizes)
    return "\n".join([*INTRODUCTION, f"Sizes (images x channels): {said}; seeds 0 to {seeds - 1}.", "", *table, ""])


def code(text: str) -> str:
    """As code in a cell of a Markdown table."""
    return f"`{text.replace('|', chr(92) + '|')}`"


INTRODUCTION = (
    "# Every loss beside its equation",
    "",
    "Each loss of `massrl.losses` is held against its equation written out in loops over images and pairs, which",
    "shares no code with it; `massrl/bench/cases` has one file a loss, and a file added there is compared, tested and",
    "listed here. This page is written by",
    "",
    "```bash",
    "massrl bench conformance --out docs/conformance.md",
    "```",
    "",
    "All in float64. **Value**, **Gradient**: the largest difference between loss and equation, over all entries of",
    "the gradient by every input that learns; in brackets relative to the largest entry of what the equation gives.",
    "**Two processes**: the same between two processes with half of the images each, gradients averaged as DDP does,",
    "and one process with all of them. A test fails where a difference leaves the tolerance of its case (relative",
    "1e-10, where none is stated), and where this page and the cases disagree.",
    "",
)
