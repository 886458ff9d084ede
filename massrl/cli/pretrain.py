"""`massrl pretrain`: train an encoder without labels; every setting is an option, a key of a YAML file, or both."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from massrl.cli.rehearsal import Rehearsal
from massrl.runs.checkpoint_files import LAST
from massrl.runs.folder import CONFIG, run_of
from massrl.runs.quiet import quiet
from massrl.training.pretrain import run_settings
from massrl.training.settings import Settings, errors_placed, say


def main(argv: list[str]) -> Path | None:
    """Run the command; returns the run folder, or None for `--check`, which leaves none."""
    if "--check" in argv:
        check(argv)
        return None
    argv = _with_settings_of_run(argv)
    with errors_placed(argv), quiet():
        settings = Settings(argv)
    run = run_settings(settings, _command(argv))
    say(f"run: {run.path}\nnewest checkpoint: {run.path / LAST}")
    return run.path


def check(argv: list[str]) -> None:
    """Two steps on little data in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        rehearsal = Rehearsal(Path(temporary))
        argv = [*rehearsal.words(), *_with_settings_of_run(argv)]  # first, so that what was given wins
        with errors_placed(argv), quiet():
            settings = Settings(argv, adjust=rehearsal.adjust)
            settings.data.size = rehearsal.size(settings.method, settings.data)
        run_settings(settings, _command(argv), rehearsal=True)
    print("check passed: nothing was kept")


def _command(argv: list[str]) -> str:
    return shlex.join(["massrl", "pretrain", *argv])


def _with_settings_of_run(argv: list[str]) -> list[str]:
    """With --ckpt_path RUN/checkpoints/... and neither --config nor --model: settings and folder of that run."""
    given = {word.partition("=")[0]: i for i, word in enumerate(argv)}
    if "--ckpt_path" not in given or {"--config", "-c", "--model"} & given.keys():
        return argv
    at = given["--ckpt_path"]
    path = argv[at].partition("=")[2] or (argv[at + 1] if at + 1 < len(argv) else "")
    run = run_of(Path(path))
    if run is None:
        return argv
    say(f"settings of {run.path / CONFIG}; options given here override them")
    return ["--config", str(run.path / CONFIG), *([] if "--run" in given else ["--run", str(run.path)]), *argv]
