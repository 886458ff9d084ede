import copy

import pytest
import torch
from jsonargparse import Namespace
from torch import nn

from data_loading.errors import ConfigError, UnknownName
from drawn import same_state
from massrl.backbones import BACKBONES, build, names, reinitialise, takes_small_stem, width_of
from massrl.backbones.names import CURATED, find
from massrl.training.settings import small_stem

# name -> (arguments, width); small inputs, and small relatives of the large ones that the tests need not make
WIDTHS = {
    "resnet18": ({}, 512),
    "resnet50": ({"stem": "cifar"}, 2048),
    "timm:resnet18d": ({"stem": "cifar"}, 512),
    "timm:resnet50": ({}, 2048),
    "torchvision:convnext_tiny": ({}, 768),
    "timm:convnext_atto": ({}, 320),
    "timm:vit_tiny_patch16_224": ({}, 192),
    "timm:vit_small_patch16_224": ({"img_size": 32, "patch_size": 4, "depth": 2}, 384),
    "timm:swin_tiny_patch4_window7_224": ({}, 768),
    "timm:mobilenetv3_small_050": ({}, 1024),  # has a layer between pooling and classifier
    "tiny_resnet": ({"width": 4}, 16),
    "resnet9": ({"width": 4}, 8),
}


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("in_chans", [1, 3])
def test_a_backbone_gives_its_num_features_per_image_of_any_number_of_channels(name, in_chans):
    args, width = WIDTHS[name]
    backbone = build(name, **args, in_chans=in_chans).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(2, in_chans, 32, 32)).shape == (2, width) == (2, backbone.num_features)


@pytest.mark.parametrize("name", sorted({*CURATED, *BACKBONES}))
def test_every_listed_backbone_has_the_width_that_its_line_tells(name):
    with torch.device("meta"):  # shapes alone, of any size
        backbone = build(name).eval()
        x = torch.zeros(2, 3, 224, 224)
    assert backbone(x).shape == (2, backbone.num_features)
    assert f"{backbone.num_features} features" in names()[name]


@pytest.mark.parametrize("name", ["resnet18", "torchvision:convnext_tiny", "torchvision:vit_b_32"])
def test_other_channels_change_the_first_layer_alone_and_leave_its_initial_scale(name):
    from torchvision.models import get_model

    torch.manual_seed(0)
    own = dict(get_model(name.rpartition(":")[2], num_classes=1).named_parameters())
    changed = {k: v for k, v in build(name, in_chans=48).named_parameters() if v.shape != own[k].shape}
    assert len(changed) == 1
    ((key, weight),) = changed.items()
    fan_in = 48 / 3 if "vit" in name else 1  # the variance of a ViT's falls with the inputs
    assert weight.shape[1] == 48 and weight.std().item() == pytest.approx(own[key].std().item() / fan_in**0.5, rel=0.1)


@pytest.mark.parametrize("wrong", [0, "3"])
def test_a_number_of_channels_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="in_chans"):
        build("resnet18", in_chans=wrong)


