"""Translation: FFCV's pipelines -> a view set for the images, and the operations on each batch in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.config.described import describe
from data_loading.errors import ViewError
from data_loading.ffcv.fields.rgb_image import SimpleRGBImageDecoder
from data_loading.ffcv.pipeline.operation import (
    LARGEST,
    OWN_OP,
    FieldDecoder,
    ImageDecoder,
    ImageOp,
    LabelOp,
    Moment,
    Operation,
    TensorOp,
)
from data_loading.ffcv.pipeline.pipeline_spec import PipelineSpec
from data_loading.ffcv.transforms.crops import RandomResizedCrop
from data_loading.ffcv.transforms.ops import ModuleWrapper, ToTorchImage
from data_loading.fields import JSONField
from data_loading.ops import OPS, Choose, Op
from data_loading.strategies import Strategy
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet


class Views(ViewSet):
    """A view for each pipeline of images, of the pipeline's size.

    partners: index of a view -> index of the view whose crop it must not overlap.
    """

    def __init__(self, strategies: list[Strategy], interpolation: str, partners: dict[int, int]):
        super().__init__(strategies, crops=1, own_sizes=True, interpolation=interpolation)
        self.partners = partners

    def crop_partner(self, crop: int) -> int:
        return self.partners.get(crop, -1)

    def to_dict(self) -> dict:
        return {**super().to_dict(), "partners": self.partners}


@dataclass
class Output:
    """A pipeline, translated.

    key: its name in the loader's dict.  source: the field in the file.  image_ops: operations that are rendered into
    the view.  steps: operations on the batch, in Python.  view: index in the view set; -1 for other fields.
    """

    key: str
    source: str
    decoder: Operation | None
    image_ops: list[Any] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    view: int = -1

    @property
    def reads_plan(self) -> bool:
        """Whether a step reads the plan of the batch."""
        return any(isinstance(step, Parameters) for step in self.steps)

    def ops(self, side: int) -> list[Op]:
        """The ops of data_loading.ops for a view of `side` pixels."""
        return [one for op in self.image_ops for one in (op.ops(side) if isinstance(op, ImageOp) else [op])]

    def __call__(self, reader: Reader, batch: Batch, seed: int, epoch: int) -> Tensor:
        x, at = None, Moment(batch, seed, epoch)
        if self.view >= 0:
            x = batch.views[self.view].permute(0, 2, 3, 1)
        elif not isinstance(self.decoder, LabelOp):
            x = stored(batch, reader, self.source)
        for step in self.steps:
            x = step.run(x, at)
            at.channels = 1 if isinstance(step, ToTorchImage) else at.channels
        return x.contiguous() if self.view >= 0 and at.channels == -1 else x


@dataclass
class Parameters(TensorOp):
    """A LabelOp and the index of the view whose numbers it reads."""

    label: LabelOp
    view: int
    reader: Reader

    def run(self, x: Tensor | None, at: Moment) -> Tensor:
        table, rows = self.reader.image_table(), at.batch.index.numpy()
        sides = table.height[rows].astype(np.int64), table.width[rows].astype(np.int64)
        found = torch.from_numpy(
            np.ascontiguousarray(self.label.read(at.batch.plan, self.view, *sides), self.label.dtype)
        )
        return found if x is None else torch.cat([x.float(), found.to(x.device).float()], dim=1)


def translate(
    reader: Reader, pipelines: Mapping[str, Any], mapper: Mapping[str, str]
) -> tuple[ViewSet | None, list[Output]]:
    """The view set of all image pipelines, None without any, and the outputs in FFCV's order.

    That is: the file's fields, then the other keys. mapper: name of an output -> the field that it reads.
    ViewError for what has no translation.
    """
    keys = [key for key in reader.fields if key not in pipelines or pipelines[key] is not None]
    keys += [key for key, spec in pipelines.items() if key not in reader.fields and spec is not None]
    outputs = [_output(reader, key, pipelines.get(key, []), mapper) for key in keys]
    views = [output for output in outputs if isinstance(output.decoder, ImageDecoder)]
    for output in outputs:
        output.steps = [_resolved(step, output, views, reader) for step in output.steps]
    return (_view_set(reader, views) if views else None), outputs


def stored(batch: Batch, reader: Reader, name: str) -> Tensor:
    """A field's values as FFCV has them: numbers (B, 1), arrays (B, *shape), bytes and JSON uint8 (B, longest)."""
    kind = reader.fields[name].kind
    values = batch.fields[name] if name in batch.fields else batch.labels
    if kind in ("bytes", "json"):
        texts = [JSONField().encode(value)[1] for value in values] if kind == "json" else values
        longest = max([int(reader.stored_sizes(name).max()), *map(len, texts)])
        return torch.from_numpy(np.stack([_padded(text, longest) for text in texts]))
    if not isinstance(values, Tensor):
        raise ViewError(f"{reader.path}: field {name!r} has a dtype that torch lacks; give it the pipeline None")
    return values[:, None] if kind in ("int", "float") else values


