"""Compare every loss with its reference in loops, in value and gradient, and two processes with one."""

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
TIMEOUT = 300  # seconds for the two processes
ROOT = Path(__file__).resolve().parents[2]
Measured = tuple[Tensor, dict[str, Tensor]]  # value, and {input name: gradient}


@dataclass
class Gap:
    """The largest difference so far: absolute, and relative to the largest entry of the expected tensor."""

    absolute: float = 0.0
    relative: float = 0.0

    def add(self, actual: Tensor, expected: Tensor) -> None:
        """Take the difference of two tensors of one shape into account; NaN counts as largest."""
        gap, size = (float(x.abs().max()) for x in (actual - expected, expected))
        relative = gap / size if size else (0.0 if gap == 0 else float("inf"))
        # max() can drop a NaN
        self.absolute = gap if gap > self.absolute or gap != gap else self.absolute
        self.relative = relative if relative > self.relative or relative != relative else self.relative


@dataclass
class Row:
    """Result of one case.

    value, gradient: differences of the loss from its reference.  processes: differences of two processes from one, of
    value and gradient together; None if not run.  reference: path of the reference's file in the repository.
    within: whether all differences are within the tolerance of the case.
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
    """Measure every case at each size (images B, channels D; B even) and each seed in 0..seeds-1.

    processes: also compare two processes with one. Returns one row per case, sorted by name.
    """
    rows = []
    parts = over_processes(sizes, seeds) if processes else None
    for name, case in sorted(CASES.items()):
        file = Path(case.reference.__code__.co_filename).resolve().relative_to(ROOT).as_posix()
        row = Row(name, case.source, case.equation, file, Gap(), Gap(), Gap() if processes else None)
        rows.append(row)
        for size, seed in each(sizes, seeds):
            inputs = case.inputs(*size, seed)
            ours, expected = case.measure(case.loss, inputs), case.measure(case.reference, inputs)
            row.within &= compare(case, ours, expected, row.value, row.gradient)
            if parts is not None:
                together = mean_of(case, [part[name, size, seed] for part in parts])
                row.within &= compare(case, together, ours, row.processes, row.processes)
    return rows


def each(sizes: Iterable[tuple[int, int]], seeds: int) -> list[tuple[tuple[int, int], int]]:
    """All pairs (size, seed)."""
    return [(tuple(size), seed) for size in sizes for seed in range(seeds)]


def compare(case: Case, actual: Measured, expected: Measured, value: Gap, gradient: Gap) -> bool:
    """Add the differences to the two gaps; return whether all are within the tolerance of the case."""
    pairs = [(value, actual[0], expected[0]), *((gradient, actual[1][k], expected[1][k]) for k in case.learns)]
    for gap, a, b in pairs:
        gap.add(a, b)
    return all(torch.allclose(a, b, **case.tolerance) for _, a, b in pairs)


def mean_of(case: Case, parts: Sequence[Measured]) -> Measured:
    """Combine the results of the processes as DDP does: the mean value, and the mean of the gradients."""
    grads = {}
    for key in case.learns:
        own = [grad[key] for _, grad in parts]
        whole = torch.cat(own, case.split[key]) if key in case.split else sum(own)
        grads[key] = whole / len(parts)
    return sum(value for value, _ in parts) / len(parts), grads


def over_processes(sizes: Sequence[tuple[int, int]], seeds: int) -> list[dict]:
    """Results of two processes, each with half of the images: for each, {(case name, size, seed): Measured}."""
    with tempfile.TemporaryDirectory() as folder:
        return of_processes(_work, (folder, each(sizes, seeds)), Path(folder))


def of_processes(work: Callable, args: tuple, folder: Path) -> list[dict]:
    """Run `work(rank, *args)` in two processes and load the file folder/RANK.pt that each writes.

    Raises the exception of a process that failed, and TimeoutError after TIMEOUT seconds.
    """
    # spawn: forking a process that has threads can deadlock
    running = mp.start_processes(work, args, nprocs=WORLD, join=False, start_method="spawn")
    try:
        deadline = time.monotonic() + TIMEOUT
        while not running.join(timeout=5):  # True when both have ended
            if time.monotonic() > deadline:
                raise TimeoutError(f"the two processes did not end within {TIMEOUT} s")
    finally:
        for process in running.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def _work(rank: int, folder: str, jobs: list[tuple[tuple[int, int], int]]) -> None:
    """One of two processes: measure every case on this rank's half of the images, and save the results."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # both processes are on this machine
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    results = {}
    for name, case in sorted(CASES.items()):
        for size, seed in jobs:
            own = case.share(case.inputs(*size, seed), rank, WORLD)
            results[name, size, seed] = case.measure(case.on_ranks, own)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def as_json(rows: Sequence[Row]) -> list[dict]:
    """Rows as JSON values."""
    return [asdict(row) for row in rows]


def number(gap: Gap | None) -> str:
    """A gap as text: "absolute (relative)", "0", or "" if it was not measured."""
    return "" if gap is None else "0" if gap.absolute == 0 else f"{gap.absolute:.1e} ({gap.relative:.0e})"


def page(rows: Sequence[Row], sizes: Sequence[tuple[int, int]], seeds: int) -> str:
    """The Markdown text of docs/conformance.md."""
    head = ["Loss", "Source", "Equation", "Reference", "Value", "Gradient", "Two processes"]
    cells = [
        [f"`{r.name}`", r.source, code(r.equation), f"[{Path(r.reference).name}](../{r.reference})"]
        + [number(gap) for gap in (r.value, r.gradient, r.processes)]
        for r in rows
    ]
    table = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *cells)]
    text = ", ".join(f"{B} x {D}" for B, D in sizes)
    return "\n".join([*INTRODUCTION, f"Sizes (images x channels): {text}; seeds 0 to {seeds - 1}.", "", *table, ""])


def code(text: str) -> str:
    """Inline code for a cell of a Markdown table, with | escaped."""
    return f"`{text.replace('|', chr(92) + '|')}`"


INTRODUCTION = (
    "# Every loss against its equation",
    "",
    "Each loss of `massrl.losses` is compared with a reference: its equation in loops over images and pairs, which",
    "shares no code with the loss. `massrl/bench/cases` has one file per loss; a file added there is compared, tested",
    "and listed here. This command writes the page:",
    "",
    "```bash",
    "massrl bench conformance --out docs/conformance.md",
    "```",
    "",
    "All numbers are float64. **Value** and **Gradient** are the largest absolute difference between loss and",
    "reference, for the gradient over all entries and all inputs that need one; in brackets the difference relative to",
    "the largest entry of the reference. **Two processes** compares two processes with half of the images each, whose",
    "gradients are averaged as DDP does, with one process that has all images. A test fails when a difference exceeds",
    "the tolerance of its case (by default 1e-10, relative), and when this page and the cases disagree.",
    "",
)
