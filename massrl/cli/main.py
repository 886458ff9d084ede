"""The `massrl` command: imports only the module of the command that is asked for, so that help is instant."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from importlib import import_module

from data_loading.errors import UserError, near_miss, one_line
from massrl.runs.own_code import import_named

COMMANDS = {
    "quickstart": (
        "massrl.cli.quickstart",
        "the main job: pretrain on digits or a folder of yours, evaluate, report",
    ),
    "pretrain": ("massrl.cli.pretrain", "train an encoder without labels"),
    "plan": ("massrl.cli.plan", "what a pretraining will take: hours, memory, disk, and what limits it"),
    "knn": ("massrl.cli.knn", "accuracy of nearest neighbours in a checkpoint's features"),
    "linear": ("massrl.cli.linear", "accuracy of a linear classifier on a checkpoint's features"),
    "compare": ("massrl.cli.compare", "runs beside each other: paired differences over seeds and label subsets"),
    "features": ("massrl.cli.features", "features of images by any layer of a checkpoint, kept in a cache"),
    "embed": ("massrl.cli.embed", "write the features of a folder's images, with file names and a map"),
    "neighbours": ("massrl.cli.neighbours", "images that an encoder finds nearest to given ones"),
    "export": ("massrl.cli.export", "write a checkpoint's encoder for timm, torchvision, ONNX, ..., and check it"),
    "weights": ("massrl.cli.weights", "say whether a file of weights fits a backbone, as what to start from"),
    "detect": ("massrl.cli.detect", "average precision of a detector on a checkpoint's backbone (COCO files)"),
    "segment": ("massrl.cli.segment", "mean IoU of a linear head on a checkpoint's frozen feature maps"),
    "measure": ("massrl.cli.measure", "rank, spread and other measures of a checkpoint's features without labels"),
    "semi": ("massrl.cli.semi", "accuracy of a checkpoint fine-tuned on 1 %, 10 % or some of the labels"),
    "finetune": ("massrl.cli.finetune", "accuracy of a checkpoint fine-tuned on all labels"),
    "transfer": ("massrl.cli.transfer", "a checkpoint's features on a list of other data sets, each by its own metric"),
    "data": ("massrl.cli.data", "write, describe and show .beton files"),
    "bench": ("massrl.cli.bench", "losses beside their equations, methods on digits, several strategies against one"),
    "list": ("massrl.cli.list", "names of methods, strategies, ops, view sets, backbones and recipes"),
    "runs": ("massrl.cli.runs", "which runs there are: running, finished, stopped, failed or stale, and how far"),
    "report": ("massrl.cli.report", "write the HTML page of a run folder"),
}


MEMORY = (
    "not enough memory; take smaller batches (batch_size), views (size) or widths of the model (--debug shows where)"
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a write to an open file says no name


def usage() -> str:
    commands = "\n".join(f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: massrl COMMAND [OPTIONS]\n\n"
        "Self-supervised visual learning: from images without labels to an encoder and what it is worth.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n"
        "  --help      this text; after a command, the help of that command\n"
        "  --version   the version\n"
        "  --check     after a command: build everything, run two steps on little data, leave nothing behind\n"
        "  --debug     show the traceback of an error\n"
        "  --import    after a command: a module of yours that a checkpoint needs, as --import my_method\n"
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 for an error that the user can fix, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if argv[0] == "--version":
        from massrl import __version__

        print(f"massrl {__version__}")
        return 0
    command, *rest = argv
    if command not in COMMANDS:
        hint = near_miss(command, COMMANDS)
        kind = "option" if command.startswith("-") else "command"
        print(f"massrl: error: no {kind} {command!r}.{hint} Commands: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that the terminal's encoding does not have
    # Before torch is imported: its idle OpenMP threads would otherwise spin and starve the loader's threads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.path.append(os.getcwd())  # a class_path may name a file of the user's; last, so that it shadows nothing
    return run(command, rest, debug)


def run(command: str, argv: list[str], debug: bool = False) -> int:
    """Run `massrl command argv`; a UserError becomes one line on stderr and exit code 2."""
    try:
        result = import_module(COMMANDS[command][0]).main(import_named(argv))
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"massrl {command}: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        print(f"massrl {command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `massrl list methods | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (MemoryError, RuntimeError) as error:
        if debug or not _is_memory(error):
            raise
        print(f"massrl {command}: error: {MEMORY}", file=sys.stderr)
        return 2
    except OSError as error:  # a path that cannot be written, a full disk
        if debug or (error.filename is None and error.errno not in FULL):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        line = one_line(f"{where}{error.strerror or error}")
        print(f"massrl {command}: error: {line}", file=sys.stderr)
        return 2
    return result if isinstance(result, int) else 0


def _is_memory(error: Exception) -> bool:
    """Whether memory was not enough: NumPy raises a MemoryError, torch a RuntimeError that says so."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main())
