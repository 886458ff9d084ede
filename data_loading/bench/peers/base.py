"""The base classes of the peers: what each must offer, and one with torch's DataLoader and its worker processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_loading.bench.images import StoredImages
from data_loading.bench.works import ViewSpec, Work

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Peer(ABC):
    """A loader to be timed: it makes all views of a work, batch after batch.

    file: path of a .beton file.  batch_size: images of a batch.  workers: threads or processes, of one thread each.
    ahead: batches that a queue may hold before a round begins; they are not timed.
    """

    ahead = 0

    def __init__(self, work: Work, file: str, batch_size: int, workers: int):
        self.work, self.file, self.batch_size, self.workers = work, file, batch_size, workers
        self.images = StoredImages(file)

    @classmethod
    def can(cls, work: Work) -> bool:
        """Whether the library offers the views of the work."""
        return True

    @abstractmethod
    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """Make the views of the images `rows`; yield the number of images of each finished batch."""


class Views:
    """Function of an image that returns its views, in the order of the work.

    geometry: spec -> function that cuts and resizes a crop box; it is called once per box.
    colour: spec -> function that makes a finished view of a cut box; it is called once per view.
    """

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
    """A map-style data set: item `row` is `views(load(row))`."""

    def __init__(self, load: Callable[[int], Any], views: Callable[[Any], list]):
        self.load, self.views = load, views

    def __getitem__(self, row: int) -> list:
        return self.views(self.load(row))


class TorchPeer(Peer):
    """torch's DataLoader: persistent worker processes, each four batches ahead, default collation."""

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
            worker_init_fn=start_worker,
        )

    @abstractmethod
    def recipe(self) -> tuple[Callable[[int], Any], Callable[[Any], list]]:
        """(load, views): load(row) returns an image, views(image) the list of its views, (3, S, S) tensors."""

    def __iter__(self) -> Iterator[int]:  # the DataLoader's sampler: rows of the present round
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        self.rows = list(rows)
        for views in self.loader:
            yield len(views[0])


def start_worker(_: int) -> None:
    """Make a worker process one thread, and spare it denormal numbers.

    The outer taps of torchvision's blur are denormal, which makes it up to ten times slower on Intel's processors; its
    users would have that, but a ratio to it would say more of the processor than of the loaders.
    """
    import torch

    one_thread()
    torch.set_flush_denormal(True)


def one_thread() -> None:
    """Turn off the thread pools of torch and OpenCV, so that a worker is one thread."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
