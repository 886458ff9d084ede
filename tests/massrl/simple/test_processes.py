"""Under DDP a model of massrl.simple does what one process does with all images, the augmentation included."""

import pytest
import torch

from massrl import simple
from massrl.bench.conformance import of_processes
from simple_models import in_processes, trained

NAMES = sorted(simple.__all__)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    return of_processes(in_processes, (2, NAMES, out), out)


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
