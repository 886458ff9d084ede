"""Progress of a training: a bar on a terminal, a line now and then where the output goes to a file."""

from __future__ import annotations

import sys
import time
from typing import Any

from data_loading.config.lightning_package import pl

SHOWN = ("loss", "images_per_s", "knn", "linear", "val_knn", "val_linear", "val_accuracy")
EVERY = 10.0  # seconds between lines


def shown(metrics: dict[str, Any]) -> dict[str, str]:
    """The metrics that are shown, as text: loss, images a second, online and validation accuracies in percent."""
    texts = {
        "loss": ("loss", "{:.4f}"),
        "images_per_s": ("images/s", "{:.0f}"),
        "knn": ("online knn", "{:.1%}"),
        "linear": ("online linear", "{:.1%}"),
        "val_knn": ("val knn", "{:.1%}"),
        "val_linear": ("val linear", "{:.1%}"),
        "val_accuracy": ("val accuracy", "{:.1%}"),
    }
    return {texts[name][0]: texts[name][1].format(float(metrics[name])) for name in SHOWN if name in metrics}


class Bar(pl.callbacks.TQDMProgressBar):
    """A bar for each epoch, with loss, images a second and online accuracies."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return shown(super().get_metrics(trainer, pl_module))


class Lines(pl.callbacks.ProgressBar):
    """Progress as a line of text every ten seconds and at the end, for output that goes to a file."""

    def __init__(self):
        super().__init__()
        self.enabled = True

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = self.last = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        super().on_train_batch_end(trainer, pl_module, *_)
        if time.perf_counter() - self.last >= EVERY:
            self._line(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._line(trainer, pl_module)

    def _line(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.last = time.perf_counter()
        if not self.enabled or not trainer.is_global_zero:
            return
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs or -1
        epochs = f"{min(epoch, last)}/{last}" if last > 0 else str(epoch)  # with max_steps there may be no last one
        metrics = "".join(f"  {k} {v}" for k, v in shown(self.get_metrics(trainer, pl_module)).items())
        print(
            f"epoch {epochs}  step {trainer.global_step}{metrics}  {self.last - self.begun:.0f} s",
            flush=True,
        )


def progress() -> pl.callbacks.ProgressBar:
    return Bar() if sys.stdout.isatty() else Lines()
