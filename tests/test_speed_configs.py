"""The quick supervised recipes: their numbers are FFCV's, and the one for CIFAR-10 trains."""

import re

import numpy as np
import pytest
import yaml

import massrl
from commands import ROOT
from data_loading.views import view_sets
from massrl import recipes
from massrl.cli.samples import sample_folder

CONFIGS = ROOT / "configs" / "pretrain"
# epochs -> start_ramp, end_ramp of rn50_configs and rn18_configs of libffcv/ffcv-imagenet
RAMPS = {16: (11, 13), 24: (17, 20), 32: (23, 27), 40: (29, 34), 56: (41, 48), 88: (65, 76)}
QUICK = [(net, epochs) for net in (50, 18) for epochs in RAMPS]


def config(net: int, epochs: int) -> dict:
    stem = f"supervised_{epochs}" if net == 50 else f"supervised_resnet18_{epochs}"
    return yaml.safe_load((CONFIGS / "imagenet" / f"{stem}.yaml").read_text())


def ffcvs_size(epoch: int, start: int, end: int) -> int:
    """160 pixels, between the two epochs the nearest multiple of 32 on the way to 192, then 192."""
    return (
        int(np.round(np.interp(epoch, [start, end], [160, 192]) / 32)) * 32
        if start < epoch < end
        else (160 if epoch <= start else 192)
    )


@pytest.mark.parametrize(("net", "epochs"), QUICK)
def test_the_views_of_each_epoch_have_ffcvs_size(net, epochs):
    from data_loading.views.growing import at

    sizes = config(net, epochs)["data"]["size"]
    assert [at(sizes, e) for e in range(epochs)] == [ffcvs_size(e, *RAMPS[epochs]) for e in range(epochs)]


@pytest.mark.parametrize(("net", "epochs"), QUICK)
def test_batch_rate_decay_and_schedule_are_ffcvs(net, epochs):
    found = config(net, epochs)
    args = found["model"]["init_args"]
    images, rate, decay = (4096, 1.7, 1e-4) if net == 50 else (1024, 0.5, 5e-5)
    assert found["global_batch"] == images and args["backbone"] == f"resnet{net}"
    assert args["optim"]["base_lr"] * images / 256 == pytest.approx(rate)
    assert args["optim"]["weight_decay"] == decay
    assert (args["optim"]["schedule"], args["optim"]["warmup_epochs"]) == ("linear", 2)
    assert args["backbone_args"] == {"blur": True} and args["label_smoothing"] == 0.1 and args["eval_flip"]
    assert found["data"]["eval_size"] == 256 and found["trainer"]["max_epochs"] == epochs


def test_the_recipe_for_cifar_10_shifts_and_cuts_as_ffcvs_does():
    text = (CONFIGS / "cifar10" / "supervised.yaml").read_text()
    found = yaml.safe_load(text)
    (view,) = view_sets.get(found["data"]["views"], 32).programs(0)
    assert [type(op).__name__ for op in view] == ["HorizontalFlip", "Shift", "Cutout"]
    assert view[1].padding == 2 and view[2].inside and view[2].p == 1.0 and view[2].side[0] * 32 == 4
    optim = found["model"]["init_args"]["optim"]
    assert optim["base_lr"] * found["global_batch"] / 256 == 0.5 and found["global_batch"] == 512
    assert re.search("Cost and result: .*not run|Cost and result: .*cifar10-5k", text)


def test_the_recipe_for_cifar_10_trains_a_few_steps_and_says_its_accuracy(tmp_path):
    images = sample_folder(tmp_path)
    small = {"global_batch": 8, "batch_size": 4, "max_epochs": 2, "precision": "32-true", "accelerator": "cpu"}
    small |= {"num_workers": 1, "cache_dir": str(tmp_path / "cache"), "enable_progress_bar": False, "report": False}
    # 2 of its 10 classes
    run = massrl.pretrain(images, config="cifar10/supervised", out=tmp_path / "run", val=str(images), **small)
    training = yaml.safe_load((run.path / "metrics.json").read_text())["training"]
    assert training["steps"] == 4 and 0 <= training["val_accuracy"] <= 1
    assert "cifar10/supervised" in recipes.names()
