"""Layers: features of any part of a network by name, several in one forward, of the online or the target network."""

import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError
from drawn import small
from massrl.evaluation.layers import Layers, names, network_of, stages

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
VIT = {"backbone": "timm:vit_tiny_patch16_224", "backbone_args": {"img_size": 32, "depth": 5, "embed_dim": 24}}
PLAIN_VIT = {**VIT, "backbone_args": {**VIT["backbone_args"], "class_token": False, "global_pool": "avg"}}
RESNET = {"backbone": "resnet18", "backbone_args": {"stem": "cifar"}}


def features(method, *layers, branch=None):
    with torch.no_grad():
        return Layers(method.eval(), layers, branch)(IMAGES)


def test_the_backbone_is_the_encoder():
    method = small("SimCLR", **RESNET)
    found = features(method, "backbone", "projector")
    with torch.no_grad():
        torch.testing.assert_close(found["backbone"], method.encoder(IMAGES))
        torch.testing.assert_close(found["projector"], method.projector(method.encoder(IMAGES)))


def test_a_stage_of_a_resnet_is_the_mean_of_its_map():
    method = small("SimCLR", **RESNET).eval()
    net = method.backbone
    with torch.no_grad():
        x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(IMAGES))))) if hasattr(net, "relu") else None
        x = net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(IMAGES))))) if x is None else x
    torch.testing.assert_close(features(method, "backbone.layer1")["backbone.layer1"], x.mean((2, 3)))


def test_the_last_four_are_the_four_side_by_side():
    found = features(small("SimCLR", **RESNET), "last4", *(f"backbone.layer{i}" for i in range(1, 5)))
    parts = torch.cat([found[f"backbone.layer{i}"] for i in range(1, 5)], dim=1)
    assert torch.equal(found["last4"], parts) and parts.shape == (3, 64 + 128 + 256 + 512)


def test_tokens_of_a_vit_pass_its_norm_as_timms_own_function_has_them():
    method = small("SimCLR", **VIT).eval()
    with torch.no_grad():
        theirs = method.backbone.get_intermediate_layers(IMAGES, n=4, return_prefix_tokens=True, norm=True)
    found = features(method, "last4:cls", "last4:avg", "last4:cls+avg", "last1")
    torch.testing.assert_close(found["last4:cls"], torch.cat([prefix[:, 0] for _, prefix in theirs], dim=1))
    torch.testing.assert_close(found["last4:avg"], torch.cat([patches.mean(1) for patches, _ in theirs], dim=1))
    both = [torch.cat([prefix[:, 0], patches.mean(1)], dim=1) for patches, prefix in theirs]
    torch.testing.assert_close(found["last4:cls+avg"], torch.cat(both, dim=1))
    torch.testing.assert_close(found["last1"], theirs[-1][1][:, 0])  # cls where there is one


def test_a_vit_without_a_class_token_is_averaged():
    method = small("SimCLR", **PLAIN_VIT).eval()
    assert features(method, "last1")["last1"].shape == (3, 24)
    with pytest.raises(ConfigError, match="no class token; pool it by :avg"):
        features(method, "last1:cls")


def test_torchvisions_vit_is_known():
    torch.manual_seed(0)
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16}
    vit = __import__("torchvision").models.VisionTransformer(**sizes)
    vit.heads, vit.num_features = nn.Identity(), 16
    method = small("SimCLR", backbone=vit, backbone_args=None)
    found = features(method, "last1:cls", "backbone", "last2:avg")
    torch.testing.assert_close(found["last1:cls"], found["backbone"])  # its output is the normed class token
    assert found["last2:avg"].shape == (3, 32)


def test_the_target_network_has_layers_of_its_own():
    method = small("BYOL", **RESNET).eval()
    for p in method.target.parameters():
        p.mul_(0.5)
    online, target = (features(method, "backbone", "projector", branch=branch) for branch in ("online", "target"))
    with torch.no_grad():
        torch.testing.assert_close(target["projector"], method.target(IMAGES))
    assert not torch.equal(online["backbone"], target["backbone"])


def test_dino_is_evaluated_by_its_target_network_and_simclr_by_its_own():
    dino = small("DINO").eval()
    for p in dino.target.parameters():
        p.mul_(0.5)
    assert dino.encoder is dino.target.parts["backbone"] and dino.evaluated == "target"
    assert Layers(dino, ["backbone"]).branch == "target" and network_of(dino).encoder is dino.encoder
    assert network_of(dino, branch="online").encoder is dino.backbone
    assert small("SimCLR").evaluated == small("BYOL").evaluated == "online"


def test_an_encoder_with_layers_of_the_projector_is_the_default_layer():
    method = small("SimCLRv2").eval()
    network = network_of(method)
    with torch.no_grad():
        assert torch.equal(network(IMAGES)[method.layer], method.encoder(IMAGES))


def test_the_names_that_are_listed_all_work_and_leave_no_hook_behind():
    for method in (small("SimCLR", **RESNET), small("SimCLR", **VIT), small("SimCLR")):
        listed = names(method)
        found = features(method, *listed)
        assert list(found) == listed and all(x.ndim == 2 and len(x) == 3 for x in found.values())
        assert not any(part._forward_hooks for part in method.modules())
    assert stages(small("SimCLR", **RESNET).backbone) == ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("layers", "branch", "says"),
    [
        (["backbone.layr3"], None, "Did you mean 'backbone.layer3'"),
        (["last9"], None, "has 4 blocks"),
        (["last1:max"], None, "no pooling 'max'; choose one of avg, cls"),
        (["backbone"], "target", "SimCLR has no target network"),
        (["backbone"], "teacher", "choose one of online, target"),
        ([], None, "name each layer once"),
        (["last1", "last1"], None, "name each layer once"),
    ],
)
def test_a_wrong_layer_or_branch_is_refused_by_name(layers, branch, says):
    with pytest.raises(ConfigError, match=says):
        network_of(small("SimCLR", **RESNET), layers, branch)
