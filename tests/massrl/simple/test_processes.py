"""Under DDP a model of massrl.simple does what one process does with all images, the augmentation included."""

import time

import pytest
import torch
import torch.multiprocessing as mp

from massrl import simple
from simple_models import in_processes, trained

NAMES = sorted(simple.__all__)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    running = mp.start_processes(in_processes, (2, NAMES, out), nprocs=2, join=False, start_method="spawn")
    try:
        deadline = time.monotonic() + 200
        while not running.join(timeout=5):
            if time.monotonic() > deadline:
                pytest.fail("the two processes did not end within 200 s")
    finally:
        for process in running.processes:
            process.kill()
    return [torch.load(out / f"{r}.pt") for r in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one(ranks, name):
    first, second = (found[name] for found in ranks)
    alone = trained(name)
    assert alone["_extra_state"].tolist() == [3, 3]  # forwards and steps
    for key, expected in alone.items():
        assert torch.equal(first[key], second[key]), key
        # views are made in float32: sums over other batches of images differ by a unit in the last place
        torch.testing.assert_close(
            first[key], expected, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )
