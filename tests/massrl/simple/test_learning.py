"""A short training in a plain loop, on scikit-learn's digits: the loss falls and features do not collapse."""

import pytest
import torch
from sklearn.datasets import load_digits

from massrl import backbones, simple
from massrl.losses import feature_std
from simple_models import SMALL

# Losses that first rise: keys are harder to tell apart than the random ones that a queue begins with, and DINO's target
# is another distribution at each step. They fall from their highest value.
RISES = {"MoCo", "MoCoV2", "DINO"}
EPOCHS = {"MoCoV2": 20, "DINO": 24}
WIDER = {
    "DINO": {"head_norm": True, "bottleneck_dim": 64, "hidden_dim": 256, "freeze_steps": 16},
    "SwAV": {"use_the_queue": False},
    "MoCo": {"K": 256, "m": 0.9},
    "MoCoV2": {"K": 256, "m": 0.9},
    "BYOL": {"tau": 0.98, "hidden_dim": 256, "projection_dim": 64},
}


@pytest.mark.parametrize("name", simple.__all__)
def test_the_loss_falls_and_features_do_not_collapse(name):
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32).view(-1, 1, 8, 8).expand(-1, 3, -1, -1)[:1024]
    labels = torch.tensor(data.target)[:1024]
    torch.manual_seed(0)
    net = backbones.build("tiny_resnet", width=16 if name == "DINO" else 8)
    args = {**SMALL.get(name, {}), **WIDER.get(name, {})}
    one = getattr(simple, name)(net, net.num_features, image_size=8, mean=0.3, std=0.37, views="digits_affine", **args)
    optimiser = torch.optim.AdamW(one.parameters(), 3e-3)
    order = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(EPOCHS.get(name, 6)):
        for rows in torch.randperm(1024, generator=order).split(64):
            loss = one(images[rows], labels[rows]) if name == "SupCon" else one(images[rows])
            optimiser.zero_grad()
            loss.backward()
            if name == "DINO":  # as its paper has it: gradients are cut, and the rate rises
                torch.nn.utils.clip_grad_norm_(one.parameters(), 3.0)
                optimiser.param_groups[0]["lr"] = 2e-3 * min(1.0, (len(losses) + 1) / 60)
            optimiser.step()
            losses.append(loss.item())
    parts = torch.tensor(losses).view(-1, 16).mean(1)
    first = parts.max() if name in RISES else parts[0]
    assert parts[-1] < first - 0.02 * first.abs(), parts
    one.eval()
    with torch.no_grad():
        h = one.backbone((images - 0.3) / 0.37)
    spread = float(feature_std(h - h.mean(0))) * h.shape[1] ** 0.5
    assert spread > 0.5, spread  # 1 is that of directions all over the sphere, 0 that of one for all images
