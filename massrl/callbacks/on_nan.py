"""OnNaN: numbers that are not finite end a training at once, or their step is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UserError, one_of
from massrl.distributed import world_size
from massrl.runs.record import write_json

ACTIONS = ("stop", "skip")
IN_A_ROW = 10  # steps left out, after which leaving out does not help
MOST_NAMED = 20  # parameters that are listed


class NotFinite(UserError):
    """A training whose numbers are not finite: what, in which step, of which images."""


@dataclass
class Step:
    """What is known of a step: where it was, its images, and numbers that are still on the device."""

    step: int
    epoch: int
    batch: int
    rows: Tensor  # (B,) int64
    loss: Tensor  # ()
    norms: Tensor  # (P,): of each gradient
    names: list[str]  # of their parameters
    wrong: Tensor  # (): 1 where something is not finite on any process, on the CPU once `copied`
    copied: torch.cuda.Event | None
    in_a_row: int  # steps left out up to this one, 0 where it was not


class OnNaN(pl.Callback):
    """Log `grad_norm`, and stop at the first loss or gradient that is not finite, or leave its step out.

    `grad_norm` is the norm of all gradients of an optimiser step together, before they are clipped. On a GPU the
    numbers of a step are looked at one step later, so that the device is not waited for. With 16-mixed precision the
    scaler deals with gradients, and the loss alone counts.

    stop: raises NotFinite in all processes, with the step, the rows of its images and the parameters whose gradients
    are not finite; the same is in `path`, from which `massrl data replay --config` draws the images.
    skip: the step changes neither weights nor running statistics, queues and centres, and is said; only a target
    network goes on following. Ten in a row stop. It waits for the device in each step, and keeps a copy of all buffers.

    Args:
        action: stop or skip.
        path: JSON file that is written with what is known of the step; None writes none.
        facts: what else that file says, as the training data and the seed of the views.
    """

    def __init__(self, action: str = "stop", path: Path | None = None, facts: dict[str, Any] | None = None):
        self.action = one_of("on_nan", action, ACTIONS, ConfigError)
        self.path, self.facts = path, facts or {}
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        self.norms: Tensor | None = None  # of the gradients of the present step
        self.names: list[str] = []
        self.last: Step | None = None  # which nobody has looked at yet
        self.buffers: list[Tensor] = []  # before the step, for skip
        self.skipped = self.in_a_row = 0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.step = trainer.global_step
        if self.action == "skip" and not self.buffers:  # kept over an accumulation
            self.buffers = [b.detach().clone() for b in pl_module.buffers()]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        frozen = {id(p) for p in getattr(pl_module, "frozen", tuple)()}
        named = [(name, p) for name, p in pl_module.named_parameters() if p.grad is not None and id(p) not in frozen]
        self.names = [name for name, _ in named]
        grads = [p.grad for _, p in named if p.grad is not None]
        self.norms = torch.stack(torch._foreach_norm(grads)) if grads else torch.zeros(1)
        norm = torch.linalg.vector_norm(self.norms)
        pl_module.log("grad_norm", norm, batch_size=1)
        if self.action == "skip" and not _scaled(trainer) and not norm.isfinite():
            self._leave_out(trainer, pl_module)
        else:
            self.in_a_row = 0
        self.buffers = []

    def _leave_out(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for p in module.parameters():
            p.grad = None  # an optimiser leaves what has none as it is
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), self.buffers, strict=True):
                buffer.copy_(before)
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        pl.utilities.rank_zero_info(f"step {trainer.global_step + 1} is left out: its gradients are not finite")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step or self.norms is None:  # within an accumulation
            return
        self.settle(trainer, pl_module)
        loss = outputs["loss"].detach()
        finite = loss.isfinite() if _scaled(trainer) else loss.isfinite() & self.norms.isfinite().all()
        wrong = (~finite).float()
        if world_size() > 1:
            dist.all_reduce(wrong, dist.ReduceOp.MAX)
        copied = None
        if wrong.is_cuda:
            wrong, copied = wrong.to("cpu", non_blocking=True), torch.cuda.Event()
            copied.record()
        where = trainer.global_step, trainer.current_epoch, batch_idx, batch.index
        self.last = Step(*where, loss, self.norms, self.names, wrong, copied, self.in_a_row)
        if copied is None:
            self.settle(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.settle(trainer, pl_module)

    def settle(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Look at the newest step that nobody has looked at; raises NotFinite where it must end the run."""
        last, self.last = self.last, None
        if last is None:
            return
        if last.copied is not None:
            last.copied.synchronize()
        if not last.wrong or 0 < last.in_a_row < IN_A_ROW:
            return
        self._stop(trainer, last)

    def check_weights(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Raise NotFinite where a weight is not finite, as after the newest step, so that no checkpoint holds it."""
        self.settle(trainer, module)
        names, weights = zip(*((name, p.detach()) for name, p in module.named_parameters()), strict=True)
        finite = torch.stack(torch._foreach_norm(list(weights), float("inf"))).isfinite().tolist()
        wrong = [name for name, whole in zip(names, finite, strict=True) if not whole]
        if wrong:
            raise NotFinite(
                f"step {trainer.global_step}: the weights are not finite after it, first in {wrong[0]}; "
                f"{self._advice()}"
            )

    def _stop(self, trainer: pl.Trainer, last: Step) -> None:
        """Say what happened, on every process."""
        rows = last.rows.tolist()
        if world_size() > 1:
            parts: list[Any] = [None] * world_size()
            dist.all_gather_object(parts, rows)
            rows = [row for part in parts for row in part]
        loss, norms = float(last.loss), last.norms.tolist()
        wrong = [name for name, norm in zip(last.names, norms, strict=False) if not math.isfinite(norm)]
        content = {
            "step": last.step,
            "epoch": last.epoch,
            "batch": last.batch,
            "rows": rows,
            "loss": str(loss),
            "grad_norm": str(math.hypot(*norms)),
            "gradients_not_finite": wrong,
            "gradients": {name: str(norm) for name, norm in zip(last.names, norms, strict=False)},
            **self.facts,
        }
        told = ""
        if self.path is not None and trainer.is_global_zero:
            told = f"; {write_json(self.path, content)} has its images and gradients"
        where = f", first in {wrong[0]}" if wrong else ""
        raise NotFinite(
            f"step {last.step}, epoch {last.epoch + 1}: the loss is {loss:g} and the norm of the gradients "
            f"{math.hypot(*norms):g}{where}{told}; {self._advice()}"
        )

    def _advice(self) -> str:
        tried = f"{IN_A_ROW} steps in a row were left out; " if self.action == "skip" else ""
        return (
            f"{tried}the run ends, and its newest checkpoint is from before: try a lower optim.base_lr, more "
            "optim.warmup_epochs, trainer.gradient_clip_val 1, or precision bf16-mixed in place of 16-mixed"
        )


def _scaled(trainer: pl.Trainer) -> bool:
    """Whether a scaler multiplies the loss, and leaves out steps by itself."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None
