"""Reading of images for dense tasks, errors that reach the main process in one line, and batches over ranks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, DecodeError, SourceError, UserError
from data_loading.kernel.rng import checked_seed

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def read_rgb(path: Path) -> torch.Tensor:
    """An image as uint8 (3, H, W). Raises DecodeError where it cannot be read."""
    return functional.pil_to_tensor(opened(path).convert("RGB"))


def opened(path: Path) -> Image.Image:
    """An image that is read in full. Raises DecodeError, which names the file, where it is missing or damaged."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise DecodeError(f"{path}: no such image") from None
    except Exception as error:  # Pillow raises many types for damaged files
        line = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(f"{path}: cannot be decoded ({line})") from None


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) from the header of an image. Raises DecodeError where it has none."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # Pillow raises many types for damaged files
        line = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(f"{path}: cannot be read as an image ({line})") from None


def folder_of(where: str | os.PathLike, what: str) -> Path:
    """A folder that is there. Raises SourceError, ConfigError where the argument `what` is no path."""
    if not isinstance(where, str | os.PathLike):
        raise ConfigError(f"{what} is {where!r}; name a folder")
    folder = Path(where)
    if not folder.is_dir():
        raise SourceError(f"{what}: {folder} is not a folder")
    return folder


class Samples(Dataset):
    """A data set of dense samples: `read(row)` gives image and target, `change` augments both.

    An index is a row, or (row, number) in training: random numbers of the change are a function of (seed, number), so
    that the number of workers and of processes changes no pixel. An error of the user's data is returned in place of a
    sample: raised in a worker it would arrive with that process's traceback.
    """

    def __init__(self, rows: int, read: Callable[[int], Any], change: Callable[..., Any] | None = None, seed: int = 0):
        self.rows, self.read, self.change, self.seed = rows, read, change, seed

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int | tuple[int, int]) -> Any:
        row, number = index if isinstance(index, tuple) else (index, None)
        try:
            sample = self.read(row)
        except UserError as error:
            return error
        if self.change is None or number is None:
            return sample
        with torch.random.fork_rng(devices=[]):
            # torch's generator on the CPU takes 32 bits of a seed: mix both numbers into them.
            torch.default_generator.manual_seed(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
            return self.change(*sample)


class Steps(Sampler[list[tuple[int, int]]]):
    """Batches for a number of steps: permutation after permutation of the rows, cut over the ranks.

    Yields (row, number) for each sample of this rank's part of a global batch; number counts the samples of all steps.
    """

    def __init__(self, rows: int, steps: int, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        self.rows, self.steps, self.batch_size, self.seed = rows, steps, batch_size, seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        for step in range(self.steps):
            batch = [(next(order), step * self.batch_size + i) for i in range(self.batch_size)]
            yield batch[self.rank :: self.world]

    def _order(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            yield from torch.randperm(self.rows, generator=generator).tolist()


class DenseData(pl.LightningDataModule):
    """Training samples for a number of steps, and every test sample once; over ranks without repetition.

    batch_size: samples of a step over all processes.  collate: samples -> batch.
    """

    def __init__(
        self,
        train: Samples,
        test: Samples,
        steps: int,
        batch_size: int,
        collate: Callable[[Sequence[Any]], Any],
        num_workers: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        self.train, self.test, self.steps, self.batch_size = train, test, steps, batch_size
        self.collate, self.num_workers, self.seed = collate, num_workers, checked_seed(seed)

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def setup(self, stage: str) -> None:
        _, world = self._rank_and_world()
        if self.batch_size < world or self.batch_size % world:
            raise ConfigError(f"batch_size is {self.batch_size}; it must be a multiple of the {world} processes")

    def train_dataloader(self) -> DataLoader:
        rank, world = self._rank_and_world()
        batches = Steps(len(self.train), self.steps, self.batch_size, self.seed, rank, world)
        return self._loader(self.train, batch_sampler=batches)

    def test_dataloader(self) -> DataLoader:
        rank, world = self._rank_and_world()
        return self._loader(self.test, sampler=range(rank, len(self.test), world), batch_size=1)

    def _loader(self, samples: Samples, **how: Any) -> DataLoader:
        pinned = torch.cuda.is_available()
        return DataLoader(samples, collate_fn=self._batch, num_workers=self.num_workers, pin_memory=pinned, **how)

    def _batch(self, samples: Sequence[Any]) -> Any:
        failed = [sample for sample in samples if isinstance(sample, UserError)]
        return failed[0] if failed else self.collate(samples)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if isinstance(batch, UserError):
            raise batch
        return batch
