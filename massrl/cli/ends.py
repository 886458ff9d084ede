"""How commands begin and end alike: what must be given, the record of a result, and the last line of a check."""

from __future__ import annotations

from typing import Any

from data_loading.errors import ConfigError

IMAGES = "images: a folder, a .beton file, several as 'train-*.beton' or '[a.beton, b.beton]'; labels are not needed"
LABELLED = "labelled images: class folders, a .beton file, several as 'train-*.beton' or '[a.beton, b.beton]'"


def one_or_list(words: list[str]) -> str | list[str] | None:
    """What a position that takes several files was given: one path or pattern, a list of them, or None."""
    return words[0] if len(words) == 1 else words or None


def required(args: Any, *options: str, **words: str) -> None:
    """Raise ConfigError, with all that is missing, unless every option is given.

    options: names of --options.  words: attribute of args -> what an argument without dashes is called.
    """
    missing = [word for name, word in words.items() if not getattr(args, name)]
    missing += [f"--{name}" for name in options if getattr(args, name) is None]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}")


def finish(args: Any, record: dict[str, Any]) -> int:
    """Write the record to --json, if it is given, say that a check has passed, and return the exit code 0."""
    if args.json is not None:
        from massrl.runs.record import write_json

        path = write_json(args.json, record)
        if not args.check:  # else it is in a temporary folder
            print(f"record: {path}")
    if args.check:
        print("check passed: nothing was kept")
    return 0
