"""What the peers share: the protocol, and torch's DataLoader with persistent worker processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_loading.bench.images import StoredImages
from data_loading.bench.works import ViewSpec, Work

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Peer(ABC):
    """A loader that is measured: it makes all views of the rows that it is given, batch after batch.

    ahead: batches that may lie ready from before when `batches` begins; they are not timed.
    """

    ahead = 0

    def __init__(self, work: Work, file: str, batch_size: int, workers: int):
        self.work, self.file, self.batch_size, self.workers = work, file, batch_size, workers
        self.images = StoredImages(file)

    @classmethod
    def can(cls, work: Work) -> bool:
        """Whether the library offers what the work asks."""
        return True

    @abstractmethod
    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """Make the views of `rows`; yield the number of images of each finished batch."""


class Views:
    """Image -> its views: each box is cut once by `geometry(spec)`, then each view is finished by `colour(spec)`."""

    def __init__(self, work: Work, geometry: Callable[[ViewSpec], Callable], colour: Callable[[ViewSpec], Callable]):
        self.boxes = [(geometry(spec), [(i, colour(work.views[i])) for i in own]) for spec, own in work.boxes()]
        self.n = len(work.views)

    def __call__(self, image: Any) -> list:
        out: list = [None] * self.n
        for cut, views in self.boxes:
            box = cut(image)
            for i, finish in views:
                out[i] = finish(box)
        return out


class Mapped:
    """A map-style data set: row -> load(row) -> its views."""

    def __init__(self, load: Callable[[int], Any], views: Callable[[Any], list]):
        self.load, self.views = load, views

    def __getitem__(self, row: int) -> list:
        return self.views(self.load(row))


class TorchPeer(Peer):
    """torch's DataLoader: worker processes that stay alive, four batches ahead each, default collation."""

    def __init__(self, work: Work, file: str, batch_size: int, workers: int):
        from torch.utils.data import DataLoader

        super().__init__(work, file, batch_size, workers)
        self.rows: list[int] = []
        self.loader = DataLoader(
            Mapped(*self.recipe()),
            batch_size=batch_size,
            sampler=self,
            num_workers=workers,
            persistent_workers=True,
            prefetch_factor=4,
            worker_init_fn=one_thread,
        )

    @abstractmethod
    def recipe(self) -> tuple[Callable[[int], Any], Callable[[Any], list]]:
        """How a row is loaded, and what makes the views of the loaded image."""

    def __iter__(self) -> Iterator[int]:  # the sampler: each round has rows of its own
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        self.rows = list(rows)
        for views in self.loader:
            yield len(views[0])


def one_thread(_: int = 0) -> None:
    """A worker is one thread: torch's and OpenCV's own pools are off."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
