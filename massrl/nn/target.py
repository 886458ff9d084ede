"""Target: a momentum copy of parts of a method."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError

# Dropout and stochastic depth of torch, torchvision and timm: name of the class -> attribute with its probability.
DROPS = {
    "_DropoutNd": "p",
    "MultiheadAttention": "dropout",
    "StochasticDepth": "p",
    "DropPath": "drop_prob",
    "DropBlock2d": "drop_prob",
    "PatchDropout": "prob",
}


class Target(nn.Module):
    """Copies of modules, run one after the other, whose parameters follow the originals slowly.

    The copies receive no gradient. They are in train mode during training, so that BatchNorm uses the statistics of the
    batch; their buffers come from their own forward. Dropout and stochastic depth (DROPS) are off, as in DINO's code.

    Args:
        modules: the online modules by name, in the order in which they run.
    """

    def __init__(self, **modules: nn.Module):
        super().__init__()
        self.parts = nn.ModuleDict({name: copy.deepcopy(module) for name, module in modules.items()})
        self.requires_grad_(False)
        for module in self.parts.modules():
            for kind in type(module).__mro__:
                if kind.__name__ in DROPS:
                    setattr(module, DROPS[kind.__name__], 0.0)

    def check(self) -> None:
        """Raise a ConfigError for 16-bit parameters, in which rounding loses most of a step of 1 - ema."""
        small = {p.dtype for p in self.parameters()} & {torch.bfloat16, torch.float16}
        if small:
            kind = str(small.pop()).removeprefix("torch.")
            raise ConfigError(
                f"the target network is {kind}, too coarse for the small steps in which it moves; keep the weights in "
                "float32 and compute in 16 bits: --trainer.precision bf16-mixed, or torch.autocast"
            )

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last module, as embeddings (B, D) of images (B, 3, H, W)."""
        for part in self.parts.values():
            x = part(x)
        return x

    @torch.no_grad()
    def update(self, ema: float, buffers: bool = False, **modules: nn.Module) -> None:
        """Move the copies: target <- ema * target + (1 - ema) * online, in float32.

        Args:
            ema: momentum, from 0 (copy the online modules) to 1 (do not move).
            buffers: whether running statistics move too; integer buffers, as the count of batches, are then copied.
            modules: the online modules by name.
        """
        pairs: list[tuple[Tensor, Tensor]] = [
            pair
            for name, part in self.parts.items()
            for pair in zip(part.parameters(), modules[name].parameters(), strict=True)
        ]
        if buffers:
            both = [zip(part.buffers(), modules[name].buffers(), strict=True) for name, part in self.parts.items()]
            for mine, online in (pair for each in both for pair in each):
                if mine.is_floating_point():
                    pairs.append((mine, online))
                else:
                    mine.copy_(online)
        if all(p.dtype == torch.float32 for pair in pairs for p in pair):
            targets, onlines = zip(*pairs, strict=True)
            torch._foreach_lerp_(targets, onlines, 1 - ema)
            return
        for a, b in pairs:
            exact = torch.promote_types(a.dtype, torch.float32)
            a.copy_(torch.lerp(a.to(exact), b.to(exact), 1 - ema))
