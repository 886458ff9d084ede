"""What pretraining is worth for a linear head on feature maps, and one process against two. Minutes long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import massrl
from massrl.cli.dense import NETWORK
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint
from massrl.dense.shapes import write_scenes

TRAIN_DIGITS = 1437  # the others are by other writers
SIDE, DIGIT = 32, 8


def digit_scenes(folder: Path, rows: range, count: int, seed: int) -> tuple[Path, Path]:
    """Folders of images of up to six digits on a black ground, and of their masks of 0 and digit + 1."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        image, mask = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(6):
            y, x = rng.integers(0, SIDE - DIGIT, 2)
            row = rng.choice(rows)
            if mask[max(0, y - 1) : y + DIGIT + 1, max(0, x - 1) : x + DIGIT + 1].any():
                continue
            image[y : y + DIGIT, x : x + DIGIT] = digits.images[row]
            mask[y : y + DIGIT, x : x + DIGIT] = digits.target[row] + 1
        Image.fromarray((image * 15.9).astype(np.uint8)).convert("RGB").save(folder / "images" / f"{number:03}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:03}.png")
    return folder / "images", folder / "masks"


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_pretrained_features_segment_digits_better_than_random_weights_under_each_seed(tmp_path):
    assert main(["data", "write", "digits", "digits.beton", "--split", "train", "--num_workers", "1"]) == 0
    options = {"config": "digits/simclr", "max_epochs": 60, "report": False, "enable_progress_bar": False}
    run = massrl.pretrain("digits.beton", out="run", accelerator="cpu", devices=1, num_workers=1, **options)
    train = digit_scenes(tmp_path / "train", range(TRAIN_DIGITS), 60, 1)
    test = digit_scenes(tmp_path / "test", range(TRAIN_DIGITS, 1797), 40, 2)
    options = {"steps": 120, "batch_size": 16, "lr": 0.05, "size": SIDE, "num_workers": 0, "progress": False}
    for seed in range(2):
        found = massrl.segment(run, *train, *test, seed=seed, accelerator="cpu", devices=1, **options)
        print(found)
        assert found.miou > found.untrained + 0.015


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
