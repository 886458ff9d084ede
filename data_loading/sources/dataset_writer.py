"""DatasetWriter: BetonWriter plus methods for image folders and webdataset shards."""

from __future__ import annotations

import json
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton.shards import Shard
from data_loading.beton.writer import BetonWriter
from data_loading.errors import SourceError
from data_loading.fields import Field
from data_loading.sources.base import MOST_BYTES, Source
from data_loading.sources.folder import SUFFIXES, Folder
from data_loading.sources.index import class_names, index_of, shard_notes, write_index

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")  # how files of gzip, bzip2 and xz begin
# Without a pipeline, a field takes the first of these extensions that a webdataset sample (extension -> bytes) has.
EXTENSIONS = {
    "image": tuple(suffix[1:] for suffix in sorted(SUFFIXES)),
    "int": ("cls", "label", "int"),
    "float": ("float", "txt"),
    "json": ("json",),
    "bytes": ("bin", "bytes", "txt"),
}


class DatasetWriter(BetonWriter):
    __doc__ = BetonWriter.__doc__

    def from_indexed_dataset(
        self,
        dataset: Any,
        indices: Sequence[int] | np.ndarray | None = None,
        progress: bool = True,
        skip_bad: bool = False,
        shuffle_indices: bool = False,
        seed: int = 0,
        shard: int | None = None,
        shards: int | None = None,
    ) -> Path:
        """As BetonWriter's; class names are kept beside the file, in NAME.index.json.

        They are a data set's attribute `classes`, which torchvision's and those of data_loading.sources have. A shard
        has the class names of the whole data set, and notes of which data set it is a shard.
        """
        path = super().from_indexed_dataset(
            dataset, indices, progress, skip_bad, shuffle_indices, seed, shard=shard, shards=shards
        )
        if class_names(dataset) or isinstance(dataset, Source):
            part = Shard.checked(shard, shards)
            notes = {}
            if part is not None:
                rows = None if indices is None else np.asarray(indices, np.int64).tolist()
                notes = shard_notes(part, dataset, [rows, seed if shuffle_indices else None], self.fields)
            write_index(index_of(path), path, dataset, self.rows, **notes)
        return path

    def from_image_folder(self, root: str | Path, **options: Any) -> Path:
        """Write a folder of images: samples (image, label) if it has class sub-folders, else (image,).

        root, errors: as data_loading.sources.folder.Folder.  options: arguments of from_indexed_dataset.
        """
        return self.from_indexed_dataset(Folder(root), **options)

    def from_webdataset(
        self,
        shards: str | Sequence[str],
        pipeline: Callable[[Any], Iterable[tuple]] | None = None,
        progress: bool = True,
        skip_bad: bool = False,
    ) -> Path:
        """Write the samples of webdataset shards in order. Each is read once; of compressed ones the sizes before.

        shards: paths, or one pattern such as "train-{000..009}.tar".
        pipeline: function from webdataset.WebDataset to an iterable of tuples in the order of the fields, as in FFCV.
            None: each field takes the file of the sample whose extension is the field's name or fits its type, for
            example jpg or png for an image and cls for an int.
        progress, skip_bad, result: as from_indexed_dataset.  SourceError if webdataset is not installed, a shard
        cannot be read, or a sample has no file for a field.
        """
        try:
            import webdataset
        except ImportError as error:
            raise SourceError(f"{self.path}: from_webdataset needs webdataset: pip install webdataset") from error
        shards = shards if isinstance(shards, str) else [str(shard) for shard in shards]
        for shard in webdataset.shardlists.expand_urls(shards) if isinstance(shards, str) else shards:
            _check_sizes(Path(shard))
        dataset = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
        return self.from_samples(self._samples(dataset, pipeline), progress, skip_bad)

    def _samples(self, dataset: Any, pipeline: Callable | None) -> Iterator[tuple[str, Any]]:
        try:
            if pipeline is not None:
                yield from ((f"sample {i}", values) for i, values in enumerate(pipeline(dataset)))
                return
            for sample in dataset:
                name = f"{sample['__url__']}: {sample['__key__']}"
                yield name, tuple(_value(sample, key, field, name) for key, field in self.fields.items())
        except (OSError, tarfile.TarError) as error:
            raise SourceError(f"{self.path}: the shards cannot be read: {error}") from error


def _check_sizes(shard: Path) -> None:
    """Refuse a compressed shard with a file that takes too much unpacked; others hold no more bytes than they have.

    Shards that are no files here, as addresses and pipes, pass.
    """
    try:
        with open(shard, "rb") as file:
            if not file.read(6).startswith(COMPRESSED):
                return
        with tarfile.open(shard) as tar:
            large = next((member for member in tar if member.size > MOST_BYTES), None)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError):
        return  # reading it says what is wrong
    if large is not None:
        size = f"{large.size / 2**30:.1f} GiB unpacked; a file of a shard may take 1 GiB"
        raise SourceError(f"{shard}: {large.name} takes {size}")


def _value(sample: dict, key: str, field: Field, name: str) -> Any:
    """The value for `field` from a webdataset sample, a dict extension -> bytes. key: the field's name."""
    values = [sample[extension] for extension in (key, *EXTENSIONS.get(field.kind, ())) if extension in sample]
    if not values:
        kinds = ", ".join(extension for extension in sample if not extension.startswith("__"))
        raise SourceError(f"{name} has {kinds}, none for field {key!r} of type {field.kind}; give a pipeline")
    data = values[0]
    try:
        if field.kind in ("int", "float"):
            return {"int": int, "float": float}[field.kind](data)
        if field.kind == "json":
            return json.loads(data)
    except ValueError as error:
        raise SourceError(f"{name}: field {key!r}: {error}") from None
    return data
