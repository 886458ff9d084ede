"""Do several strategies beat one? Compare SimCLR, BYOL and MASSRL on small images at equal numbers of views.

Every arm of the comparison passes the same number of views of each image through the online network, and the same
number of views per step: with eight views per image an arm has a quarter of the batch size and of the epochs of an arm
with two.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_loading import DatasetWriter, sources
from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError, UserError
from massrl.evaluation.evaluate import accuracies
from massrl.evaluation.table import BASELINES, HEADINGS, aligned, percent, summary
from massrl.runs.folder import METRICS, Run
from massrl.runs.quiet import quiet
from massrl.runs.record import file_sha256, versions
from massrl.training.pretrain import pretrain

VIEWS_A_STEP = 128
ENCODER = {"backbone": "tiny_resnet", "backbone_args": {"width": 16, "stages": 2}, "bn_over": "all"}
HEADS = {"hidden_dim": 256, "out_dim": 64}
# One learning rate for every arm: a step has equally many views, not images, in all arms.
OPTIM = {"name": "adamw", "base_lr": 2e-3, "lr_scaling": "none", "weight_decay": 0.01}
WARMUP = 1 / 16  # fraction of the run, because arms differ in epochs
ONLINE = {**ENCODER, **HEADS, "ema": 0.99, "projector_norm": True, "optim": {**OPTIM, "predictor_lr": 5.0}}
POLICIES = [{"class_path": name, "init_args": {"policy": "cifar10"}} for name in ("autoaugment", "fastautoaugment")]
SPACE = ["simclr32", "randaugment", *POLICIES]


@dataclass(frozen=True)
class Arm:
    """One arm of the comparison.

    title: name in the table.  method, model: the method's name and its arguments.  views: value of `data.views`.
    number: views of each image.
    """

    title: str
    method: str
    model: dict[str, Any]
    views: dict[str, Any]
    number: int

    def epochs(self, budget: int) -> int:
        """Epochs after which `budget` views of each image were seen."""
        return budget // self.number


def _set(strategies: Sequence, crops: int = 2, **more: Any) -> dict[str, Any]:
    """A view set of `strategies` with 32 x 32 views, as a value of `data.views`."""
    return {"strategies": list(strategies), "crops": crops, "size": 32, **more}


ARMS = (
    Arm("SimCLR", "SimCLR", {**ENCODER, **HEADS, "tau": 0.5, "optim": OPTIM}, _set(["simclr32"]), 2),
    Arm("BYOL", "BYOL", ONLINE, _set(["simclr32"]), 2),
    Arm("MASSRL, one of 4 strategies drawn, 2 views", "MASSRL", ONLINE, _set(SPACE, assign="drawn"), 2),
    Arm("MASSRL, 2 strategies, 4 views", "MASSRL", ONLINE, _set(SPACE[:2], shared_crops=True), 4),
    Arm("MASSRL, 4 strategies, 8 views", "MASSRL", ONLINE, _set(SPACE, shared_crops=True), 8),
    Arm("control: 1 strategy, 8 views", "MASSRL", ONLINE, _set(["simclr32"] * 4, shared_crops=True), 8),
)


class Comparison:
    """All runs of the comparison, one for every arm and seed, in `folder`; finished runs are not repeated.

    data: the images, as `massrl data write` takes them, with a train and a test split.  seeds: number of runs per arm.
    budget: views of each image in a run, a multiple of 8.  jobs: number of runs at a time.
    `comparison.json` in the folder records data, budget and arms. Raises ConfigError for a folder whose record differs
    or that has runs without a record.
    """

    def __init__(self, data: str | Path, folder: str | Path, seeds: int = 3, budget: int = 48, jobs: int = 2):
        if budget < 8 or budget % 8:
            raise ConfigError(f"--budget is {budget} views of each image; it must be a multiple of 8: 8, 16, 24, ...")
        if seeds < 1 or jobs < 1:
            raise ConfigError(f"--seeds is {seeds}, --jobs is {jobs}; both must be at least 1")
        self.folder, self.seeds, self.budget, self.jobs = Path(folder), seeds, budget, jobs
        self.facts = {
            "data": os.path.abspath(data),
            "budget": budget,
            "views_a_step": VIEWS_A_STEP,
            "warmup": WARMUP,
            "arms": [asdict(arm) for arm in ARMS],
        }
        self.files = {split: self.folder / f"{split}.beton" for split in ("train", "test")}
        record = self.folder / "comparison.json"
        if record.exists():
            self._compare(json.loads(record.read_text()))
        elif any(self.folder.glob("*-seed-*")):
            raise ConfigError(
                f"{self.folder} has runs but no {record.name} that describes them; choose another folder by --out"
            )
        else:
            self._write(data)
            write_whole(record, json.dumps(self.facts, indent=2) + "\n")

    def _compare(self, stored: dict[str, Any]) -> None:
        """Raise ConfigError when the folder's record differs from this comparison."""
        differ = [name for name, value in self.facts.items() if stored.get(name) != value]
        if differ:
            name = differ[0]
            what = "other arms" if name == "arms" else f"{name} {stored.get(name)}, not {self.facts[name]}"
            raise ConfigError(f"{self.folder} holds a comparison with {what}; choose another folder by --out")

    def _write(self, data: str | Path) -> None:
        for split, path in self.files.items():
            source = sources.open(data, split=split)
            self.folder.mkdir(parents=True, exist_ok=True)
            DatasetWriter(path, source.fields()).from_indexed_dataset(source, progress=False)

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Folder of the run of an arm with a seed."""
        return self.folder / f"{ARMS.index(arm)}-{arm.method.lower()}-{arm.number}-views-seed-{seed}"

    def train(self) -> None:
        """Train all runs that are not finished, `jobs` at a time, each in its own process with its share of the cores.

        Raises ConfigError with the error of a run that failed.
        """
        todo = [(arm, seed) for seed in range(self.seeds) for arm in ARMS]
        todo = [run for run in todo if not (self.run_folder(*run) / METRICS).exists()]
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.jobs, context, max_tasks_per_child=1) as pool:
            done = [pool.submit(_pretrain, self._arguments(*run), threads) for run in todo]
            try:
                for (arm, seed), future in zip(todo, done, strict=True):
                    try:
                        future.result()
                    except (UserError, BrokenProcessPool) as error:
                        raise ConfigError(f"{arm.title}, seed {seed}: {error}") from error
                    print(f"trained: {arm.title}, seed {seed}", flush=True)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _arguments(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Arguments of `massrl.pretrain` for the run of an arm with a seed."""
        epochs = arm.epochs(self.budget)
        optim = {**arm.model["optim"], "warmup_epochs": WARMUP * epochs}
        return {
            **{**arm.model, "optim": optim},
            "train": str(self.files["train"]),
            "method": arm.method,
            "out": str(self.run_folder(arm, seed)),
            "seed": seed,
            "report": False,
            "views": arm.views,
            "batch_size": VIEWS_A_STEP // arm.number,
            "num_workers": 1,
            "max_epochs": epochs,
            "accelerator": "auto",
            "devices": 1,
            "enable_progress_bar": False,
        }

    def evaluate(self) -> dict[str, dict[str, dict]]:
        """{measure: {row: {"mean", "std", "draws", "seeds"}}}, accuracies in 0..1.

        "seeds" lists, for each seed, the mean over random label subsets; "mean" and "std" are over seeds.
        """
        scores: dict[str, dict[str, list[float]]] = {}
        for seed in range(self.seeds):
            checkpoints = {arm.title: Run(self.run_folder(arm, seed)) for arm in ARMS}
            result = accuracies(checkpoints, self.files["train"], self.files["test"], seed=seed).result
            for measure in HEADINGS:
                for row, entry in result[measure].items():
                    scores.setdefault(measure, {}).setdefault(row, []).append(entry["mean"])
        return {m: {row: {**summary(np.array(v)), "seeds": v} for row, v in rows.items()} for m, rows in scores.items()}

    def report(self) -> str:
        """Evaluate all runs, write `strategies.json`, and return the table as text."""
        result = self.evaluate()
        hashes = {f"{split}_sha256": file_sha256(path) for split, path in self.files.items()}
        facts = {**self.facts, **hashes, "seeds": self.seeds, "versions": versions()}
        path = write_whole(
            self.folder / "strategies.json", json.dumps({**facts, "accuracies": result}, indent=2) + "\n"
        )
        rows = list(result["knn"])
        cells = [["test accuracy, %", *(HEADINGS[m] for m in result)]]
        cells += [[BASELINES.get(row, row), *(percent(result[m][row]) for m in result)] for row in rows]
        return f"{aligned(cells)}\n± standard deviation over {self.seeds} seeds; all numbers: {path}"


def _pretrain(arguments: dict[str, Any], threads: int) -> None:
    """Train one run without output, in a process of the pool.  threads: of torch."""
    torch.set_num_threads(threads)
    shutil.rmtree(arguments["out"], ignore_errors=True)  # remains of an interrupted training
    with contextlib.redirect_stdout(io.StringIO()), quiet(everything=True):
        pretrain(**arguments)
