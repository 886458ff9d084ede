"""Target: what each form of an export says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from massrl.exporting.source import Encoder

# Largest difference of a feature, relative to the largest feature.
SAME = 1e-5  # the same kernels of torch, perhaps in another order
OTHER = 1e-4  # kernels of another library, which sum in another order in every layer


@dataclass(frozen=True)
class Target:
    """A form of an export.

    name: as `--to` takes it.  suffix: of its file; "" for a folder.  tolerance: the largest difference of a feature
    that is accepted, relative to the largest feature.
    unfit: (encoder) -> why it cannot have this form, "" where it can.
    write: (encoder) -> {file name: content}; a file's name is `model` with its suffix.
    read: (folder, encoder) -> (features of images, who has read it), by the library whose form it is.
    use: (path, encoder) -> lines of Python that load it.
    """

    name: str
    suffix: str
    tolerance: float
    unfit: Callable[[Encoder], str]
    write: Callable[[Encoder], dict[str, bytes]]
    read: Callable[[Path, Encoder], tuple[Callable[[Tensor], Tensor], str]]
    use: Callable[[str, Encoder], str]

    @property
    def file(self) -> str:
        """The name of its file while it is checked."""
        return f"model{self.suffix}"


def anything(encoder: Encoder) -> str:
    """The `unfit` of a form that every encoder can have."""
    return ""


def no_name(encoder: Encoder, library: str) -> str:
    """Why a network without a name, or of massrl's own, is none of that library's; "" where it may be."""
    if encoder.layer != "backbone":
        return f"the encoder of {encoder.method} ends with layers of its projector, which {library} does not have"
    if not encoder.recipe:
        return f"its backbone was given as a module, which {library} cannot make by a name"
    if encoder.library == "massrl":
        return f"{library} has no {encoder.title}"
    if encoder.recipe.get("blur"):
        return f"{library} has no network that blurs what strided convolutions read (backbone_args.blur)"
    return ""
