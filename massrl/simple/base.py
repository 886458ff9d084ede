"""What the methods of PySSL's form share: images in, the loss out, in a training loop of the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError, ViewError
from data_loading.kernel.rng import checked_seed
from data_loading.ops import Normalize
from data_loading.render.torch_renderer import render
from data_loading.views import view_sets
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet
from massrl.distributed import equal_buffers, rank
from massrl.methods import Method
from massrl.methods.sizes import check_sizes
from massrl.optim import cosine
from massrl.simple.checks import check_images, three
from massrl.simple.watch import Watch

WORDS = {  # of the method -> ours
    "data.batch_size": "the batch size",
    "data.views": "views",
    "data.size": "image_size",
    "num_features": "feature_size",
    "local: 0": "local=0",
}
EVAL = 2**32 - 1  # the step that keys the random numbers of eval mode, so that its losses can be compared


class Setting:
    """An argument of PySSL's that is an attribute of `model.method`, under another name; may be set at any time."""

    def __init__(self, attribute: str):
        self.attribute = attribute

    def __get__(self, model: Simple | None, owner: type) -> Any:
        return self if model is None else getattr(model.method, self.attribute)

    def __set__(self, model: Simple, value: Any) -> None:
        setattr(model.method, self.attribute, value)


class Simple(nn.Module):
    """loss = model(images): float images (N, 3, H, W) in 0..1, which are augmented inside, each one by itself.

    The maths is that of `method`, a Method of massrl.methods; this adds its views, and moves its target network. The
    target moves once for each step of the optimiser: at the start of the next forward, or when it is read. In eval mode
    a loss changes nothing; under no_grad in train mode it changes only the statistics of BatchNorm.

    Args:
        backbone: a module (N, 3, H, W) -> (N, feature_size).
        feature_size: width of its output.
        image_size: side of the global views in pixels.
        mean: of the images, in 0..1: one number, or three for the channels.
        std: of the images, in 0..1: one number, or three for the channels.
        views: a view set or its name, as simclr32 for small images; None takes the method's own.
        seed: of the augmentation, a function of (seed, step, index in the batch) that reads no other random state.
        total_steps: optimiser steps of the run, over which the target's momentum rises to 1; None leaves it constant.
        freeze_steps: optimiser steps for which the prototypes rest.
        fixed: arguments of the method that the class has not, as {name: value}.
        own: the class's own arguments, under PySSL's names; they become attributes.
    """

    of: type[Method]
    method: Method  # of the class `of`; subclasses declare which
    projection_dim: int  # an argument of every subclass; their own ones become attributes, without values here
    names: dict[str, str] = {}  # argument of the class -> argument of the method, where their names differ

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        image_size: int,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        views: str | dict | list | ViewSet | None,
        seed: int,
        total_steps: int | None = None,
        freeze_steps: int = 0,
        fixed: dict[str, Any] | None = None,
        **own: Any,
    ):
        super().__init__()
        me = type(self).__name__
        if not isinstance(backbone, nn.Module):
            raise ConfigError(f"{me}: backbone is {backbone!r}; give a module, as torchvision's resnet18 without fc")
        if not isinstance(feature_size, int) or feature_size < 1:
            raise ConfigError(f"{me}: feature_size is {feature_size!r}; give the width of the backbone's output")
        if total_steps is not None and total_steps < 1:
            raise ConfigError(f"{me}: total_steps is {total_steps}; give the optimiser steps of the run, or none")
        if freeze_steps < 0:
            raise ConfigError(f"{me}: freeze_steps is {freeze_steps}; give 0, or how many steps the prototypes rest")
        if getattr(backbone, "num_features", None) != feature_size:
            backbone.num_features = feature_size  # type: ignore[assignment]  # torch declares Tensor | Module
        with self._own_words():
            arguments = {self.names.get(name, name): value for name, value in own.items()} | (fixed or {})
            self.method = self.of(backbone, channels_last=False, **arguments)
            self.view_set = view_sets.get(self.of.default_views if views is None else views, image_size)
            self.method.check(self.view_set)
            self.normalise = Normalize(three(me, "mean", mean), three(me, "std", std))
        for name, value in own.items():
            if not isinstance(getattr(type(self), name, None), Setting):
                setattr(self, name, value)
        self.feature_size, self.image_size, self.mean, self.std = feature_size, image_size, mean, std
        self.total_steps, self.freeze_steps = total_steps, freeze_steps
        self.seed = checked_seed(seed)
        # Numbers, not buffers: DDP copies buffers of rank 0 to all ranks, and rank 0 alone may have saved its state.
        self.draws = 0  # forwards of training
        self.steps = 0  # of the optimiser, as far as they are seen
        self._fits = False  # whether the backbone was seen to make what feature_size says
        self._begin()

    def _begin(self) -> None:
        self._watch = Watch(self.method)
        self._drawer = Drawer(self.view_set, self.seed)

    # ---- the loss

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), floats in 0..1, N >= 2 -> the scalar loss; ConfigError for any other input."""
        return self._loss(images)

    @torch.compiler.disable  # plans are sampled with NumPy; a compiled backbone stays compiled
    def _loss(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        check_images(type(self).__name__, images)
        if len(images) < 2:
            raise ConfigError(
                f"{type(self).__name__} got a batch of {len(images)}; images are compared with one another, so give "
                "at least 2 (DataLoader: drop_last=True)"
            )
        learning = self.training and torch.is_grad_enabled()
        if learning:
            self.catch_up()
            if (
                self.method.target is not None and not self.draws
            ):  # the target starts as a copy of the present online network
                online = {name: getattr(self.method, name) for name in self.method.targets}
                self.method.target.update(0.0, True, **online)
        batch = Batch.from_views(self._views(images), labels)
        with self._own_words(), self._learning(learning):
            if not self._fits:
                if self.method.target is not None:
                    self.method.target.check()
                check_sizes(self.backbone, batch, self.feature_size)
                self._fits = True
            self.method.check_batch(batch)
            loss = self._with_resting(batch)
        if learning:
            self.draws += 1
            self._watch.look()
        return loss

    def augment(self, images: Tensor) -> list[Tensor]:
        """The views (N, 3, S, S) from which the next forward would compute the loss, normalised; global views first."""
        check_images(type(self).__name__, images)
        return self._views(images)

    def _views(self, images: Tensor) -> list[Tensor]:
        n, _, height, width = images.shape
        step = self.draws % EVAL if self.training else EVAL
        samples = rank() * n + np.arange(n)
        plan = self._drawer(step, samples, np.full(n, height), np.full(n, width))
        views = render(self.view_set, images.detach().float() * 255, plan, self.normalise)
        kind = next(self.method.backbone.parameters(), views[0]).dtype
        return [view.to(kind) for view in views]

    def _with_resting(self, batch: Batch) -> Tensor:
        """The method's loss; for the first freeze_steps steps the prototypes get a gradient of 0."""
        resting: list[nn.Parameter] = []
        if self.freeze_steps and self.steps < self.freeze_steps:
            resting = [p for p in self.method.get_submodule("prototypes").parameters() if p.requires_grad]
        try:
            for p in resting:
                p.requires_grad_(False)
            loss = self.method.loss(batch)
        finally:
            for p in resting:
                p.requires_grad_(True)
        return loss + sum(0.0 * p.sum() for p in resting)  # 0, not none, for which DDP would wait

    def catch_up(self) -> None:
        """Move the target network if the optimiser has stepped since it last moved."""
        if self._watch.updated():
            method, step = self.method, self.steps
            if method.target is not None:
                total = self.total_steps
                method.move_target(cosine(step, total, method.ema) if total else method.ema)
            self.steps += 1
            self._watch.look()

    @contextmanager
    def _learning(self, on: bool) -> Iterator[None]:
        """Set the mode of the method alone: whether it pushes to queues, moves centres; its parts keep their modes."""
        kept = self.method.training
        self.method.training = on
        try:
            yield
        finally:
            self.method.training = kept

    # ---- what is refused

    @contextmanager
    def _own_words(self) -> Iterator[None]:
        """Let errors of the method name the arguments as this class names them."""
        try:
            yield
        except (ConfigError, ViewError) as error:
            words = {ours: name for name, ours in self.names.items()} | WORDS
            pattern = r"\b(" + "|".join(map(re.escape, words)) + r")\b"
            text = re.sub(pattern, lambda found: words[found[1]], str(error))
            me = type(self).__name__
            raise type(error)(text if text.startswith(me) else f"{me}: {text}") from None

    # ---- parts

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):  # nn.Module would keep it beside the one in use
            raise ConfigError(f"{type(self).__name__}: {name} cannot be replaced; make a new model with another")
        super().__setattr__(name, value)

    @property
    def backbone(self) -> nn.Module:
        """Normalised images (N, 3, H, W) -> features (N, feature_size)."""
        return self.method.backbone

    @property
    def projector(self) -> nn.Module:
        """Features -> embeddings (N, projection_dim)."""
        return self.method.projector

    @property
    def encoder(self) -> nn.Sequential:
        """Normalised images -> embeddings: backbone and projector."""
        return self._chain(self.backbone, self.projector)

    def _chain(self, *parts: nn.Module) -> nn.Sequential:
        chain = nn.Sequential(*parts)
        chain.training = self.training
        return chain

    def _target(self, first: int = 0) -> nn.Sequential:
        """The target network after the last step, from its part number `first` on."""
        self.catch_up()
        assert self.method.target is not None, f"{type(self).__name__} has no target network"
        return self._chain(*list(self.method.target.parts.values())[first:])

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """What DistributedDataParallel reads: buffers that it need not send before each step."""
        return equal_buffers(self)

    # ---- copies: the target first follows the last step of the optimiser

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # all are passed on
        """The state after the target has followed the optimiser's last step."""
        self.catch_up()
        return super().state_dict(*args, **kwargs)

    def get_extra_state(self) -> Tensor:
        """Forwards of training, and optimiser steps seen, (2,) int64."""
        return torch.tensor([self.draws, self.steps])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the counts of `get_extra_state`."""
        self.draws, self.steps = state.tolist()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._watch.forget()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> nn.Module:
        self.catch_up()
        self._watch.forget()
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        self.catch_up()
        return {name: value for name, value in self.__dict__.items() if name not in ("_watch", "_drawer")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._begin()
