"""Step: the record of one kind of step (code, parameters, kernels), defined in the file of the op that writes it.

A plan holds a program for each view of each sample: a list of steps, which `program.py` runs. A step is a code and up
to ARGS words of 32 bits: float32 numbers, or the uint32 words of a key for random numbers. Codes:
    0          the end of a program
    1 to 31    the steps of this package's ops
    32 to 127  ops whose own code is in no plan, because they write other ops' steps (rotate and shear write a warp)
    128 on     users' own ops, in the order in which a process defines them
Saved plans hold codes, so the code of a step is never changed and never given to another step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ARGS = 8  # words of a step
END = 0
LAST = 31  # the last code of a step of this package
OWN, OWN_MOST = 128, 128  # the first code of users' own ops, and how many of them a process may define
KEY = "key"  # the name of a uint32 word that keys random numbers


class Step(NamedTuple):
    """One kind of step.

    code, name, numbers: the code in a plan, and what `Plan` calls the step and its words; a word named "key" is a raw
    uint32, every other one a float32.
    reference(image, *numbers): the step in NumPy. image (3, H, W) in 0..255 -> the changed image, float64; numbers are
    floats, a key's words ints.
    tensor(images, *numbers): the step in torch on any device. images (N, 3, H, W) float32 in 0..255 -> new images; each
    number is a tensor (N,), float32, or int64 for a key's word. None: a user's own op has no such form.
    on_rows: the kernel reads only pixels of the row that it writes; it is called in `program.rows`.
    on_values: so does it, and each value becomes a function of itself alone; a table of levels can be run through it.
    image_kernel: a kernel that needs the whole image; its arguments are in whole_image.py.
    joins: the code of another step, which is not run if it comes directly before this one; this step then does the work
    of both and gets the other's numbers after its own. An elastic step joins an affine one, so that the image is
    resampled once. 0: none.
    """

    code: int
    name: str
    numbers: tuple[str, ...] = ()
    reference: Callable[..., Any] | None = None
    tensor: Callable[..., Any] | None = None
    on_rows: bool = False
    on_values: bool = False
    image_kernel: Callable[..., Any] | None = None
    joins: int = 0

    def values(self, word: np.ndarray) -> list[float | int]:
        """The numbers among the words (ARGS,) uint32 of one step: floats, and ints for a key's words."""
        number = word.view(np.float32)
        return [int(word[i]) if name == KEY else float(number[i]) for i, name in enumerate(self.numbers)]


STEPS: dict[int, Step] = {}  # by code; importing data_loading.ops fills it


def step(code: int, name: str, numbers: tuple[str, ...] = (), **more: Any) -> Step:
    """Make a Step and enter it in STEPS; `more` are the other fields of Step.

    ValueError for a code or name of this package that is taken, more than ARGS numbers, or kernels of both kinds.
    """
    made = Step(code, name, numbers, **more)
    taken = [other for other in STEPS.values() if other.code == code or other.name == name]
    if taken and code < OWN:  # users' own ops may be defined twice, as in a notebook
        free = next((free for free in range(END + 1, LAST + 1) if free not in STEPS), None)
        cure = f"all codes from 1 to {LAST} are taken" if free is None else f"{free} is free"
        raise ValueError(f"step {name!r} has the code {code}, but {taken[0].name!r} has {taken[0].code}; {cure}")
    if len(numbers) > ARGS:
        raise ValueError(f"step {name!r} has {len(numbers)} numbers; a step has at most {ARGS}")
    if made.on_rows and made.image_kernel is not None:
        raise ValueError(f"step {name!r} runs on rows and on the whole image; give it one of them")
    STEPS[code] = made
    return made
