"""The global batch of a recipe on any number of processes: images per process and accumulated steps follow from it."""

from __future__ import annotations

from typing import Any

from data_loading.errors import ConfigError
from data_loading.loading.state import nearest
from massrl.runs.checkpoint import Checkpoint
from massrl.training.resume import settings_of

MOST = 2**24  # images of an optimiser step


def share(global_batch: int, most: int, world: int) -> tuple[int, int]:
    """(images per process at a time, batches to accumulate) whose product with `world` is `global_batch`.

    most: images that a process takes at a time, or fewer where its share of the global batch is smaller.
    ConfigError where the images cannot be shared evenly, with the nearest numbers that can.
    """
    if not 2 <= global_batch <= MOST:
        raise ConfigError(f"--global_batch is {global_batch}; it must be from 2 to {MOST:,} images")
    if global_batch % world:
        near = next(n for n in range(world, 0, -1) if global_batch % n == 0)
        raise ConfigError(
            f"--global_batch is {global_batch}, which {world} processes cannot share evenly; take {near} "
            "(--trainer.devices), or another --global_batch"
        )
    images = global_batch // world
    if images < 2:
        raise ConfigError(
            f"--global_batch is {global_batch}, which leaves {images} image to each of {world} processes, too few for "
            f"BatchNorm and for losses that compare images; take at most {max(1, global_batch // 2)} processes"
        )
    if most >= images:
        return images, 1
    if images % most:
        below = next(n for n in range(most, 0, -1) if images % n == 0)
        above = next(n for n in range(most, images + 1) if images % n == 0)
        raise ConfigError(
            f"--data.batch_size is {most}, which does not divide the {images} images per process of --global_batch "
            f"{global_batch}; set it to {below} or {above}"
        )
    return most, images // most


def as_begun(global_batch: int, checkpoint: Checkpoint, world: int) -> tuple[int, int] | None:
    """(images per process at a time, batches to accumulate) with which a run goes on: in the parts it was begun with.

    None where the checkpoint does not say. The position in the data counts batches of all processes, so that another
    number of processes shares each of them, and the number of accumulated ones stays.
    """
    settings = settings_of(checkpoint)
    total, parts = settings.get("global_batch"), (settings.get("trainer") or {}).get("accumulate_grad_batches")
    if total is None or not isinstance(parts, int):
        return None
    if total != global_batch:
        raise ConfigError(
            f"--global_batch is {global_batch}, and the run of {checkpoint.path} has {total}; give the same one, "
            "or begin the data anew by --data.resume false"
        )
    if total % (parts * world):
        raise ConfigError(
            f"the run of {checkpoint.path} accumulates {parts} batches of {total // parts} images, which {world} "
            f"processes cannot share evenly; go on with {nearest(total // parts, world)} processes"
        )
    return total // parts // world, parts


def check_accumulation(given: Any, parts: int, images: int, world: int) -> None:
    """Refuse an accumulation that was set beside --global_batch and contradicts it."""
    if given not in (None, 1, parts):
        raise ConfigError(
            f"--trainer.accumulate_grad_batches is {given}, and --global_batch asks for {parts} batches of {images} "
            f"images x {world} process{'es' * (world > 1)}; set it to 1, which lets --global_batch choose"
        )


def sentence(images: int, world: int, parts: int) -> str:
    """The global batch in numbers, and what accumulation changes."""
    said = f"global batch {images * world * parts} = {images} images x {world} process{'es' * (world > 1)}"
    if parts == 1:
        return said
    return (
        f"{said} x {parts} accumulated: BatchNorm, and losses that compare images, see {images * world} images or fewer"
    )
