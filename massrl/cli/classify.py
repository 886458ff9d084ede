"""Options of the commands that train a classifier: `massrl linear --protocol`, `massrl semi` and `massrl finetune`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from massrl.parsing.parser import Parser

# name -> (type, help); each replaces a setting of the protocol
SETTINGS: dict[str, tuple[Any, str]] = {
    "epochs": (int, "passes over the training images"),
    "base_lr": (float, "learning rate of the head, for 256 images unless lr_scaling is none"),
    "body_lr": (float, "learning rate of the encoder, likewise"),
    "lr_scaling": (str, "rates times batch / 256: linear, sqrt (its root) or none"),
    "optimizer": (str, "sgd, lars or adamw"),
    "momentum": (float, "of sgd and lars"),
    "nesterov": (bool, "Nesterov's momentum"),
    "trust": (float, "trust coefficient of lars"),
    "weight_decay": (float, "weight decay"),
    "schedule": (str, "cosine, step or constant"),
    "warmup_epochs": (float, "epochs of linear warm-up"),
    "final_lr": (float, "where the cosine ends, a fraction of the peak"),
    "milestones": (list[float], "where schedule step falls, fractions of the run"),
    "gamma": (float, "what the rate is multiplied by at each milestone"),
    "rates": (list[float], "factors on the rates, one of which is chosen on held-out training images; [] chooses none"),
    "selection": (str, "fixed, held-out (rates) or test, the best epoch on the test images, which is optimistic"),
    "head": (str, "linear, norm (BatchNorm before it) or projector (the projector's first layer before it)"),
    "init": (str, "weights of the head: normal, truncated, zero or torch"),
    "std": (float, "deviation of the head's weights"),
    "views": (str, "view set or strategy of the training views; eval for no augmentation"),
    "interpolation": (str, "bilinear or bicubic"),
    "smoothing": (float, "label smoothing"),
    "layer_decay": (float, "the rate falls by this factor from a block to the one before; 1 for none"),
    "mixup": (float, "alpha of mixup; 0 for none"),
    "cutmix": (float, "alpha of cutmix; 0 for none"),
    "drop_path": (float, "rate of drop path at the last block"),
    "erasing": (float, "probability that a rectangle is erased"),
}
TRAINER: dict[str, tuple[Any, str]] = {
    "devices": (int | str, "processes of this node, each with a device"),
    "num_nodes": (int, "nodes"),
    "accelerator": (str, "cpu, gpu, ..., as of Lightning's Trainer"),
    "precision": (str, "32-true, bf16-mixed, 16-mixed"),
    "strategy": (str, "ddp, ..., as of Lightning's Trainer"),
}


def add_settings(parser: Parser, protocols: str, default: str | None, without: Iterable[str] = ()) -> None:
    """Add --config, --protocol, and an option for each setting of a protocol and of the Trainer."""
    add = parser.add_argument
    add("--config", action="config", help="a YAML file with any of these options, as those of configs/")
    add("--protocol", type=str | None, default=default, help=protocols)
    for name, (kind, text) in SETTINGS.items():
        if name not in without:
            add(f"--{name}", type=kind | None, default=None, help=f"{text} (default: the protocol's)")
    for name, (kind, text) in TRAINER.items():
        add(f"--{name}", type=kind | None, default=None, help=text)


def chosen(args: Any) -> dict[str, Any]:
    """Keywords of `linear`, `semi` or `finetune` from the options that were given."""
    found = {name: getattr(args, name, None) for name in SETTINGS}
    found = {name: value for name, value in found.items() if value is not None}
    trainer = {name: getattr(args, name) for name in TRAINER if getattr(args, name) is not None}
    if args.check:
        found["epochs"] = 1
        trainer = {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
    return {**found, "trainer": trainer}
