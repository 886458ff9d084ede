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
        add("--seconds", type=float, default=60.0, help="each of three measurements ends after so many seconds")
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
    what = f"{devices} {'GPU' if plan.on_gpu else 'process'}{'' if devices == 1 else 's' if plan.on_gpu else 'es'}"
    where = f"on {what}" if plan.on_gpu else "on this CPU, which all processes share"
    shares = f"{plan.batch:,} images"
    shares += f" x {devices} processes" if devices > 1 else ""
    shares += f" x {plan.accumulate} accumulated" if plan.accumulate > 1 else ""
    length = f"{plan.epochs:,} epochs of {plan.images:,} images, " if plan.epochs else f"of {plan.images:,} images "
    less = "" if r.images == plan.batch else f", not {plan.batch:,}, which is more than fits or than there is time for"
    found = [
        ("run", f"{plan.method}, {plan.precision}, on {what}"),
        ("length", f"{length}{plan.steps:,} steps of {plan.global_batch:,} images ({shares})"),
        ("measured", f"one process on {plan.device}, in batches of {r.images:,} images{less}:"),
        ("", f"loader alone {_rate(r.loader)} with {plan.threads} threads, {_rate(r.loader_all)} with {plan.cores}"),
        ("", f"training alone {_rate(r.training)}, both together {_rate(r.together)}"),
        ("time", f"{_hours(plan.hours())} of training {where}; validation and communication are not counted"),
        ("bottleneck", _bottleneck(plan)),
        ("memory", _memory(plan)),
        ("disk", _disk(plan)),
    ]
    return found


def table(plan: Plan) -> list[str]:
    """Lines of what other numbers of GPUs on each node would give, for the same number of images."""
    lines = ["GPUs a node  images/s     hours  bottleneck"]
    for n in DEVICES:
        limit = "loader" if n > 1 and n * plan.rates.training > plan.rates.loader_all else "training"
        rate = plan.rate(n) * plan.nodes
        lines.append(f"{n:>11}  {rate:>8,.0f}  {plan.hours(n):>8,.1f}  {limit if n > 1 else plan.bottleneck}")
    return [*lines, "The images of a step, and so the learning rate, follow the number of GPUs."]


def _bottleneck(plan: Plan) -> str:
    r = plan.rates
    if not plan.on_gpu:
        says = f"the processor: training and loader share its {plan.cores} cores"
        return f"{says}; on a GPU its loader would be enough for {_rate(r.loader_all)} of training"
    training = r.training * plan.devices
    loader = r.loader_all if plan.devices > 1 else r.loader
    if plan.bottleneck == "training":
        return f"training; the loader could feed {loader / training:.1f} times as much"
    if plan.bottleneck == "both":
        return "neither alone: training and loader are about as fast"
    more = plan.devices == 1 and r.loader_all > 1.1 * r.loader
    advice = f"data.num_workers {plan.cores} gives {_rate(r.loader_all)}" if more else "see `massrl data doctor`"
    return f"the loader: training could take {training / loader:.1f} times as much; {advice}"


def _memory(plan: Plan) -> str:
    where = "a GPU" if plan.on_gpu else "a process"
    parts = f"{_size(plan.state)} weights and optimiser, {_size(plan.activations)} for the backward, "
    parts += f"{_size(plan.views)} a batch"
    said = f"{where} needs {'at least' if plan.on_gpu else 'about'} {_size(plan.needed)} ({parts})"
    if plan.memory is None:
        return said
    if plan.fits:
        return f"{said}; {_size(plan.memory)} are there"
    images = max(0, int((plan.memory - plan.state) * plan.batch / (plan.needed - plan.state)))
    return (
        f"{said}, and only {_size(plan.memory)} are there: at most about {images:,} images a process fit "
        "(data.batch_size), with trainer.accumulate_grad_batches for the rest where the method allows it"
    )


def _disk(plan: Plan) -> str:
    most = KEPT * plan.checkpoint
    said = f"a checkpoint takes {_size(plan.checkpoint)}, up to {KEPT} are there at a time, {_size(most)}"
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
