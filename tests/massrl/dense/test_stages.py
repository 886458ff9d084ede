"""Feature maps of backbones: they are what the backbone pools, and networks without them are refused."""

import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError
from massrl.backbones import build
from massrl.dense.stages import LastMap, Stages, stages

CONVOLUTIONAL = {
    "resnet18": ([64, 128, 256, 512], [4, 8, 16, 32]),
    "timm:resnet18": ([64, 128, 256, 512], [4, 8, 16, 32]),
    "timm:convnext_atto": ([40, 80, 160, 320], [4, 8, 16, 32]),
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_stages_of_a_convolutional_network_have_the_usual_strides_and_end_with_what_it_pools(name):
    torch.manual_seed(0)
    backbone = build(name).eval()
    found = stages(backbone)
    assert (found.channels, found.strides) == CONVOLUTIONAL[name]
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = found(x)
        last = LastMap(backbone, 64).eval()(x)
        pooled = backbone(x)
    assert list(maps) == ["0", "1", "2", "3"] and maps["0"].shape == (2, found.channels[0], 16, 24)
    torch.testing.assert_close(maps["3"], last)
    mean = last.mean((2, 3))
    if hasattr(backbone, "head"):  # ConvNeXt normalises after pooling
        mean = backbone.head.norm(mean[..., None, None])[..., 0, 0]
    torch.testing.assert_close(mean, pooled, atol=1e-4, rtol=1e-4)


def test_the_stages_of_torchvisions_convnext_end_with_what_it_pools():
    backbone = build("torchvision:convnext_tiny").eval()
    found = stages(backbone)
    assert (found.channels, found.strides) == ([96, 192, 384, 768], [4, 8, 16, 32])
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone.classifier(backbone.avgpool(found(x)["3"])), backbone(x))


def test_a_cifar_stem_gives_finer_stages():
    found = stages(build("resnet18", stem="cifar"))
    assert found.strides == [1, 2, 4, 8]


def test_a_tiny_resnet_has_its_stages_and_one_stage_is_refused():
    backbone = build("tiny_resnet", width=4, stages=3).eval()
    found = stages(backbone)
    assert (found.channels, found.strides) == ([8, 8, 16], [2, 4, 8])
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found(x)["2"].mean((2, 3)), backbone(x))
        torch.testing.assert_close(LastMap(backbone, 32).eval()(x).mean((2, 3)), backbone(x))
    with pytest.raises(ConfigError, match="backbone 'tiny_resnet' has one stage, and a feature pyramid needs two"):
        stages(build("tiny_resnet", width=4))
    assert stages(build("tiny_resnet", width=4, stages=6)).strides == [8, 16, 32, 64]  # the last four


def test_the_last_map_of_a_vit_is_its_patch_tokens_on_their_grid():
    torch.manual_seed(0)
    backbone = build("timm:vit_tiny_patch16_224", depth=2, global_pool="avg", fc_norm=False).eval()
    maps = LastMap(backbone, 64).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = maps(x)
        assert found.shape == (2, 192, 4, 4) and maps.channels == 192
        torch.testing.assert_close(found.mean((2, 3)), backbone(x), atol=1e-5, rtol=1e-5)  # it pools its patch tokens
        x[:, :, :16, 16:32] += 3
        changed = (maps(x) - found).abs().amax((0, 1))
    assert changed.argmax() == 1  # row 0, column 1


def test_the_last_map_of_torchvisions_vit_is_its_patch_tokens_on_their_grid():
    torch.manual_seed(0)
    backbone = build("torchvision:vit_b_16", image_size=64).eval()
    maps = LastMap(backbone, 64).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found = maps(x)
        x[:, :, 32:48, :16] += 3
        changed = (maps(x) - found).abs().amax((0, 1))
    assert found.shape == (1, 768, 4, 4) and changed.argmax() == 8  # row 2, column 0


def test_a_size_that_a_vit_cannot_take_is_refused_in_one_line():
    backbone = build("timm:vit_tiny_patch16_224", depth=1)
    with pytest.raises(ConfigError, match="cannot take images of 60 pixels .* a multiple of its patch size") as error:
        LastMap(backbone, 60)
    assert "\n" not in str(error.value)


class Flat(nn.Module):
    num_features = 12

    def forward(self, x):
        return x.mean((2, 3)).repeat(1, 4)


def test_a_network_without_maps_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="backbone 'Flat' gives no feature map"):
        LastMap(Flat(), 32)
    with pytest.raises(ConfigError, match="backbone 'timm:vit_tiny_patch16_224' has no stages for a feature pyramid"):
        stages(build("timm:vit_tiny_patch16_224", depth=1))


def test_making_stages_changes_no_statistics_and_no_mode():
    backbone = build("resnet18").train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert isinstance(stages(backbone), Stages) and backbone.bn1.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
