"""`massrl data`: write, check and summarise .beton files, show their views, measure loaders."""

from __future__ import annotations

from importlib import import_module

from data_loading.errors import ConfigError, near_miss

# action -> (arguments, help line). The module of that name in this package has main(argv).
ACTIONS = {
    "write": ("SOURCE OUT", "write a folder, zip, .npz or named data set to a .beton file"),
    "merge": ("OUT PART...", "merge .beton files, such as shards of --shards, to one file"),
    "verify": ("FILE", "check that every sample of a .beton file decodes; list those that do not"),
    "check": ("TRAIN", "find test images that are also among the training images, or duplicates within one set"),
    "info": ("FILE", "summarise a .beton file or folder: fields, sizes, classes, hash"),
    "show": ("FILE", "render samples and their views to a PNG"),
    "replay": ("FILE", "render the views of a sample as a run saw them"),
    "bench": ("FILE", "images per second of our loader and of the other installed loaders"),
    "doctor": ("FILE", "find the bottleneck on this machine, and what to change"),
}


def usage() -> str:
    actions = "\n".join(f"  {f'{name} {words}':<19}{line}" for name, (words, line) in ACTIONS.items())
    return (
        "usage: massrl data ACTION [OPTIONS]\n\n"
        f"actions:\n{actions}\n\n"
        "options:\n"
        "  --help             show this text; after an action, the help of that action\n"
        "  --check            run each action once on 16 generated images in a temporary folder\n"
    )


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if argv == ["--check"]:
        for action in ACTIONS:
            run(action, ["--check"])
        return 0
    if argv[0] not in ACTIONS:
        hint = near_miss(argv[0], ACTIONS)
        raise ConfigError(f"no action {argv[0]!r}.{hint} Actions: {', '.join(ACTIONS)}")
    return run(argv[0], argv[1:])


def run(action: str, argv: list[str]) -> int:
    result = import_module(f"massrl.cli.data.{action}").main(argv)
    return result if isinstance(result, int) else 0
