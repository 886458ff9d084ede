"""Watch: sees the steps of an optimiser, since in a plain loop nothing tells a model to move its target network."""

from __future__ import annotations

import weakref

from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from massrl.methods import Method


class Watch:
    """Sees updates of a method's online network.

    Steps of torch's optimisers are seen through torch's global hook. Updates by hand are seen by the parameters' counts
    of in-place changes (`_version`), which fused optimisers do not raise.
    """

    def __init__(self, method: Method):
        self._method = method
        self.forget()
        _WATCHES.add(self)

    def forget(self) -> None:
        """Begin anew: changes so far were no updates, but parameters made, loaded or moved to another device."""
        self._seen: int | None = None
        self._stepped = False
        self._hooked = False  # whether one of torch's optimisers has stepped: then `_version` is no longer asked

    def look(self) -> None:
        """Count updates from now on."""
        self._seen, self._stepped = self._version(), False

    def updated(self) -> bool:
        """Whether there was an update since the last `look` or `forget`; updates by hand count since `look` only."""
        return self._stepped or not self._hooked and self._seen not in (None, self._version())

    def parameters(self) -> list[nn.Parameter]:
        """The parameters of the online network: all of the method's but the target's."""
        target = self._method.target
        theirs = set() if target is None else {id(p) for p in target.parameters()}
        return [p for p in self._method.parameters() if id(p) not in theirs]

    def _version(self) -> int:
        return sum(p._version for p in self.parameters())

    def stepped(self, parameters: set[int]) -> None:
        """Note that an optimiser of the parameters with these ids has stepped."""
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
