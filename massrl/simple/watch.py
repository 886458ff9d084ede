"""Whether an optimiser has stepped: a plain loop has no place of its own in which a model could move its target."""

from __future__ import annotations

import weakref

from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from massrl.methods import Method


class Watch:
    """Sees updates of the online network of a method: steps of torch's optimisers, through the hook that torch has for
    all of them, and updates by hand, by the counts of in-place changes (`_version`), which fused optimisers leave."""

    def __init__(self, method: Method):
        self._method = method
        self.forget()
        _WATCHES.add(self)

    def forget(self) -> None:
        """What has happened so far is no update: parameters were made, loaded, or moved to another device."""
        self._seen: int | None = None
        self._stepped = False
        self._hooked = False  # whether an optimiser of torch has stepped: then in-place changes are none of its steps

    def look(self) -> None:
        """Updates are counted from here on."""
        self._seen, self._stepped = self._version(), False

    def updated(self) -> bool:
        """Whether there was an update since the last of these two; by hand, since `look` alone."""
        return self._stepped or not self._hooked and self._seen not in (None, self._version())

    def parameters(self) -> list[nn.Parameter]:
        target = self._method.target
        theirs = set() if target is None else {id(p) for p in target.parameters()}
        return [p for p in self._method.parameters() if id(p) not in theirs]

    def _version(self) -> int:
        return sum(p._version for p in self.parameters())

    def stepped(self, parameters: set[int]) -> None:
        """An optimiser of the parameters with these ids has stepped."""
        if any(id(p) in parameters for p in self.parameters()):
            self._stepped = self._hooked = True


_WATCHES: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    skipped = getattr(optimizer, "found_inf", None)  # by a GradScaler, which lets a fused optimiser skip by itself
    if _WATCHES and not (skipped is not None and skipped.item()):
        parameters = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for watch in list(_WATCHES):
            watch.stepped(parameters)


register_optimizer_step_post_hook(_after_step)
