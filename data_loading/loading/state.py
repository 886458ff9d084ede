"""State: a loader's position in its data, as values that JSON and a checkpoint hold, and which loader may take it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from data_loading.beton.reader import Reader
from data_loading.errors import CheckpointError

VERSION = 1
KEYS = ("version", "order_seed", "view_seed", "epoch", "batch", "global_batch", "samples", "fingerprint")
LIMIT = {"batch": 2**63, "global_batch": 2**63, "samples": 2**63}  # seeds and epochs have 32 bits
PROBES, PROBE = 64, 4096  # how many pieces of the pages are hashed, and bytes of each


def fingerprint(reader: Reader, rows: np.ndarray | None, order: str) -> str:
    """FILE:ROWS:ORDER, with hashes in hex of the file or files (size, records, 64 pieces of the pages) and of the rows.

    rows (n,) int64: the rows that are used, None for all.  Reads the records and a few hundred KB of the pages.
    """
    memory, table = reader.memory, reader.image_table()
    digest = hashlib.blake2b(memory.size.to_bytes(8, "little"), digest_size=8)
    for part, rows_end in zip(reader.parts, [*(p.row for p in reader.parts[1:]), len(reader)], strict=True):
        end = part.start + part.size
        start = int(table.ptr[part.row : rows_end].min(initial=end))
        digest.update(memory[part.start : start])
        for at in np.linspace(start, end, -(-PROBES // len(reader.parts)), endpoint=False).astype(np.int64):
            digest.update(memory[at : min(at + PROBE, end)])
    chosen = "all" if rows is None else hashlib.blake2b(rows.astype("<i8").tobytes(), digest_size=8).hexdigest()
    return f"{digest.hexdigest()}:{chosen}:{order}"


def checked(state: dict[str, Any], mine: dict[str, Any], path: object) -> dict[str, Any]:
    """`state`, if a loader of `path` whose own state is `mine` can continue from it; else a CheckpointError."""
    if not isinstance(state, dict) or not set(KEYS) <= state.keys():
        raise CheckpointError(f"{path}: not a loader's state; it needs {', '.join(KEYS)}")
    if state["version"] != VERSION:
        raise CheckpointError(f"{path}: the loader's state is of version {state['version']}; this is {VERSION}")
    numbers = ("order_seed", "view_seed", "epoch", "batch", "global_batch", "samples")
    bad = [key for key in numbers if type(state[key]) is not int or not 0 <= state[key] < LIMIT.get(key, 2**32)]
    bad += ["global_batch"] if state["global_batch"] == 0 else []
    if bad or not isinstance(state["fingerprint"], str):
        what = bad[0] if bad else "fingerprint"
        raise CheckpointError(f"{path}: the loader's state is damaged: {what} is {state[what]!r}")
    if state["batch"] * state["global_batch"] >= max(state["samples"], 1) + state["global_batch"]:
        raise CheckpointError(
            f"{path}: the loader's state is damaged: batch {state['batch']} is beyond the {state['samples']} samples"
        )
    theirs, ours = state["fingerprint"].split(":"), mine["fingerprint"].split(":")
    if theirs[0] != ours[0]:
        raise CheckpointError(f"{path}: the state is of another file, or of another version of this one; give that one")
    if state["samples"] != mine["samples"] or theirs[1] != ours[1]:
        raise CheckpointError(
            f"{path}: the state is of {state['samples']} samples and the loader has {mine['samples']} others; "
            f"choose the same indices"
        )
    if theirs[2:] != ours[2:]:
        there, here = ":".join(theirs[2:]), ":".join(ours[2:])
        raise CheckpointError(f"{path}: the order is {there} in the state and {here} here; choose the same one")
    return state


def nearest(global_batch: int, world_size: int) -> str:
    """In words, the nearest numbers of processes that divide a global batch, into two images or more: "2 or 4"."""
    fewer = next((n for n in range(min(world_size - 1, global_batch), 0, -1) if global_batch % n == 0), None)
    more = next((n for n in range(world_size + 1, global_batch // 2 + 1) if global_batch % n == 0), None)
    return " or ".join(str(n) for n in (fewer, more) if n is not None)


def batch_size(global_batch: int, world_size: int) -> int:
    """Images per process of a global batch that a state has fixed; CheckpointError where they do not divide evenly."""
    if global_batch % world_size:
        raise CheckpointError(
            f"the run has global batches of {global_batch} images, which {world_size} processes cannot share evenly; "
            f"resume with {nearest(global_batch, world_size)} processes"
        )
    return global_batch // world_size