def first(batch: Batch, n: int) -> Batch:
    """A batch of the first n samples of a batch."""
    plan = batch.plan and Plan(**{name: values[:, :n] for name, values in vars(batch.plan).items()})
    fields = {name: values[:n] for name, values in batch.fields.items()}
    blocks = [block[:, :n] for block in batch.blocks]
    same = {name: getattr(batch, name)[:n] for name in ("labels", "index", "valid")}
    return replace(batch, blocks=blocks, fields=fields, plan=plan, **same)


def _padded(text: bytes, n: int) -> np.ndarray:
    return np.frombuffer(text.ljust(n, b"\0"), np.uint8)


def _output(reader: Reader, key: str, spec: Any, mapper: Mapping[str, str]) -> Output:
    source = mapper.get(key, key)
    if isinstance(spec, PipelineSpec):
        source, spec = spec.source, spec.operations()
    if not isinstance(spec, Sequence):
        raise ViewError(f"pipeline {key!r} is a {type(spec).__name__}; it is a list of operations, or a PipelineSpec")
    if source not in reader.fields:
        raise ViewError(
            f"pipeline {key!r}: {reader.path} has no field {source!r}; it has {', '.join(reader.fields)}. A view of "
            f"another name needs custom_field_mapper={{{key!r}: 'image'}} or PipelineSpec('image', transforms=[...])"
        )
    operations = [_known(key, operation) for operation in spec]
    kind = reader.fields[source].kind
    if kind == "image" and source != reader.image_field:
        raise ViewError(
            f"pipeline {key!r}: the images of one field, {reader.image_field!r}, are rendered; give this one None"
        )
    if operations and isinstance(operations[0], LabelOp):
        rest = [_step(key, operation, type(operations[0]).__name__) for operation in operations[1:]]
        return Output(key, source, operations[0], steps=[operations[0], *rest])
    if kind == "image":
        return _image_output(key, source, operations)
    decoder = operations.pop(0) if operations and isinstance(operations[0], FieldDecoder) else None
    if decoder is not None and kind not in decoder.kinds:
        raise ViewError(f"pipeline {key!r}: {type(decoder).__name__} does not fit field {source!r} of type {kind}")
    return Output(key, source, decoder, steps=[_step(key, operation, "a field's decoder") for operation in operations])


def _image_output(key: str, source: str, operations: list[Any]) -> Output:
    decoder: ImageDecoder = SimpleRGBImageDecoder()
    if operations and isinstance(operations[0], ImageDecoder):
        decoder = operations.pop(0)
    if type(decoder) is SimpleRGBImageDecoder and operations and isinstance(operations[0], RandomResizedCrop):
        decoder = operations.pop(0)  # stock FFCV's transform: the box is one of the whole image all the same
    n = next((i for i, op in enumerate(operations) if not isinstance(op, ImageOp | Op)), len(operations))
    steps = [_step(key, operation, type(operations[n]).__name__) for operation in operations[n:]]
    for step in steps:
        if isinstance(step, LabelOp):
            raise ViewError(f"pipeline {key!r}: {type(step).__name__} gives numbers; it needs a pipeline of its own")
    return Output(key, source, decoder, operations[:n], steps)


