"""Checkpoints that version 0.1 has written load, and their runs continue: SimCLR, BYOL and SwAV with a queue.

tests/old_checkpoints/*.ckpt are two steps of each method on the generated images of `--check`, with a tiny ResNet.
"""

from pathlib import Path

import pytest
import torch

import massrl
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint import Checkpoint

FOLDER = Path(__file__).parents[1] / "old_checkpoints"
# First features and the sum of all squared ones, of IMAGES, as version 0.1 computed them.
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
FEATURES = {
    "simclr": ([0.0, 0.046201, 0.0, 0.004294, 0.022777, 0.026908], 0.029526),
    "byol": ([0.0, 0.074263, 0.0, 0.036077, 0.042483, 0.06668], 0.133025),
    "swav": ([0.0, 0.100707, 0.0, 0.014975, 0.057991, 0.066964], 0.110406),
}
METHODS = {"simclr": massrl.SimCLR, "byol": massrl.BYOL, "swav": massrl.SwAV}


@pytest.mark.parametrize("name", FEATURES)
def test_an_old_checkpoint_gives_the_same_features(name):
    method = massrl.load(FOLDER / f"{name}.ckpt")
    assert type(method) is METHODS[name]
    with torch.no_grad():
        features = method.encoder(IMAGES)
    first, squares = FEATURES[name]  # written with six digits
    torch.testing.assert_close(features[0, :6], torch.tensor(first), atol=2e-6, rtol=1e-4)
    assert float(features.double().square().sum()) == pytest.approx(squares, abs=2e-6, rel=1e-4)


@pytest.mark.parametrize("name", FEATURES)
def test_an_old_checkpoint_says_what_it_was_trained_on(name):
    checkpoint = Checkpoint.read(FOLDER / f"{name}.ckpt")
    assert (checkpoint.method, checkpoint.epochs, checkpoint.steps) == (METHODS[name].__name__, 1, 2)
    data = checkpoint.data()
    assert data["size"] == 16 and len(data["mean"]) == 3 and "strategies" in data["view_set"]


@pytest.mark.parametrize("name", FEATURES)
def test_the_run_of_an_old_checkpoint_continues(name, tmp_path):
    file = FOLDER / f"{name}.ckpt"
    config = Checkpoint.read(file).content["massrl"]["config"]
    images = sample_folder(tmp_path)
    run = massrl.pretrain(
        images,
        config=config,
        ckpt_path=file,
        out=tmp_path / "run",
        max_epochs=2,
        cache_dir=str(tmp_path / "cache"),
        **{"data.resume": False},  # the images are other ones, so the position in them does not count
    )
    assert run.metrics["training"]["steps"] == 4
    before, after = Checkpoint.read(file).state_dict, Checkpoint.read(run).state_dict
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
