import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from data_loading import DatasetWriter
from data_loading.errors import ConfigError
from data_loading.fields import IntField, RGBImageField
from drawn import Drawn, same_state, small, trainer
from massrl.backbones import reinitialise
from massrl.cli import linear
from massrl.evaluation import extract, untrained_twin
from massrl.losses import nt_xent
from massrl.methods import SimCLRv2, load
from massrl.optim import scaled_lr


@pytest.fixture
def digits(tmp_path):
    """A file of 30 generated images of 8 x 8 pixels, with labels from 0 to 9."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    fields = {"image": RGBImageField(), "label": IntField()}
    rows = [(image, i % 10) for i, image in enumerate(images)]
    DatasetWriter(tmp_path / "digits.beton", fields).from_indexed_dataset(rows, progress=False)
    return tmp_path / "digits.beton"


def test_the_head_has_three_layers_with_batch_norm_and_no_shift_on_the_output():
    method = SimCLRv2("tiny_resnet")
    F = method.num_features
    assert [(m.in_features, m.out_features) for m in method.projector if isinstance(m, nn.Linear)] == [
        (F, F),
        (F, F),
        (F, 128),
    ]
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear, nn.BatchNorm1d]
    assert [type(m) for m in method.projector] == kinds
    assert [m.bias is not None for m in method.projector if isinstance(m, nn.BatchNorm1d)] == [True, True, False]
    assert not any(m.bias is not None for m in method.projector if isinstance(m, nn.Linear))  # BatchNorm follows


def test_the_rate_is_0_1_times_the_square_root_of_the_batch():
    optim = SimCLRv2("tiny_resnet").optim
    assert scaled_lr(optim.base_lr, 4096, optim.lr_scaling) == pytest.approx(6.4)  # sec. 3


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_loss_is_nt_xent_whatever_the_layer_of_the_features(layer):
    method, batch = small("SimCLRv2", feature_layer=layer, tau=0.3).train(), next(iter(Drawn(3)))
    expected = nt_xent(torch.stack(method.embed(batch.views)), 0.3)
    torch.testing.assert_close(method.loss(batch), expected)


def test_the_encoder_is_the_backbone_and_the_first_layer_with_its_norm_and_relu():
    method, x = small("SimCLRv2", hidden_dim=24).eval(), next(iter(Drawn(1))).views[0]
    first, norm, relu = method.projector[:3]
    by_hand = relu(norm(first(method.backbone(x))))
    assert torch.equal(method(x), by_hand) and torch.equal(method.encoder(x), by_hand)
    assert by_hand.shape == (16, 24) and method.encoder.num_features == 24
    assert method.layer == "projector, hidden layer 1" and not method.encoder.training
    assert {id(p) for p in method.encoder.parameters()} < {id(p) for p in method.parameters()}
    method.feature_layer = 0
    assert torch.equal(method(x), method.backbone(x)) and method.encoder.num_features == method.num_features
    assert method.layer == "backbone"


@pytest.mark.parametrize("over", ["view", "all"])
def test_probes_get_the_features_of_the_first_view_as_the_encoder_has_them(over):
    method, batch = small("SimCLRv2", bn_over=over).train(), next(iter(Drawn(2)))
    method.loss(batch)
    again = small("SimCLRv2", bn_over=over).train()
    expected = again.over(again.encoder, batch.views)[0]
    torch.testing.assert_close(method._features, expected)
    assert not method._features.requires_grad


def test_a_checkpoint_keeps_the_layer(tmp_path):
    method, run = small("SimCLRv2", feature_layer=2), trainer()
    run.fit(method, Drawn(2))
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    x = next(iter(Drawn(1))).views[0]
    again = load(tmp_path / "a.ckpt")
    assert again.layer == "projector, hidden layer 2"
    assert torch.equal(again.encoder(x), method.eval()(x))


def test_a_layer_that_the_head_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="feature_layer is 3; choose 0 .*, 1 or 2"):
        small("SimCLRv2", feature_layer=3)


def test_the_untrained_encoder_has_a_new_backbone_of_its_own_initialisation_and_a_new_layer():
    method = small("SimCLRv2", backbone="resnet18", backbone_args={"stem": "cifar"})
    kept = {k: v.clone() for k, v in method.state_dict().items()}
    copies = [small("SimCLRv2", backbone="resnet18", backbone_args={"stem": "cifar"}).encoder for _ in range(3)]
    a, b, c = (reinitialise(copy, seed) for copy, seed in zip(copies, (5, 5, 6), strict=True))
    assert same_state(a, b)
    for at in (0, 1):  # backbone, linear layer
        weights = [(p, q) for p, q in zip(a[at].parameters(), c[at].parameters(), strict=True) if p.ndim > 1]
        assert weights and all((p != q).any() for p, q in weights)
    # torchvision's ResNets draw convolutions with variance 2 / fan_out; reset_parameters would take 1 / (3 fan_in).
    conv = a[0].layer4[1].conv2.weight
    assert conv.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)  # of 2.4 million draws
    assert all(torch.equal(v, kept[k]) for k, v in method.state_dict().items())


def test_features_and_the_untrained_twin_are_those_of_the_encoder(digits):
    encoder = small("SimCLRv2", hidden_dim=24).eval().encoder
    found = extract(encoder, digits, 8, num_workers=1)
    assert found.x.shape == (len(found), 24) and (found.x >= 0).all()  # after the ReLU
    twin = untrained_twin(encoder, digits, 8, num_workers=1)
    other = extract(twin, digits, 8, num_workers=1)
    assert other.x.shape == found.x.shape and (other.x != found.x).any()
    norm = next(m for m in twin.modules() if isinstance(m, nn.BatchNorm1d))
    assert not torch.equal(norm.running_var, torch.ones(24)), "calibrated on the images"


def test_the_record_of_an_accuracy_names_the_layer(digits, tmp_path):
    for layer, name in ((0, "backbone"), (1, "projector, hidden layer 1")):
        method, run = small("SimCLRv2", feature_layer=layer), trainer()
        run.fit(method, Drawn(2, 1))
        run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
        words = ["--checkpoint", str(tmp_path / "a.ckpt"), "--train", str(digits), "--test", str(digits), "--size", "8"]
        assert linear.main([*words, "--num_workers", "1", "--json", "record.json"]) == 0
        assert json.loads(Path("record.json").read_text())["layer"] == name
