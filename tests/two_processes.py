"""What runs in each of two processes (gloo, CPU); a module of its own, so that a spawned process can import it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from drawn import CLASSES, Drawn, small, trainer, views_of
from massrl.backbones import build
from massrl.bench.cases import CASES
from massrl.callbacks import Health, OnlineKNN, OnlineLinear
from massrl.dense.recipes import Segment
from massrl.dense.segment import Segmenter
from massrl.distributed import average_gradients, gather, over_shuffled, rank, world_size
from massrl.evaluation.features import extract

WORLD = 2
SIZE = (8, 5)  # images, channels
# Trained in float64: Barlow Twins divides by deviations over 8 images, and three steps in float32 differ by 2e-5 when
# the images only change places (in float64 by 4e-14).
DOUBLE = {"BarlowTwins"}
IMAGES = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def without_batch_norm(module: nn.Module) -> nn.Module:
    """GroupNorm in place of BatchNorm, which would see only its own process's images."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            norm = nn.GroupNorm(1, child.num_features, affine=child.affine)
            trained_too = all(p.requires_grad for p in child.parameters())  # not in a target network
            setattr(module, name, norm.requires_grad_(trained_too))
        else:
            without_batch_norm(child)
    return module


def trained(name: str, part: tuple[int, int] = (0, 1), **args) -> dict[str, torch.Tensor]:
    """The state of a method after 3 steps on this process's part of 3 batches."""
    method, data = without_batch_norm(small(name)), Drawn(views_of(name), 3, 8, part=part)
    if name in DOUBLE:
        method.double()
        data.batches = [Batch.from_views([view.double() for view in b.views], b.labels) for b in data.batches]
    trainer(use_distributed_sampler=False, **args).fit(method, data)
    return method.state_dict()


def validated(part: tuple[int, int] = (0, 1), **args) -> dict[str, float]:
    """What a fit logs of validation images: of each batch a part, and of the last image of all one that fills up."""
    data, val = (Drawn(2, n, 8, part=part) for n in (1, 3))
    if part[0] + 1 == part[1]:
        val.batches[-1].valid[-1] = False
    probes = [OnlineLinear(CLASSES)]
    run = trainer(use_distributed_sampler=False, num_sanity_val_steps=0, callbacks=probes, **args)
    run.fit(without_batch_norm(small("SimCLR")), data, val)
    return {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("val_")}


def alarmed(part: tuple[int, int] = (0, 1), **args) -> tuple[str | None, int]:
    """What the alarm of a fit says, and its steps, where the second process alone has a NaN in its first batch."""
    data, health = Drawn(2, 4, 8, part=part), Health(every_n_steps=1, stop=True)
    if part[0] == 1:
        data.batches[0].blocks[0][:] = torch.nan
    run = trainer(use_distributed_sampler=False, callbacks=[health], **args)
    run.fit(without_batch_norm(small("SimSiam")), data)  # the loss of a process is of its images alone
    return health.alarm, run.global_step


def refused(number: int) -> str:
    """What a segmentation says where the second process alone has a NaN among its weights."""
    module = Segmenter(build("tiny_resnet", width=4), 3, Segment(size=32), (0.5,) * 3, (0.5,) * 3)
    module.log = lambda *args, **kwargs: None
    if number == 1:
        nn.init.constant_(module.head[2].weight, torch.nan)
    images, masks = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 32, 32, dtype=torch.uint8)
    try:
        module.training_step((images, masks), 0)
    except ConfigError as error:
        return str(error)
    return ""


def normalising() -> nn.Module:
    """A network whose BatchNorm lets an image's output depend on its neighbours."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()


def work(number: int, names: list[str], port: int, out: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(WORLD))
    os.environ.update(NODE_RANK="0", LOCAL_RANK=str(number), RANK=str(number))
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=number, world_size=WORLD)
    found = {"place": (rank(), world_size()), "order": gather(torch.full((2, 1, 1), float(number)))}
    found["losses"] = {
        name: case.measure(case.on_ranks, case.share(case.inputs(*SIZE), number, WORLD)) for name, case in CASES.items()
    }
    layer = nn.Linear(1, 1, bias=False)
    layer(torch.tensor([[float(number)]])).sum().backward()
    average_gradients(layer)
    found["average"] = layer.weight.grad
    found["shuffled"] = over_shuffled(normalising(), torch.chunk(IMAGES, WORLD)[number], step=7)
    found["methods"] = {n: trained(n, (number, WORLD), strategy="ddp", devices=WORLD) for n in names}
    found["validated"] = validated((number, WORLD), strategy="ddp", devices=WORLD)
    found["alarmed"] = alarmed((number, WORLD), strategy="ddp", devices=WORLD)
    found["refused"] = refused(number)
    found["features"] = extract(None, out / "images.beton", num_workers=1).index.tolist()
    torch.save(found, out / f"{number}.pt")


class Kept:
    """Takes the place of the module that callbacks log by."""

    def __init__(self) -> None:
        self.logged: dict[str, list[float]] = {}

    def log(self, name: str, value: torch.Tensor, **_) -> None:
        self.logged.setdefault(name, []).append(float(value))


def probing(number: int, out: Path) -> None:
    """Probes over steps in which the processes have labels of none, one, or all of their 8 images."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=number, world_size=WORLD)
    knn, linear, kept = OnlineKNN(k=5, window=1), OnlineLinear(CLASSES, lr=0.1, window=1), Kept()
    run = type("Run", (), {"world_size": WORLD})()
    labels = torch.arange(8) % CLASSES
    x = 3 * nn.functional.one_hot(labels, 6) + torch.randn(8, 6, generator=torch.Generator().manual_seed(number))
    for step, known in enumerate([(0, 8), (1, 8), (0, 0), (8, 8), (8, 0), (8, 8)]):
        given = labels.where(torch.arange(8) < known[number], -1)
        at = 100 * step + 10 * number + torch.arange(8)
        batch = Batch([x], given, at, torch.ones(8, dtype=torch.bool))
        for probe in (knn, linear):
            probe.on_train_batch_end(run, kept, {"features": x}, batch, step)
    assert linear.probe is not None
    found = {"logged": kept.logged, "weight": linear.probe[1].weight.detach()}
    torch.save(found, out / f"{number}.pt")
