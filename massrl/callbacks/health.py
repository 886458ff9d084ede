"""Health: measures of collapse while a method trains, and an alarm that says in one line what it saw."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from data_loading.views.view_set import View
from massrl.distributed import mean_over_ranks, world_size
from massrl.evaluation.measures import alpha_req_of_gram, lidar_of_gram, rankme_of_gram, uniformity_of_gram

MOST = 256  # images of a batch that are measured: the cost of a rank grows with the square of their number
ARMED = 0.1  # share of the run after which a figure that was never good sounds the alarm
IN_A_ROW = 3  # measurements that must agree
MIN_SPREAD, MIN_RANK = 0.1, 2.0  # of z_spread and z_rank: the alarm's defaults
GOOD = 2.0  # times the least healthy value, from which on a figure counts as having been good
EQUAL = "complete collapse: all images have nearly the same embedding, as nothing keeps them apart"
LINE = "dimensional collapse: embeddings lie near one line, as nothing keeps their channels apart"
LOGGED = ("h_rank", "h_alpha", "h_alpha_r2", "z_rank", "z_lidar", "z_spread", "z_uniformity", "z_alignment")
PAIR = "pair/{}/{}"  # name of the distance of views of two strategies
# A warning's level, so that it is seen where messages are suppressed, but without the place in the code.
warn = pl.utilities.rank_zero_only(logging.getLogger(f"{pl.__name__}.utilities.rank_zero").warning)


class Finding(NamedTuple):
    """What an alarm says: the figures, the likely cause, and what to try."""

    saw: str
    cause: str
    advice: str


class Health(pl.Callback):
    """Log measures of collapse every few steps, and sound an alarm, once, where a training has collapsed.

    They are computed from what a training step has computed anyway, of at most 256 images of each process's batch: no
    forward, no random number and no weight changes, so that losses are equal to the bit with and without them. They are
    `h_rank`, and alpha-ReQ's exponent `h_alpha` with the `h_alpha_r2` of its fit, of the features of the first view;
    `z_rank`, `z_spread` and `z_uniformity` of its embeddings, and `z_alignment` and LiDAR's `z_lidar` of those of the
    first two views, where a method has embeddings. massrl/evaluation/measures.py defines them; a rank is at most the
    number of images, of which z_lidar takes at most 128. Of views of several strategies also `pair/A/B`: the alignment
    of an image's views under the strategies A and B, which says which strategies are hard for which.

    The alarm sounds for a loss that is not finite; a z_spread below `min_spread`; a z_rank below `min_rank`, except of
    methods that train with labels, which need no more directions than classes; and where targets over K prototypes say
    nothing of the image: marginal_entropy - target_entropy is below `min_information` of log K. Apart from the loss,
    three measurements in a row must agree, and the figure must have been twice as good before, or a tenth of the run be
    over: the embeddings of an untrained network are nearly equal, too.

    Args:
        every_n_steps: optimiser steps from one measurement to the next; None measures where the Trainer logs.
        stop: whether the alarm ends the run, with the step in which it sounds.
        min_spread: z_spread below which embeddings count as equal.
        min_rank: z_rank below which embeddings count as lying on one line.
        min_information: share of log K below which targets count as equal for all images.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        stop: bool = False,
        min_spread: float = MIN_SPREAD,
        min_rank: float = MIN_RANK,
        min_information: float = 0.01,
    ):
        if every_n_steps is not None and every_n_steps < 1:
            raise ConfigError(f"every_n_steps is {every_n_steps}; set it to 1 or more, or leave it out")
        self.every_n_steps, self.stop = every_n_steps, stop
        self.min_spread, self.min_rank, self.min_information = min_spread, min_rank, min_information
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        self.alarm: str | None = None  # what it said
        self.good: set[str] = set()  # figures that have been good in this fit
        self.bad: dict[str, int] = {}  # figure -> measurements in a row in which it was bad
        self.last_step = 0

    def process_state(self) -> dict[str, Any]:
        """What it has seen in this run, for the run's checkpoints."""
        return {"alarm": self.alarm, "good": sorted(self.good), "bad": dict(self.bad), "last_step": self.last_step}

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Continue from what `process_state` has returned."""
        self.alarm, self.last_step = state["alarm"], state["last_step"]
        self.good, self.bad = set(state["good"]), dict(state["bad"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        step, before = trainer.global_step, self.last_step
        self.last_step = step
        # Under accumulation a step has several batches, the last of which counts.
        if step == before or step % (self.every_n_steps or _logs_every(trainer)):
            return
        pairs = strategy_pairs(outputs.get("embeddings", ()), batch.layout)
        figures = over_processes({**measures(outputs), **pairs}, pl_module)
        for name in (*LOGGED, *pairs):
            if math.isfinite(figures[name]):
                pl_module.log(name, figures[name], rank_zero_only=True, batch_size=1)
        if self.alarm is None and (found := self._finding(pl_module, outputs, figures)):
            self._sound(trainer, found)
        if self.stop and self.alarm is not None:  # on every process in the same step
            trainer.should_stop = True

    def _finding(
        self, module: pl.LightningModule, outputs: Mapping[str, Any], figures: Mapping[str, float]
    ) -> Finding | None:
        """What is wrong, where it has been so for long enough."""
        if not math.isfinite(figures["loss"]):
            return _diverged(figures["loss"])
        over = getattr(module, "progress", 1.0) >= ARMED
        sounding = None
        for what, share, finding in self._checks(module, outputs, figures):
            if share >= GOOD:
                self.good.add(what)
            self.bad[what] = self.bad.get(what, 0) + 1 if share < 1 else 0
            if self.bad[what] >= IN_A_ROW and (over or what in self.good):
                sounding = sounding or finding
        return sounding

    def _checks(
        self, module: pl.LightningModule, outputs: Mapping[str, Any], figures: Mapping[str, float]
    ) -> Iterator[tuple[str, float, Finding]]:
        """What can be judged: its figure as a multiple of the least that is healthy, and what an alarm would say."""
        if math.isfinite(figures["z_spread"]):
            rows, width = outputs["embeddings"][0].shape
            std, even = figures["z_spread"] / math.sqrt(width), 1 / math.sqrt(width)
            rank, most = figures["z_rank"], min(rows, MOST, width)
            saw = (
                f"z_std is {std:.2g}, where even embeddings of {width} channels have {even:.2g}; "
                f"their effective rank is {rank:.2f} of at most {most}"
            )
            yield "spread", _times(figures["z_spread"], self.min_spread), _collapsed(saw, EQUAL, module)
            if most >= 8 and not _learns_labels(module):  # fewer rows have no rank to speak of
                yield "rank", _times(rank, self.min_rank), _collapsed(saw, LINE, module)
        if (entropies := outputs.get("entropies")) is not None:
            each, marginal = figures["target_entropy"], figures["marginal_entropy"]
            least = self.min_information * math.log(entropies.prototypes)
            yield "targets", _times(marginal - each, least), _uninformed(each, marginal, entropies.prototypes)

    def _sound(self, trainer: pl.Trainer, found: Finding) -> None:
        """Say the alarm, in one line."""
        where = f"step {trainer.global_step}, epoch {trainer.current_epoch + 1}"
        end = "the run stops here" if self.stop else "the run continues; Health(stop=True) would end it"
        self.alarm = f"alarm at {where}: {found.saw}. Likely cause: {found.cause}. Try: {found.advice} ({end})"
        warn(self.alarm)


def measures(outputs: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one training step by name; NaN where there is none, as of features that are not finite.

    outputs: as `Method.training_step` returns them.
    """
    found = dict.fromkeys((*LOGGED, "target_entropy", "marginal_entropy"), math.nan)
    found["loss"] = float(outputs["loss"])
    h = _rows(outputs["features"])
    if h.isfinite().all():
        gram = (h @ h.T).cpu()
        law = alpha_req_of_gram(gram, h.shape[1])
        found |= {"h_rank": rankme_of_gram(gram, h.shape[1]), "h_alpha": law.alpha, "h_alpha_r2": law.r2}
    z = [_rows(view) for view in outputs.get("embeddings", ())[:2]]
    if z and len(z[0]) > 1 and all(view.isfinite().all() for view in z):
        gram, unit = (z[0] @ z[0].T).cpu(), [F.normalize(view, dim=1) for view in z]
        found |= {"z_rank": rankme_of_gram(gram, z[0].shape[1]), "z_uniformity": uniformity_of_gram(gram)}
        found["z_spread"] = float(unit[0].std(0, correction=0).mean()) * math.sqrt(z[0].shape[1])
        if len(z) > 1:
            found["z_alignment"] = float((unit[0] - unit[1]).square().sum(1).mean())
            both = torch.stack(z, 1)[: MOST // 2].flatten(0, 1)  # image by image
            found["z_lidar"] = lidar_of_gram((both @ both.T).cpu(), 2)
    if (entropies := outputs.get("entropies")) is not None:
        found |= {"target_entropy": float(entropies.each), "marginal_entropy": float(entropies.marginal)}
    return found


def strategy_pairs(embeddings: Sequence[Tensor], layout: Sequence[View]) -> dict[str, float]:
    """PAIR of two strategies -> mean |z - z'|^2 of an image's views under them, z at norm 1, over pairs of views.

    embeddings: (B, D) of each view, those of global views first.  layout: of the views. {} where the views are of one
    strategy, or not all of them have embeddings.
    """
    views = sorted(layout, key=lambda view: view.role != "global")
    strategies = list(dict.fromkeys(view.strategy for view in views))
    if len(strategies) < 2 or len(embeddings) != len(views):
        return {}
    z = [F.normalize(_rows(view), dim=1) for view in embeddings]
    found: dict[str, list[float]] = {}
    for i, j in itertools.combinations(range(len(z)), 2):
        one, other = sorted((views[i].strategy, views[j].strategy), key=strategies.index)
        found.setdefault(PAIR.format(one, other), []).append(float((z[i] - z[j]).square().sum(1).mean()))
    return {name: sum(values) / len(values) for name, values in found.items()}


def over_processes(figures: dict[str, float], module: pl.LightningModule) -> dict[str, float]:
    """The means over processes, NaN where any has none: so all processes judge alike."""
    if world_size() == 1:
        return figures
    means = mean_over_ranks(torch.tensor(list(figures.values()), device=module.device))
    return dict(zip(figures, means.tolist(), strict=True))


def _logs_every(trainer: pl.Trainer) -> int:
    """Steps from one row of the log to the next; 50, Lightning's own default, where nothing is logged."""
    return getattr(trainer, "log_every_n_steps", 0) or 50


def _rows(x: Tensor) -> Tensor:
    """At most MOST rows as float64, where they are, except on devices that have none."""
    x = x[:MOST].detach()
    return (x.cpu() if x.device.type == "mps" else x).double()


def _learns_labels(module: pl.LightningModule) -> bool:
    return bool(getattr(getattr(module, "needs", None), "labels", False))


def _diverged(loss: float) -> Finding:
    return Finding(
        f"the loss is {loss}",
        "the training has diverged, from too high a learning rate or from overflow in 16 bits",
        "a lower optim.base_lr, more optim.warmup_epochs, trainer.gradient_clip_val 1, or precision bf16-mixed in "
        "place of 16-mixed",
    )


def _times(value: float, least: float) -> float:
    return value / least if least > 0 else math.inf


def _collapsed(saw: str, state: str, module: pl.LightningModule) -> Finding:
    return Finding(saw, f"{state}, or the learning rate is too high", _advice(module))


def _uninformed(each: float, marginal: float, prototypes: int) -> Finding:
    most = math.log(prototypes)
    saw = f"target_entropy is {each:.3g} and marginal_entropy {marginal:.3g}, of at most log {prototypes} = {most:.3g}"
    if each > most / 2:
        return Finding(
            saw,
            "collapse to even targets: no image prefers any prototype",
            "a lower temperature of the targets (tau_target, or epsilon of SwAV), a lower centre_momentum, or a lower "
            "optim.base_lr",
        )
    return Finding(
        saw,
        "collapse to few prototypes: all images have the same target",
        "a higher temperature of the targets (tau_target), a centre_momentum of 0.9, a longer freeze_epochs, or a "
        "lower optim.base_lr",
    )


def _advice(module: pl.LightningModule) -> str:
    """What to try against collapsed embeddings, with the settings of this run."""
    words = []
    if (ema := getattr(module, "ema", None)) is not None and ema < 0.99:
        words.append(f"an ema nearer to 1 (0.99; it is {ema:g})")
    if (lr := getattr(module, "lr", None)) is not None:
        words.append(f"a lower optim.base_lr (the peak learning rate is {lr:.3g})")
    if getattr(module, "init_args", {}).get("projector_norm") is False:
        words.append("projector_norm: true")
    words.append("a larger batch, weaker augmentation, or more optim.warmup_epochs")
    return ", ".join(words)
