"""Silence of Lightning: the warnings that are expected, and messages that say what is in the settings anyway."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_loading.config.lightning_package import pl

# What Lightning warns of although it is meant, or cannot be helped.
EXPECTED_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # inside each fit of Lightning 2.6 (its issue 21326)
    r"Be aware that when using `ckpt_path`, callbacks .*: \[\"ModelCheckpoint\{[^{}]*\}\"\]",  # of runs before 0.3
)


@contextmanager
def quiet(everything: bool = False) -> Iterator[None]:
    """Suppress the warnings that are expected, and Lightning's messages; with `everything` massrl's messages too."""
    logger = logging.getLogger(f"{pl.__name__}.utilities.rank_zero")
    ours = str(Path(__file__).parents[1])

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or (record.pathname.startswith(ours) and not everything)

    logger.addFilter(keep)
    # "Seed set to 0", which config.yaml says
    seeds = logging.getLogger("lightning_fabric" if pl.__name__ == "pytorch_lightning" else "lightning.fabric")
    level = seeds.level
    seeds.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.removeFilter(keep)
        seeds.setLevel(level)


def is_first() -> bool:
    """Whether this process is rank 0, as Lightning has it."""
    node = os.environ.get("NODE_RANK") or os.environ.get("GROUP_RANK") or "0"  # its processes have ranks later
    return getattr(pl.utilities.rank_zero_only, "rank", 0) == 0 and node == "0"
