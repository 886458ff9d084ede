"""--global_batch: a recipe's images of an optimiser step on any number of processes, by accumulation."""

import os
import subprocess
import sys

import pytest
import torch
import yaml

from commands import ROOT
from data_loading.errors import ConfigError
from killing import kept, killed, logged, train
from massrl.cli.samples import sample_folder
from massrl.training.global_batch import share

RECIPES = sorted((ROOT / "configs" / "pretrain").glob("*/*.yaml"))
PUBLISHED = [path for path in RECIPES if path.parent.name not in ("digits", "folder") and "_cpu" not in path.stem]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))  # 16 of them


@pytest.mark.parametrize("most, world, expected", [(256, 8, (256, 1)), (256, 1, (256, 8)), (256, 16, (128, 1))])
def test_massrl_takes_2048_images_a_step_on_8_on_1_and_on_16_gpus(most, world, expected):
    images, parts = share(2048, most, world)
    assert (images, parts) == expected and images * parts * world == 2048


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("gpus", [1, 8])
def test_a_published_recipe_has_its_global_batch_on_1_and_on_8_gpus(path, gpus):
    recipe = yaml.safe_load(path.read_text())
    most = recipe["data"].get("batch_size", 256)
    images, parts = share(recipe["global_batch"], most, gpus)
    assert images * parts * gpus == recipe["global_batch"] and images <= most
    assert "accumulate_grad_batches" not in recipe["trainer"]


def test_what_cannot_be_shared_evenly_is_refused_with_the_nearest_numbers_that_can():
    with pytest.raises(ConfigError, match="which 3 processes cannot share evenly; take 2 "):
        share(2048, 256, 3)
    with pytest.raises(ConfigError, match="does not divide the 256 images per process .* set it to 64 or 128"):
        share(2048, 100, 8)
    for wrong in (0, 1, -5, 10**20):
        with pytest.raises(ConfigError, match=f"global_batch is {wrong}; it must be from 2 to 16,777,216 images"):
            share(wrong, 4, 1)


def test_parts_take_the_steps_and_the_learning_rate_of_the_whole_batch(images, tmp_path, capsys):
    # 16 images: one step an epoch of 12 images; without the whole windows, parts of 4 would make 2
    train(images, tmp_path / "whole", method="SimCLR", global_batch=12, batch_size=12)
    train(images, tmp_path / "parts", method="SimCLR", global_batch=12, batch_size=4)
    said = capsys.readouterr().out
    assert "global batch 12 = 12 images x 1 process\n" in said
    assert "12 = 4 images x 1 process x 3 accumulated: BatchNorm, and losses that compare images, see 4" in said
    whole, parts = kept(tmp_path / "whole"), kept(tmp_path / "parts")
    assert whole["global_step"] == parts["global_step"] == 3
    rates = [[row["lr"] for row in logged(tmp_path / name) if row["lr"]] for name in ("whole", "parts")]
    assert sorted(set(rates[0])) == sorted(set(rates[1]))


def test_a_killed_run_goes_on_in_the_parts_it_was_begun_with_and_equals_one_that_never_stopped(images, tmp_path):
    parts = {"method": "SimCLR", "global_batch": 8, "batch_size": 4}
    train(images, tmp_path / "never", **parts)
    killed(images, tmp_path / "killed", "before the row", 4, **parts)
    train(images, tmp_path / "killed", **{**parts, "batch_size": 2})  # for a smaller GPU: the parts stay 2 of 4
    never, went_on = kept(tmp_path / "never"), kept(tmp_path / "killed")
    assert never["global_step"] == went_on["global_step"] == 6
    assert all(torch.equal(value, went_on["state_dict"][name]) for name, value in never["state_dict"].items())
    with pytest.raises(ConfigError, match="global_batch is 16, and the run of .* has 8; give the same one"):
        train(images, tmp_path / "killed", method="SimCLR", global_batch=16)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (
            {"global_batch": 8, "accumulate_grad_batches": 3},
            "accumulate_grad_batches is 3, and .* asks for 2 batches of 4",
        ),
        ({"global_batch": 32}, "an epoch has 4 batches of 4 images, fewer than the 8 that make up"),
        ({"global_batch": 10}, "batch_size is 4, which does not divide the 10 images"),
        ({"global_batch": 8.5}, "global_batch"),
    ],
)
def test_what_contradicts_it_is_one_line_and_leaves_nothing(images, tmp_path, wrong, said):
    with pytest.raises(ConfigError, match=said):
        train(images, tmp_path / "run", method="SimCLR", **wrong)
    assert not (tmp_path / "run").exists()


def test_two_processes_and_then_one_go_through_the_same_steps(images, tmp_path):
    words = f"--data.train {images} --model SimCLR --model.backbone tiny_resnet --data.size 16 --data.batch_size 2 "
    words += f"--data.num_workers 1 --data.cache_dir {tmp_path / 'cache'} --trainer.accelerator cpu --report false "
    words += f"--export false --trainer.enable_progress_bar false --run {tmp_path / 'run'} --global_batch 8"

    def pretrain(epochs: int, devices: int) -> str:
        command = [sys.executable, "-m", "massrl", "pretrain", *words.split(), "--trainer.max_epochs", str(epochs)]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        options = {"capture_output": True, "text": True, "timeout": 200, "env": {**os.environ, "PYTHONPATH": paths}}
        done = subprocess.run([*command, "--trainer.devices", str(devices)], **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "global batch 8 = 2 images x 2 processes x 2 accumulated" in pretrain(2, 2)
    assert kept(tmp_path / "run")["global_step"] == 4
    assert "global batch 8 = 4 images x 1 process x 2 accumulated" in pretrain(3, 1)  # each batch of 4 is whole here
    assert kept(tmp_path / "run")["global_step"] == 6


def test_a_share_of_one_image_is_refused():
    with pytest.raises(ConfigError, match="leaves 1 image to each of 8 processes.*take at most 4 processes"):
        share(8, 256, 8)
