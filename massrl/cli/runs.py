"""`massrl runs [FOLDER ...]`: the runs in some folders, whether they run, how far they are, and what to type next."""

from __future__ import annotations

import json
from pathlib import Path

from data_loading.errors import one_line
from massrl.parsing.parser import Parser
from massrl.runs.listing import SILENT, Entry, entries

USUAL = "runs"
HEADS = ("run", "state", "epoch", "step", "loss", "kNN, %", "images/s", "seen")


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="massrl runs",
        description="List the runs in folders: running, starting, finished, stopped (by a signal), failed, or stale "
        "(the process is gone without a word, as after SIGKILL), with epochs, steps, loss and what to type to go on.",
    )
    parser.add_argument("folders", nargs="*", default=[USUAL], help="run folders, or folders of runs")
    parser.add_argument("--json", action="store_true", help="as a list of mappings")
    parser.add_argument("--check", action="store_true", help="list a run of two steps on generated images")
    args = parser.parse_args(argv)
    if args.check:
        return check()
    none = args.folders == [USUAL] and not Path(USUAL).is_dir()  # before the first one
    found = [] if none else entries(args.folders)
    print(json.dumps([entry.to_dict() for entry in found], indent=2) if args.json else table(found))
    return 0


def check() -> int:
    """List a run of two steps in a temporary folder."""
    import tempfile

    from massrl.cli.samples import sample_checkpoint, sample_folder

    with tempfile.TemporaryDirectory() as temporary:
        sample_checkpoint(Path(temporary), sample_folder(Path(temporary)))
        print(table(entries([temporary])))
    print("check passed: nothing was kept")
    return 0


def table(found: list[Entry]) -> str:
    """A line for each run, and below one that ended early why, and the command with which it goes on."""
    if not found:
        return "no runs here; `massrl pretrain` makes them in the folder runs"
    rows = [HEADS, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    text = [lines[0]]
    for entry, line in zip(found, lines[1:], strict=True):
        text.append(line)
        if entry.state in ("running", "starting") and (entry.age_s or 0) > SILENT:
            text.append(f"    its process runs, but has taken no step since then (pid {entry.pid} on {entry.host})")
        if entry.line:
            text.append(f"    {entry.line}")
        if entry.next:
            text.append(f"    to continue: {entry.next}")
    return "\n".join(map(_safe, text))


def _safe(text: str) -> str:
    """A line that is safe to show; what it is indented by stays."""
    body = text.lstrip(" ")
    return " " * (len(text) - len(body)) + body if body.isprintable() else one_line(text)


def _cells(entry: Entry) -> tuple[str, ...]:
    knn = "" if entry.knn is None else f"{100 * entry.knn:.1f}"
    loss = "" if entry.loss is None else f"{entry.loss:.4f}"
    speed = "" if entry.images_per_s is None else f"{entry.images_per_s:.{0 if entry.images_per_s >= 10 else 2}f}"
    done = _of(entry.epoch, entry.epochs), _of(entry.step, entry.steps)
    return one_line(entry.run), entry.state, *done, loss, knn, speed, _ago(entry.age_s)


def _of(done: int | None, whole: int | None) -> str:
    return "" if done is None else str(done) if whole is None else f"{done}/{whole}"


def _ago(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
