"""BYOL in one page: a whole self-supervised run in a plain PyTorch loop, from massrl.losses and massrl.nn alone.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv:2006.07733. From one view of an image, an online network
predicts the embedding that a target network has of another view. The target network is a moving average of the online
network. Training uses no labels.

    python docs/byol_in_one_page.py                                     # scikit-learn's digits, about a minute on a CPU
    python docs/byol_in_one_page.py train.beton test.beton --views byol32 --size 32       # labelled images of your own
"""

import argparse
import atexit
import math
import tempfile
from pathlib import Path

import torch
from torch import nn

from data_loading import DatasetWriter, Loader, sources
from massrl.losses import cosine_distance, feature_std
from massrl.nn import Target, mlp, projector

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("files", nargs="*", help="a training and a test .beton file or folder, with labels for the kNN")
parser.add_argument("--views", default="digits_affine", help="augmentation: a name of `massrl list strategies`")
parser.add_argument("--size", type=int, default=8, help="side of a view, pixels")
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()

# Data: write the digits to .beton files, unless files are given.
files = args.files
if not files:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    for split in ("train", "test"):
        images = sources.open("digits", split=split)
        files.append(Path(folder.name) / f"{split}.beton")
        DatasetWriter(files[-1], images.fields()).from_indexed_dataset(images, progress=False)
train, test = files
loader = Loader(train, 64, args.views, size=args.size)  # yields two random views of 64 images

# Model: a convolutional encoder and the two heads of BYOL. The target has no predictor.
torch.manual_seed(0)
layers = [(3, 16, 1), (16, 32, 1), (32, 32, 2), (32, 32, 1), (32, 64, 1)]  # channels in, channels out, stride
convolutions = [nn.Sequential(nn.Conv2d(a, b, 3, s, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b, s in layers]
encoder = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())  # (B, 3, H, W) -> (B, 64)
project = projector(64, 256, 64, norm=True)
predict = mlp(64, 256, 64)
target = Target(encoder=encoder, project=project)  # copies that get no gradient
online = [*encoder.parameters(), *project.parameters()]
groups = [{"params": online, "lr": 2e-3}, {"params": predict.parameters(), "lr": 1e-2}]
optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
steps = args.epochs * len(loader)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [2e-3, 1e-2], total_steps=steps, pct_start=0.05)


@torch.no_grad()
def features(path):
    """Features (N, 64) and labels (N,) of all images of a file, without augmentation."""
    encoder.eval()
    batches = Loader(path, 256, "eval", size=args.size, order="sequential")
    rows = [(encoder(batch.views[0])[batch.valid], batch.labels[batch.valid]) for batch in batches]
    encoder.train()
    return [torch.cat(part) for part in zip(*rows, strict=True)]


def knn_accuracy(labels):
    """Test accuracy in per cent of the nearest neighbour by cosine, among a random subset of the training images."""
    (x, y), (test_x, test_y) = features(train), features(test)
    subset = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:labels]
    bank, query = (nn.functional.normalize(part - x.mean(0)) for part in (x[subset], test_x))
    return 100 * (y[subset][(query @ bank.T).argmax(1)] == test_y).float().mean().item()


print(f"kNN accuracy before training: {knn_accuracy(100):.1f} % with 100 labels, {knn_accuracy(None):.1f} % with all")
step = 0
for epoch in range(args.epochs):
    for batch in loader:
        x1, x2 = batch.views  # (B, 3, H, W) each
        z1, z2 = project(encoder(x1)), project(encoder(x2))  # (B, 64) each
        with torch.no_grad():
            z1_target, z2_target = target(x1), target(x2)
        loss = cosine_distance(predict(z1), z2_target) + cosine_distance(predict(z2), z1_target)  # eq. 2, both ways
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        momentum = 1 - (1 - 0.99) * (math.cos(math.pi * step / steps) + 1) / 2  # from 0.99 to 1, sec. 3.3
        target.update(momentum, encoder=encoder, project=project)
        step += 1
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}, embedding std {feature_std(z1).item():.3f} (0: collapse)")
print(f"kNN accuracy after training: {knn_accuracy(100):.1f} % with 100 labels, {knn_accuracy(None):.1f} % with all")