def _known(key: str, operation: Any) -> Any:
    if isinstance(operation, nn.Module):
        return ModuleWrapper(operation)
    ours = isinstance(operation, Op | ImageDecoder | ImageOp | TensorOp | FieldDecoder | LabelOp)
    if not ours or hasattr(operation, "generate_code"):
        raise ViewError(f"pipeline {key!r}: {type(operation).__name__} is no operation that is known here; {OWN_OP}")
    return operation


def _step(key: str, operation: Any, before: str) -> TensorOp | LabelOp:
    if isinstance(operation, TensorOp | LabelOp):
        return operation
    raise ViewError(
        f"pipeline {key!r}: {type(operation).__name__} follows {before}; first comes the decoder, then what "
        f"changes the image, then ToTensor and the rest"
    )


def _resolved(step: Any, output: Output, views: list[Output], reader: Reader) -> TensorOp:
    """A LabelOp becomes Parameters of the view whose pipeline has its twin."""
    if not isinstance(step, LabelOp):
        return step
    twin, name = step.twin, type(step).__name__
    same = [
        (v, op)
        for v, view in enumerate(views)
        for op in [view.decoder, *view.image_ops]
        if type(op) is type(twin) and (op.seed, getattr(op, "second_seed", None)) == _seeds(twin)
    ]
    alike = [(v, op) for v, op in same if _described(op) == _described(twin)] or same
    wanted = f"{type(twin).__name__}(seed={twin.seed})"
    if not alike:
        raise ViewError(f"pipeline {output.key!r}: {name} reads the numbers of {wanted}, which no image pipeline has")
    if len(alike) > 1 and (twin.seed is None or len({str(_described(op)) for _, op in alike}) > 1):
        raise ViewError(
            f"pipeline {output.key!r}: {name} could read {len(alike)} operations {wanted}; give it the seed "
            f"and the arguments of one"
        )
    view = alike[0][0]
    writers = [op for op in views[view].ops(LARGEST) if {op.rule, *op.writes} & {*step.codes} or isinstance(op, Choose)]
    if step.codes and len(writers) != 1:
        raise ViewError(
            f"pipeline {output.key!r}: {name} cannot tell the {len(writers)} operations of pipeline "
            f"{views[view].key!r} apart that do the same; keep one"
        )
    return Parameters(step, view, reader)


def _seeds(operation: Any) -> tuple[int | None, int | None]:
    return operation.seed, getattr(operation, "second_seed", None)


def _described(operation: Any) -> Any:
    made = [operation.crop()] if isinstance(operation, ImageDecoder) else operation.ops(LARGEST)
    return [describe(one, OPS) for one in made]


def _view_set(reader: Reader, views: list[Output]) -> ViewSet:
    table = reader.image_table()
    wishes = {view.decoder.interpolation or "bilinear" for view in views}
    if len(wishes) > 1:
        raise ViewError("the pipelines of a loader share one interpolation; give all of them the same")
    strategies, partners = [], {}
    for number, view in enumerate(views):
        view.view = number
        side = view.decoder.side(table.height, table.width)
        strategies.append(Strategy(view.key, [view.ops(side)], crop=view.decoder.crop(), size=side))
        if view.decoder.second_seed is not None:
            partners[number] = _partner(views, view)
    return Views(strategies, wishes.pop(), partners)


def _partner(views: list[Output], view: Output) -> int:
    seed = view.decoder.second_seed
    for number, other in enumerate(views):
        if isinstance(other.decoder, RandomResizedCrop) and _seeds(other.decoder) == (seed, None):
            return number
    raise ViewError(
        f"pipeline {view.key!r}: second_seed={seed} means the crop of another pipeline, and none has "
        f"RandomResizedCrop(seed={seed})"
    )
