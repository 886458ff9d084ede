"""Do several strategies beat one? SimCLR, BYOL and MASSRL on small images, at equal numbers of views.

Every arm forwards the same number of views of each image through the online network, in steps of equally many: an arm
of eight views an image takes batches and epochs of a quarter of those of two views.
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
from massrl.runs.record import file_sha256, versions
from massrl.training.fit import quiet
from massrl.training.pretrain import pretrain

VIEWS_A_STEP = 128
ENCODER = {"backbone": "tiny_resnet", "backbone_args": {"width": 16, "stages": 2}, "bn_over": "all"}
HEADS = {"hidden_dim": 256, "out_dim": 64}
# One rate for every arm: steps hold equally many views, not images.
OPTIM = {"name": "adamw", "base_lr": 2e-3, "lr_scaling": "none", "weight_decay": 0.01}
WARMUP = 1 / 16  # of the run: epochs differ between arms
ONLINE = {**ENCODER, **HEADS, "ema": 0.99, "projector_norm": True, "optim": {**OPTIM, "predictor_lr": 5.0}}
POLICIES = [{"class_path": name, "init_args": {"policy": "cifar10"}} for name in ("autoaugment", "fastautoaugment")]
SPACE = ["simclr32", "randaugment", *POLICIES]


@dataclass(frozen=True)
class Arm:
    """method, model: its name and arguments.  views: of each image, as `data.views` takes them; number: how many."""

    title: str
    method: str
    model: dict[str, Any]
    views: dict[str, Any]
    number: int

    def epochs(self, budget: int) -> int:
        return budget // self.number


def _set(strategies: Sequence, crops: int = 2, **more: Any) -> dict[str, Any]:
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
    """Runs of every arm with every seed in `folder`; one that is there is not run again.

    `comparison.json` there says what they are runs of. A folder of another comparison is refused.
    """

    def __init__(self, data: str | Path, folder: str | Path, seeds: int = 3, budget: int = 48, jobs: int = 2):
        if budget < 8 or budget % 8:
            raise ConfigError(
                f"--budget is {budget} views of each image; it must be a multiple of 8, which all arms divide"
            )
        if seeds < 1 or jobs < 1:
            raise ConfigError(f"--seeds is {seeds}, --jobs {jobs}; both are at least 1")
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
                f"{self.folder} holds runs, but no {record.name} that says of what; name another folder by --out"
            )
        else:
            self._write(data)
            write_whole(record, json.dumps(self.facts, indent=2) + "\n")

    def _compare(self, found: dict[str, Any]) -> None:
        differ = [name for name, value in self.facts.items() if found.get(name) != value]
        if differ:
            one = differ[0]
            what = "other arms" if one == "arms" else f"{one} {found.get(one)}, not {self.facts[one]}"
            raise ConfigError(f"{self.folder} holds a comparison with {what}; name another folder by --out")

    def _write(self, data: str | Path) -> None:
        for split, path in self.files.items():
            source = sources.open(data, split=split)
            self.folder.mkdir(parents=True, exist_ok=True)
            DatasetWriter(path, source.fields()).from_indexed_dataset(source, progress=False)

    def run_folder(self, arm: Arm, seed: int) -> Path:
        return self.folder / f"{ARMS.index(arm)}-{arm.method.lower()}-{arm.number}-views-seed-{seed}"

    def train(self) -> None:
        """All runs that are not there, `jobs` at a time, each in a process of its own on its share of the cores."""
        todo = [(arm, seed) for seed in range(self.seeds) for arm in ARMS]
        todo = [one for one in todo if not (self.run_folder(*one) / METRICS).exists()]
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.jobs, context, max_tasks_per_child=1) as pool:
            done = [pool.submit(_pretrain, self._arguments(*one), threads) for one in todo]
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
        """Those of `massrl.pretrain` for one run."""
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

    def judge(self) -> dict[str, dict[str, dict]]:
        """measure -> row -> {"mean", "std", "draws", "seeds"}: over seeds of the mean over label draws, in 0..1."""
        found: dict[str, dict[str, list[float]]] = {}
        for seed in range(self.seeds):
            checkpoints = {arm.title: Run(self.run_folder(arm, seed)) for arm in ARMS}
            result = accuracies(checkpoints, self.files["train"], self.files["test"], seed=seed).result
            for measure in HEADINGS:
                for row, entry in result[measure].items():
                    found.setdefault(measure, {}).setdefault(row, []).append(entry["mean"])
        return {m: {row: {**summary(np.array(v)), "seeds": v} for row, v in rows.items()} for m, rows in found.items()}

    def report(self) -> str:
        """Judge, write `strategies.json`, and return the table."""
        result = self.judge()
        hashes = {f"{split}_sha256": file_sha256(path) for split, path in self.files.items()}
        facts = {**self.facts, **hashes, "seeds": self.seeds, "versions": versions()}
        path = write_whole(
            self.folder / "strategies.json", json.dumps({**facts, "accuracies": result}, indent=2) + "\n"
        )
        rows = list(result["knn"])
        cells = [["test accuracy, %", *(HEADINGS[m] for m in result)]]
        cells += [[BASELINES.get(row, row), *(percent(result[m][row]) for m in result)] for row in rows]
        return f"{aligned(cells)}\n± deviation over {self.seeds} seeds; figures: {path}"


def _pretrain(arguments: dict[str, Any], threads: int) -> None:
    """Train one run, silently, in the process of a pool."""
    torch.set_num_threads(threads)
    shutil.rmtree(arguments["out"], ignore_errors=True)  # what an interrupted training left
    with contextlib.redirect_stdout(io.StringIO()), quiet(everything=True):
        pretrain(**arguments)
