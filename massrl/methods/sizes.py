"""Check that a backbone takes the sizes of the views: a ViT of a fixed size says so only when it is run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.nn import evaluating


@torch.no_grad()
def check_sizes(backbone: nn.Module, batch: Batch, num_features: int, sides: Iterable[int] = ()) -> None:
    """Run the backbone on one image of each size; ConfigError if it fails or does not return (1, num_features).

    sides: in pixels, of later epochs.
    """
    firsts = {x.shape[-2:]: (view.role, x[:1]) for view, x in reversed([*zip(batch.layout, batch.views, strict=True)])}
    like = batch.views[0]
    for side in sides:
        firsts.setdefault(torch.Size((side, side)), ("global", like.new_zeros((1, like.shape[1], side, side))))
    for size, (role, x) in firsts.items():
        try:
            with evaluating(backbone):
                h = backbone.forward(x)
        except (RuntimeError, AssertionError, ValueError) as error:
            line = str(error).partition("\n")[0]
            raise ConfigError(
                f"the backbone cannot take {role} views of {tuple(size)} pixels ({line}); give views of a size "
                "that it takes (data.size, local_size of data.views): for a ViT a multiple of its patch_size"
            ) from None
        if tuple(getattr(h, "shape", ())) != (1, num_features):
            what = f"a tensor {tuple(h.shape)}" if isinstance(h, Tensor) else f"a {type(h).__name__}"
            todo = "take one that pools its features, or wrap it in a module that does"
            if isinstance(h, Tensor) and h.dim() == 2:
                todo = f"set num_features to {h.shape[1]}, or take its classifier away"
            raise ConfigError(
                f"the backbone makes {what} of one image, where a method needs (1, num_features) = (1, {num_features})"
                f"; {todo}"
            )
