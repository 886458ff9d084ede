import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError, UnknownName
from drawn import same_state
from massrl.backbones import BACKBONES, build, names, reinitialise, takes_small_stem, width_of


@pytest.mark.parametrize(
    "name", ["resnet18", "timm:resnet18", "torchvision:resnet18", "timm:mobilenetv3_small_050", *BACKBONES]
)
def test_num_features_is_the_width_of_the_output(name):
    backbone = build(name).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 32, 32)).shape == (1, backbone.num_features)


def test_a_tiny_resnet_takes_sides_from_8_to_64_pixels_and_halves_them_as_often_as_told():
    for side, stages in ((8, 1), (16, 2), (64, 3)):
        net = build("tiny_resnet", width=2, stages=stages)
        assert net.layers(torch.zeros(2, 3, side, side)).shape == (2, 8, side >> stages, side >> stages)
        assert net(torch.zeros(2, 3, side, side)).shape == (2, 8)


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_the_small_stem_keeps_the_side_of_the_image(name):
    net = build(name, stem="cifar")
    x = net.maxpool(net.conv1(torch.zeros(1, 3, 32, 32)))
    assert x.shape[-2:] == (32, 32) and net.conv1.kernel_size == (3, 3)


def test_the_small_stem_is_refused_where_there_is_none():
    assert takes_small_stem("resnet18") and takes_small_stem("tiny_resnet")
    assert not takes_small_stem("timm:vit_tiny_patch16_224")
    with pytest.raises(ConfigError, match="stem: cifar fits ResNets"):
        build("timm:mobilenetv3_small_050", stem="cifar")
    with pytest.raises(ConfigError, match="choose one of imagenet, cifar"):
        build("resnet18", stem="cifa")


@pytest.mark.parametrize(
    ("wrong", "near"), [("resnet81", "resnet"), ("tiny_resnt", "tiny_resnet"), ("timm:resnt50", "timm:resne")]
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong, near):
    with pytest.raises(UnknownName, match=f"Did you mean '{near}"):
        build(wrong)


def test_an_unknown_argument_is_named():
    with pytest.raises(ConfigError, match="widht"):
        build("tiny_resnet", widht=3)


def test_a_module_without_num_features_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="set it to the width of its output"):
        width_of(nn.Flatten())


def test_names_to_list_have_a_line_each():
    assert set(BACKBONES) < set(names()) and all(names().values())


@pytest.mark.parametrize("make", [lambda: build("resnet18", stem="cifar"), lambda: nn.Sequential(nn.Conv2d(3, 4, 3))])
def test_reinitialising_depends_on_the_seed_alone_and_leaves_global_random_state(make):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a = reinitialise(make(), 7)
    torch.manual_seed(1)
    torch.rand(5)
    b = reinitialise(make(), 7)
    assert same_state(a, b) and not same_state(a, reinitialise(make(), 8))
    torch.manual_seed(1)
    other = make()
    state = torch.get_rng_state()
    reinitialise(other, 3)
    assert torch.equal(torch.get_rng_state(), state) and not torch.equal(before, state)


def test_a_module_that_cannot_be_reinitialised_says_which():
    module = nn.Module()
    module.token = nn.Parameter(torch.zeros(3))
    with pytest.raises(ConfigError, match="reset_parameters"):
        reinitialise(module, 0)
