"""`massrl plan`: what a pretraining will take, before it is started."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from massrl.cli.rehearsal import Rehearsal
from massrl.runs.quiet import quiet
from massrl.training.plan import DEVICES, KEPT, Plan, make_plan
from massrl.training.settings import Settings, errors_placed


class PlanSettings(Settings):
    """The settings of a pretraining, and those of its plan."""

    PROG = "massrl plan"
    DESCRIPTION = (
        "Measure up to 20 steps of a pretraining on this machine, and say what the whole will take: hours, memory, "
        "disk, what limits it, and what more GPUs would change. Nothing is kept but the cache of a folder. The first "
        "word may be a recipe or a file of settings; all options of `massrl pretrain` are taken."
    )

    def add_arguments_to_parser(self, parser: Any) -> None:
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--images", type=int | None, default=None, help="images of the data set, if data.train is a sample of it")
        add("--seconds", type=float, default=60.0, help="each of four measurements ends after so many seconds")
        add("--json", type=str | None, default=None, help="also write all figures to this file")


def main(argv: list[str]) -> Plan:
    """Run the command; returns the plan."""
    if argv and not argv[0].startswith("-"):
        argv = ["--config", *argv]
    with tempfile.TemporaryDirectory() as temporary:
        rehearsal = Rehearsal(Path(temporary)) if "--check" in argv else None
        if rehearsal:
            argv = [*rehearsal.words(), *argv]
        with errors_placed(argv):
            with quiet():
                settings = PlanSettings(argv, adjust=rehearsal.adjust if rehearsal else None)
                if rehearsal:
                    settings.data.size = rehearsal.size(settings.method, settings.data)
            config = settings.config
            print("measuring up to 20 steps: the loader alone, training alone, and both together", flush=True)
            found = make_plan(settings, config.images, 1.0 if rehearsal else config.seconds)
        if rehearsal:
            print("check passed: nothing was kept")
            return found
        print("\n".join(f"{name:<12}{text}" for name, text in rows(found)))
        if found.on_gpu:
            print("\n" + "\n".join(table(found)))
        if config.json:
            write_whole(Path(config.json), json.dumps(found.as_json(), indent=1) + "\n")
    return found


def rows(plan: Plan) -> list[tuple[str, str]]:
    """(what, in words) of a plan, in the order of reading."""
    r, devices = plan.rates, plan.devices * plan.nodes
    kind = ("GPU", "GPUs") if plan.on_gpu else ("process", "processes")
    what = f"{devices} {kind[devices > 1]}"
    shares = f"{plan.batch:,} images"
    shares += f" x {devices} processes" if devices > 1 else ""
    shares += f" x {plan.accumulate} accumulated" if plan.accumulate > 1 else ""
    epochs = f"{plan.epochs:,} epoch{'s' * (plan.epochs > 1)} of " if plan.epochs else ""
    less = "" if r.images == plan.batch else f" (not {plan.batch:,}: for more there is no room, no time or no image)"
    where = f"on {what}" if plan.on_gpu else "on this CPU, which all processes share"
    return [
        ("run", f"{plan.method}, {plan.precision}, on {what}"),
        ("length", f"{epochs}{plan.images:,} images; {plan.steps:,} steps of {plan.global_batch:,} images ({shares})"),
        ("measured", f"one process on {plan.device}, in batches of {r.images:,} images{less}"),
        (
            "",
            f"loader alone {_rate(r.loader)} with {plan.threads} thread{'s' * (plan.threads != 1)}, "
            f"{_rate(r.loader_all)} with {plan.cores}",
        ),
        ("", f"training alone {_rate(r.training)}, both together {_rate(r.together)}"),
        ("time", f"{_hours(plan.hours())} {where}"),
        ("", "not counted: validation, communication, checkpoints, a disk that is slower than memory"),
        ("bottleneck", _bottleneck(plan)),
        ("memory", _memory(plan)),
        ("disk", _disk(plan)),
    ]


def table(plan: Plan) -> list[str]:
    """Lines of what other numbers of GPUs on each node would give."""
    lines = ["GPUs a node  images/s     hours  bottleneck"]
    for n in DEVICES:
        rate = plan.rate(n) * plan.nodes
        lines.append(f"{n:>11}  {rate:>8,.0f}  {plan.hours(n):>8,.1f}  {plan.bottleneck(n)}")
    if plan.fixed_step:
        return [*lines, f"A step has {plan.global_batch:,} images on any of them (global_batch)."]
    more = "" if plan.epochs else ", and as many steps take more images"
    return [*lines, f"The images of a step, and so the learning rate, follow the number of GPUs{more}."]


def _bottleneck(plan: Plan) -> str:
    r = plan.rates
    if not plan.on_gpu:
        says = f"the processor: training and loader share its {plan.cores} cores"
        return f"{says}; for a GPU its loader would be enough up to {_rate(r.loader_all)}"
    training, loader = r.training * plan.devices, plan.loader(plan.devices)
    if plan.bottleneck() == "training":
        return f"training; the loader could feed {loader / training:.1f} times as much"
    if plan.bottleneck() == "both":
        return "neither alone: training and loader are about as fast"
    threads = max(1, plan.cores // plan.devices)
    more = r.loader_all > 1.1 * loader and threads > plan.threads
    advice = f"data.num_workers {threads} may give {_rate(r.loader_all)}" if more else "see `massrl data doctor`"
    return f"the loader: training could take {training / loader:.1f} times as much; {advice}"


def _memory(plan: Plan) -> str:
    processes = 1 if plan.on_gpu else plan.devices
    where = "a GPU" if plan.on_gpu else "this machine"
    backward = plan.kept + plan.batch * plan.kept_per_image
    parts = f"{_size(plan.state)} weights and optimiser, {_size(backward)} for the backward, "
    parts += f"{_size(plan.batch * plan.view_bytes)} a batch"
    each = f", for each of {processes} processes" if processes > 1 else ""
    said = f"{where} needs about {_size(plan.needed)} ({parts}{each})"
    if plan.memory is None:
        return said
    if plan.fits:
        return f"{said}; {_size(plan.memory)} are free"
    room = plan.memory // processes - plan.needed_for(0)
    images = max(0, room // (plan.kept_per_image + plan.view_bytes))
    return (
        f"{said}, and {_size(plan.memory)} are free: about {images:,} images a process fit (data.batch_size), with "
        "--global_batch or trainer.accumulate_grad_batches for the rest"
    )


def _disk(plan: Plan) -> str:
    most = KEPT * plan.checkpoint
    said = f"a checkpoint takes {_size(plan.checkpoint)}, and {KEPT} at most {_size(most)}"
    enough = "" if plan.free > most else ": too little"
    return f"{said}; {_size(plan.free)} are free{enough}"


def _rate(images: float) -> str:
    return f"{images:,.0f} images/s" if images >= 10 else f"{images:.2g} images/s"


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} minutes" if hours >= 1 / 60 else "less than a minute"
    return f"{hours:,.1f} hours" if hours < 48 else f"{hours:,.0f} hours ({hours / 24:,.1f} days)"


def _size(number: float) -> str:
    return f"{number / 2**30:,.2f} GiB" if number >= 2**30 / 10 else f"{number / 2**20:,.1f} MiB"
