"""What a model of massrl.simple refuses, in one sentence that names the way out."""

import pytest
import torch
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError, UserError
from massrl import simple
from massrl.methods.sizes import check_sizes
from simple_models import FEATURES, backbone, inputs, model

IMAGES = torch.rand(4, 3, 20, 20)
WRONG = {
    "one image": (IMAGES[0], r"takes images \(N, 3, H, W\), got \(3, 20, 20\)"),
    "gray": (IMAGES[:, :1], r"takes images \(N, 3, H, W\), got \(4, 1, 20, 20\)"),
    "channels last": (IMAGES.permute(0, 2, 3, 1), r"got \(4, 20, 20, 3\)"),
    "uint8": ((IMAGES * 255).to(torch.uint8), "takes floats from 0 to 1, got uint8; divide by 255"),
    "0 to 255": (IMAGES * 255, r"takes images from 0 to 1, got values from \S+ to 25\S+; do not normalise"),
    "normalised": ((IMAGES - 0.5) / 0.2, "takes images from 0 to 1, got values from -2.5"),
    "not a number": (IMAGES / 0 * 0, "takes images from 0 to 1, got values from nan"),
    "a batch of 1": (IMAGES[:1], r"got a batch of 1; .* give at least 2 \(DataLoader: drop_last=True\)"),
    "a batch of none": (IMAGES[:0], "got a batch of 0"),
    "a list": ([IMAGES], "takes a tensor of images .* got list"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_images_are_refused(what):
    images, message = WRONG[what]
    one = model("SimCLR")
    with pytest.raises(ConfigError, match=f"SimCLR.*{message}") as error:
        one(images)
    assert "\n" not in str(error.value) and one.draws == 0


def test_values_a_little_outside_as_a_bicubic_resize_leaves_them_are_cut():
    images = IMAGES.clone()
    images[0, 0, 0, 0], images[0, 0, 0, 1] = -5e-4, 1 + 5e-4
    assert model("SimCLR")(images).isfinite()


def test_a_feature_size_that_does_not_fit_is_refused_before_the_loss():
    one = simple.BYOL(backbone(), FEATURES + 1, 16, 16, image_size=16)
    with pytest.raises(
        ConfigError, match=r"BYOL: the backbone makes a tensor \(1, 24\) of one .*\(1, 25\); set feature_size to 24, or"
    ):
        one(IMAGES)
    maps = simple.BYOL(backbone()[:-2], FEATURES, 16, 16, image_size=16)
    with pytest.raises(ConfigError, match=r"the backbone makes a tensor \(1, 24, 4, 4\) of one .* take one that pools"):
        maps(IMAGES)


def test_the_look_at_the_backbone_leaves_it_as_it_was():
    net = backbone()
    net[1].eval()  # a norm that its user has frozen
    before = {k: v.clone() for k, v in net.state_dict().items()}
    check_sizes(net, Batch.from_views([IMAGES, IMAGES]), FEATURES)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not net[1].training and net[4].training and net.training


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"SupCon needs labels: loss = model\(images, labels\)"),
        (
            torch.zeros(3, dtype=torch.int64),
            r"SupCon takes labels \(4,\), one whole number for each image, got .*\(3,\)",
        ),
        (torch.zeros(4), r"SupCon takes labels \(4,\), .* got torch.float32"),
        ([0, 1, 0, 1], r"SupCon takes labels \(4,\), .* got list"),
        (torch.tensor([0, -1, 0, 1]), "SupCon takes labels from 0 on, got -1"),
    ],
)
def test_supcon_refuses_labels_that_do_not_fit(labels, message):
    with pytest.raises(ConfigError, match=message):
        model("SupCon")(IMAGES, labels) if labels is not None else model("SupCon")(IMAGES)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("SimCLR", {"temperature": 0}, "SimCLR: temperature is 0; a temperature must be above 0"),
        ("BYOL", {"tau": 1.5}, "BYOL: tau is 1.5; it must lie from 0"),
        ("MoCo", {"m": -0.1}, "MoCo: m is -0.1; it must lie from 0"),
        ("MoCo", {"K": 0}, "MoCo: K is 0; a queue holds at least one embedding"),
        ("DINO", {"temp_t": -1}, "DINO: temp_t is -1; a temperature"),
        ("DINO", {"m": 2}, "DINO: m is 2; it must lie from 0 to 1"),
        ("DINO", {"total_steps": 0}, "DINO: total_steps is 0"),
        ("DINO", {"freeze_steps": -1}, "DINO: freeze_steps is -1; give 0, or"),
        ("BarlowTwins", {"lamda": -1}, "BarlowTwins: lamda is -1"),
        ("SwAV", {"queue_length": 0}, "SwAV: queue_length is 0; give at least 1, or use_the_queue=False"),
        ("SwAV", {"num_crops": -1}, "local is -1"),
        ("SimCLR", {"mean": (0.5, 0.5)}, r"SimCLR: mean is \(0.5, 0.5\); give one number, or three"),
        ("SimCLR", {"std": 0.0}, "std above 0"),
        ("SimCLR", {"views": "simcrl"}, "no view set or strategy named 'simcrl'"),
        ("SimCLR", {"views": "swav_multicrop"}, "^SimCLR takes no local views"),
        ("SimCLR", {"seed": -1}, "seed"),
    ],
)
def test_a_wrong_argument_is_named_as_pyssl_does(name, args, message):
    with pytest.raises(UserError, match=message):
        model(name, **args)


@pytest.mark.parametrize("name", ["MoCo", "SwAV"])
def test_a_queue_that_is_smaller_than_the_batch_is_refused(name):
    queue = {"MoCo": "K", "SwAV": "queue_length"}[name]
    one = model(name, **{queue: 8})
    message = (
        f"{name}: {queue} is 8, smaller than the global batch of 12 images; set {queue} to 12 or more, or the batch"
    )
    with pytest.raises(ConfigError, match=message):
        one(*inputs(name))
    assert one.method.training


def test_local_views_that_the_backbone_cannot_take_are_refused_before_the_first_step():
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, FEATURES))
    one = simple.DINO(fixed, FEATURES, 64, 64, 16, num_crops=2, image_size=16)
    with pytest.raises(ConfigError, match=r"DINO: the backbone cannot take local views of \(6, 6\) .*image_size"):
        one(IMAGES)
    assert one.draws == 0 and not one.center.any()


def test_a_part_that_was_put_in_place_of_another_would_not_be_used_and_is_refused():
    one = model("BYOL")
    for name in ("backbone", "projector", "encoder", "target_encoder", "online_predictor"):
        with pytest.raises(ConfigError, match=f"BYOL: {name} cannot be replaced; make a new model with another"):
            setattr(one, name, nn.Linear(3, 3))
    assert not [key for key in one.state_dict() if not key.startswith(("method", "_extra_state"))]


def test_images_are_checked_where_their_views_are_asked_for_too():
    with pytest.raises(ConfigError, match="SimCLR takes floats from 0 to 1, got uint8"):
        model("SimCLR").augment((IMAGES * 255).to(torch.uint8))
    assert len(model("SimCLR").augment(IMAGES[:1])) == 2


def test_a_backbone_that_is_no_module_and_a_width_that_is_no_number_are_refused():
    with pytest.raises(ConfigError, match="SimCLR: backbone is 'resnet18'; give a module"):
        simple.SimCLR("resnet18", 512)
    for width in (0, 24.0, None):
        with pytest.raises(ConfigError, match="SimCLR: feature_size is .*; give the width of the backbone's output"):
            simple.SimCLR(nn.Identity(), width)
