"""Runs that are killed, and go on by the same command as if they had not been."""

import random

import pytest
import torch

from killing import POINTS, STEPS, kept, killed, logged, train
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint_files import LAST, NEXT, PREVIOUS

FILES = ("config.yaml", "environment.json", "heartbeat.json", "metrics.csv", "metrics.json", "views.png")  # of a run


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def never_killed(images, tmp_path_factory):
    """Folder of a run of some settings that was never killed; made once for each."""
    made = {}

    def run(**settings):
        key = str(sorted(settings.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("never") / "run"
            train(images, made[key], **settings)
        return made[key]

    return run


def assert_equal(run, other):
    one, two = kept(run), kept(other)
    assert one["global_step"] == two["global_step"]
    for name, value in one["state_dict"].items():  # model, target and queue
        assert torch.equal(value, two["state_dict"][name]), name
    momenta = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (one, two)]
    for at, state in momenta[0].items():
        assert all(torch.equal(v, momenta[1][at][k]) for k, v in state.items() if isinstance(v, torch.Tensor))
    assert logged(run) == logged(other)


@pytest.mark.parametrize(("point", "step"), [("before the row", 6), ("in the write", 7)])
def test_a_killed_run_goes_on_as_if_it_had_not_been(images, never_killed, tmp_path, point, step):
    run = tmp_path / "run"
    killed(images, run, point, step)
    train(images, run)
    assert len(logged(run)) == STEPS and {"knn", "linear", "z_rank", "drawn"} <= logged(run)[-1].keys()
    assert_equal(run, never_killed())
    left = sorted(path.name for path in run.rglob("*") if path.is_file())
    assert left == sorted([LAST.name, PREVIOUS.name, *FILES])


def _points():
    """20 kill points over the settings that change what a step is: 14 single ones, 3 pairs in one epoch."""
    draw = random.Random(0)
    settings = [{}, {"accumulate_grad_batches": 2}, {"num_workers": 2}]
    settings += [{"method": "DINO"}, {"method": "SimCLR"}]
    for i in range(14):
        chosen = settings[i % len(settings)]
        steps = STEPS // chosen.get("accumulate_grad_batches", 1)
        yield chosen, [(POINTS[i % len(POINTS)], draw.randint(1, steps))]
    yield {}, [("in the step", 5), ("before the row", 7)]
    yield {"num_workers": 2}, [("in the write", 6), ("before the checkpoint", 8)]  # the epoch's last batch
    yield {"accumulate_grad_batches": 2}, [("in the renaming", 3), ("in the step", 4)]


@pytest.mark.long
@pytest.mark.parametrize(("settings", "points"), list(_points()), ids=str)
def test_twenty_kill_points(images, never_killed, tmp_path, settings, points):
    for point, step in points:
        killed(images, tmp_path / "run", point, step, **settings)
    train(images, tmp_path / "run", **settings)
    assert_equal(tmp_path / "run", never_killed(**settings))
    assert not (tmp_path / "run" / NEXT).exists()
