"""Shards: a data set that several processes write at once, each its own file NAME-00003-of-00016.beton."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_loading.beton.mapping import named
from data_loading.errors import ConfigError

MOST = 99_999  # shards: names have five digits, so that sorting them by name sorts them by number
NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
SHOWN = 5  # missing shards that a message names


class Shard(NamedTuple):
    """Shard `number`, from 0 on, of `total` shards."""

    number: int
    total: int

    @classmethod
    def checked(cls, number: int | None, count: int | None) -> Shard | None:
        """The shard of two options; None if neither is given. ConfigError for one alone, or a number out of range."""
        if number is None and count is None:
            return None
        if number is None or count is None:
            given, lacking = ("shard", "shards") if count is None else ("shards", "shard")
            raise ConfigError(f"{given} is given without {lacking}; give both: shard I, from 0 on, of N shards")
        if not 1 <= count <= MOST:
            raise ConfigError(f"shards is {count}; it must be an integer from 1 to {MOST:,}")
        if not 0 <= number < count:
            raise ConfigError(f"shard is {number}; with {count} shards it must be an integer from 0 to {count - 1}")
        return cls(number, count)

    def path(self, out: Path) -> Path:
        """The file of this shard of `out`: train.beton -> train-00003-of-00016.beton."""
        return out.with_name(f"{out.stem}-{self.number:05}-of-{self.total:05}{out.suffix}")

    def rows(self, samples: int) -> slice:
        """The rows of this shard. Shards are contiguous; their lengths differ by at most one.

        ConfigError if there are fewer samples than shards.
        """
        if samples < self.total:
            raise ConfigError(f"shards is {self.total}, but there are only {samples} samples; choose fewer shards")
        return slice(samples * self.number // self.total, samples * (self.number + 1) // self.total)


class Found(NamedTuple):
    """A file that is a shard, and a name of the data set that it is a part of."""

    path: Path
    of: str
    shard: Shard


def by_name(path: Path) -> Found | None:
    """What the name of a file says; None if it is not the name of a shard. The set is FOLDER/NAME."""
    match = NAME.fullmatch(path.stem)
    if match is None:
        return None
    name, number, count = match.groups()
    return Found(path, str(path.with_name(f"{name}{path.suffix}")), Shard(int(number), int(count)))


def fault_of_set(file: str | Path | Sequence[str | Path]) -> str | None:
    """What is wrong with the shards that a pattern or a list names, by their names; None for a single file's own name.

    A pattern is one also where it fits a single file.
    """
    files = named(file)
    if isinstance(file, str | Path) and files == [Path(file)]:
        return None
    return fault([shard for one in files if (shard := by_name(one)) is not None])


def fault(found: Sequence[Found]) -> str | None:
    """What is wrong with the sets of shards in one line; None if each set is complete and has each shard once."""
    sets: dict[str, list[Found]] = {}
    for one in found:
        sets.setdefault(one.of, []).append(one)
    return next((words for one in sets.values() if (words := _fault(one))), None)


def _fault(found: Sequence[Found]) -> str | None:
    """What is wrong with the shards of one set."""
    first, count = found[0].path, found[0].shard.total
    other = next((one for one in found if one.shard.total != count), None)
    if other is not None:
        return (
            f"{first} is one of {count} shards, but {other.path} one of {other.shard.total}; remove those of the "
            f"earlier write"
        )
    seen: set[int] = set()
    for one in found:
        if one.shard.number in seen:
            return f"{one.path}: shard {one.shard.number} of {count} is named twice"
        seen.add(one.shard.number)
    missing = [number for number in range(count) if number not in seen]
    if not missing:
        return None
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    numbers = f"{', '.join(map(str, missing[:SHOWN]))}{more}"
    return (
        f"{first} is one of {count} shards, of which {len(missing)} {'is' if len(missing) == 1 else 'are'} missing: "
        f"number {numbers}, counted from 0"
    )
