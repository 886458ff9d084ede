"""Losses, queues, centres and targets never wait for the device: rehearsed on one that is not there (no_wait.py)."""

from contextlib import contextmanager

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from drawn import Drawn, small, views_of
from massrl.distributed import equal_buffers
from massrl.methods import list_methods
from no_wait import Rehearsal, waits

KNOWN = {"SwAV": {"queue_size": 0}}  # with a queue, `FeatureQueue.full` still reads a number from the device


@contextmanager
def autocast(on):
    """bfloat16 on the device; torch.autocast itself does nothing where there is no device."""
    before, kind = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", on)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)
        torch.set_autocast_dtype("cuda", kind)
        torch.clear_autocast_cache()


def on_device(name, **args):
    """A method and a batch, both on the device that is not there."""
    rehearsal, batch = Rehearsal(), next(iter(Drawn(views_of(name), 1, 8, size=16, local_size=8)))
    return rehearsal, rehearsal.module(small(name, **args).train()), batch._map(rehearsal.tensor)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # whether views are side by side
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", list_methods())
def test_loss_queues_centres_and_target_do_not_wait(name, bf16):
    rehearsal, method, batch = on_device(name, **KNOWN.get(name, {}))

    def step():
        with rehearsal.watched(), autocast(bf16):
            method.loss(batch)
            if method.target is not None:
                method.move_target(0.99)

    assert waits(step) == ""


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x[torch.tensor([0])],
        lambda x: torch.tensor(1.0, device=x.device),
        lambda x: x.unique(),
    ],
    ids=["item", "mask", "copy", "index on the host", "number", "unique"],
)
def test_the_rehearsal_sees_what_waits(run):
    rehearsal = Rehearsal()
    x = rehearsal.tensor(torch.zeros(4))

    def step():
        with rehearsal.watched():
            run(x)

    assert waits(step) != ""


def test_nnclr_makes_no_tensor_as_large_as_its_queue():
    # 2 views of 8 images are fewer than 64 numbers of an embedding, so their products with the queue are no larger.
    rehearsal, method, batch = on_device("NNCLR", queue_size=100_000, out_dim=64)
    with rehearsal.watched() as made:
        method.loss(batch)
    assert made.largest < method.queue.ring.numel()


def test_ddp_sends_no_queue_and_no_centre(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        for name in ("MoCoV2Plus", "NNCLR", "DINO"):
            method = small(name)
            sent = {id(b) for b in DistributedDataParallel(method).modules_buffers}
            kept = {n for n, b in method.named_buffers() if id(b) not in sent}
            assert kept and kept == set(equal_buffers(method)), "the statistics of BatchNorm are sent"
    finally:
        torch.distributed.destroy_process_group()