def test_a_vit_takes_views_of_other_sizes_and_gives_the_same_as_the_fixed_one_at_its_own():
    torch.manual_seed(0)
    fixed = build("timm:vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, dynamic_img_size=False).eval()
    torch.manual_seed(0)
    free = build("timm:vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(free(x), fixed(x))
        assert free(x[..., :16, :16]).shape == (2, 192)
        with pytest.raises(AssertionError):
            fixed(x[..., :16, :16])


def test_a_plain_name_is_ours_then_a_resnet_of_torchvision_then_timms_then_any_of_torchvision():
    assert find("tiny_resnet") == ("massrl", "tiny_resnet")
    assert find("resnet18") == ("torchvision", "resnet18") and find("timm:resnet18") == ("timm", "resnet18")
    assert find("convnext_tiny") == ("timm", "convnext_tiny")
    assert find("torchvision:convnext_tiny") == ("torchvision", "convnext_tiny")
    assert find("vit_b_16") == ("torchvision", "vit_b_16")


def test_a_tiny_resnet_takes_sides_from_8_to_64_pixels_and_halves_them_as_often_as_told():
    for side, stages in ((8, 1), (16, 2), (64, 3)):
        net = build("tiny_resnet", width=2, stages=stages)
        assert net.layers(torch.zeros(2, 3, side, side)).shape == (2, 8, side >> stages, side >> stages)
        assert net(torch.zeros(2, 3, side, side)).shape == (2, 8)


SMALL_STEM = ["resnet18", "wide_resnet50_2", "resnext50_32x4d", "timm:resnet18", "timm:resnet50d", "timm:seresnet18"]
SMALL_STEM += ["timm:resnest14d", "timm:skresnet18", "timm:res2net50_26w_4s", "timm:resnetaa50", "timm:resnetrs50"]


@pytest.mark.parametrize("name", SMALL_STEM)
def test_the_small_stem_keeps_the_side_of_the_image(name):
    assert takes_small_stem(name)
    with torch.device("meta"):
        net = build(name, stem="cifar", in_chans=4).eval()
        x = torch.zeros(1, 4, 32, 32)
    kept = net.maxpool(net.conv1(x))
    assert kept.shape[-2:] == (32, 32) and net.conv1.kernel_size == (3, 3) and net.conv1.padding == (1, 1)
    assert net(x).shape == (1, net.num_features)


@pytest.mark.parametrize(
    "name", ["timm:vit_tiny_patch16_224", "timm:resnetv2_50", "timm:eca_resnet33ts", "timm:convnext_tiny", "vit_b_16"]
)
def test_what_has_no_resnet_stem_does_not_take_the_small_one(name):
    assert not takes_small_stem(name)
    with pytest.raises(ConfigError, match="stem: cifar fits ResNets"):
        build(name, stem="cifar")


@pytest.mark.parametrize(
    ("name", "size", "args", "stem"),
    [
        ("resnet18", 64, {}, "cifar"),
        ("resnet18", 65, {}, None),
        ("resnet18", 32, {"stem": "imagenet"}, "imagenet"),
        ("resnet18", 32, {"weights": "a.pt"}, "cifar"),
        ("resnet18", 32, {"pretrained": True}, None),  # as the weights have it
        ("timm:resnet50d", 32, {}, "cifar"),
        ("wide_resnet50_2", 32, {}, "cifar"),
        ("timm:resnetv2_50", 32, {}, None),
        ("timm:vit_tiny_patch16_224", 32, {}, None),
        ("tiny_resnet", 32, {}, None),
    ],
)
def test_the_command_line_chooses_the_stem_by_the_size_of_the_views_unless_told(name, size, args, stem):
    init_args = Namespace(backbone=name, backbone_args=args or None)
    small_stem(Namespace(model=Namespace(init_args=init_args), data=Namespace(views=None, size=size)))
    assert (init_args.backbone_args or {}).get("stem") == stem


def test_a_wrong_stem_is_refused():
    assert takes_small_stem("tiny_resnet")
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


@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [
        ("tiny_resnet", "widht", "width"),
        ("resnet18", "steem", "stem"),
        ("resnet18", "norm_layr", "norm_layer"),
        ("torchvision:convnext_tiny", "layer_scal", "layer_scale"),
        ("timm:vit_tiny_patch16_224", "img_sise", "img_size"),
        ("timm:resnet18", "weigths", "weights"),
    ],
)
def test_an_unknown_argument_is_answered_with_the_nearest(name, wrong, near):
    with pytest.raises(ConfigError, match=f"takes no argument '{wrong}'. Did you mean '{near}'"):
        build(name, **{wrong: 3})


def test_a_value_that_the_constructor_does_not_take_is_one_sentence():
    with pytest.raises(ConfigError, match="cannot be made with these backbone_args"):
        build("timm:vit_tiny_patch16_224", patch_size=0)


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


def test_blur_averages_what_strided_convolutions_read_and_leaves_the_weights_names():
    torch.manual_seed(0)
    plain, blurred = build("resnet18"), build("resnet18", blur=True)
    assert plain.state_dict().keys() == blurred.state_dict().keys()
    strided = [m for m in blurred.modules() if hasattr(m, "blur")]
    assert len(strided) == 6 and blurred.conv1 not in strided, "two for each of three stages, none for the image"
    conv = strided[0]
    x = torch.zeros(1, 64, 5, 5)
    x[0, 7, 2, 2] = 16.0  # one pixel of one channel becomes 1 2 1, 2 4 2, 1 2 1
    seen = torch.zeros(1, 64, 5, 5)
    seen[0, 7, 1:4, 1:4] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    by_hand = torch.nn.functional.conv2d(seen, conv.weight, stride=2, padding=1)
    torch.testing.assert_close(conv(x), by_hand)


def test_blur_stays_in_copies_and_in_the_same_network_with_other_weights():
    backbone = build("resnet18", stem="cifar", blur=True).eval()
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(backbone)(x), backbone(x))
        fresh = reinitialise(backbone, 0).eval()
        plain = build("resnet18", stem="cifar").eval()
        plain.load_state_dict(fresh.state_dict())
        assert not torch.allclose(fresh(x), plain(x))


def test_blur_of_a_network_without_strided_convolutions_is_refused():
    with pytest.raises(ConfigError, match="no strided convolution of 16 channels or more; leave blur out"):
        build("timm:vit_tiny_patch16_224", blur=True)
    with pytest.raises(ConfigError, match="blur is 'yes'; it must be true or false"):
        build("resnet18", blur="yes")
