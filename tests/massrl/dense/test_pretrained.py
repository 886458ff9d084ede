"""What pretraining is worth for segmentation and detection, and one process against two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import massrl
from massrl.cli.dense import NETWORK
from massrl.cli.samples import sample_checkpoint
from massrl.dense.shapes import write_scenes

ENCODER = "zoo:cifar10-simclr"  # of photographs, which show none of the shapes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Folders of 100 training and 100 test scenes of circles, squares and triangles of random colours."""
    folder = tmp_path_factory.mktemp("scenes")
    return [write_scenes(folder / part, 100, seed, side=64) for seed, part in enumerate(("train", "test"))]


def segmented(scenes, **options):
    folders = [scenes[i] / what for i in range(2) for what in ("images", "masks")]
    machine = {"accelerator": "cpu", "devices": 1, "num_workers": 0, "progress": False}
    return massrl.segment(ENCODER, *folders, batch_size=16, lr=0.01, **machine, **options)


def test_pretrained_features_segment_small_shapes_better_than_random_weights(tmp_path):
    scenes = [write_scenes(tmp_path / str(seed), 40, seed, side=32) for seed in range(2)]
    found = segmented(scenes, steps=60, size=32)
    assert found.miou > found.untrained + 0.05


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_pretrained_features_segment_shapes_better_than_random_weights_under_each_seed(scenes):
    for seed in range(2):
        found = segmented(scenes, steps=200, size=64, seed=seed)
        print(found)
        assert found.miou > found.untrained + 0.1


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_pretrained_features_detect_shapes_better_than_random_weights(scenes):
    pytest.importorskip("pycocotools")
    folders = [scenes[i] / what for i in range(2) for what in ("images", "instances.json")]
    options = {"steps": 150, "batch_size": 4, "lr": 0.02, "size": 64, "frozen": 4, "fpn_channels": 32}
    machine = {"accelerator": "cpu", "devices": 1, "num_workers": 0, "progress": False}
    found = massrl.detect(ENCODER, *folders, untrained=True, **options, **machine)
    print(found)
    assert found.ap > found.untrained + 0.05


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_processes_measure_each_test_image_once_as_one_process_does(tmp_path):
    pytest.importorskip("pycocotools")
    train, test = write_scenes(tmp_path / "train", 8, 0, 32), write_scenes(tmp_path / "test", 5, 1, 32)
    words = ["--checkpoint", str(sample_checkpoint(tmp_path, train / "images", **NETWORK))]
    for part, folder in (("train", train), ("test", test)):
        words += [f"--{part}", str(folder / "images"), f"--{part}_json", str(folder / "instances.json")]
    # A rate of nothing and frozen norms: both must end with one detector.
    words += ["--settings", "ssl-transfer", "--frozen", "2", "--lr", "1e-12", "--steps", "2", "--batch_size", "4"]
    words += ["--size", "64", "--fpn_channels", "16", "--accelerator", "cpu", "--num_workers", "0"]
    figures = []
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.json"
        command = [sys.executable, "-m", "massrl", "detect", *words, "--devices", devices, "--json", str(out)]
        command += ["--strategy", "ddp"] if devices == "2" else []
        root = Path(massrl.__file__).parents[1]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("trained  ") == 1, "rank 0 alone prints"
        figures.append(json.loads(out.read_text())["trained"])
    assert figures[0] == figures[1] and figures[0]["ap"] > 0
