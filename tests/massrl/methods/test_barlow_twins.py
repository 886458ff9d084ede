import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, small
from massrl.losses import barlow_twins
from massrl.methods import BarlowTwins


def test_the_loss_is_that_of_the_two_embeddings():
    method, batch = small("BarlowTwins", lambd=0.01, scale_loss=0.1).train(), next(iter(Drawn(2)))
    z1, z2 = method.embed(batch.views)
    torch.testing.assert_close(method.loss(batch), barlow_twins(z1, z2, 0.01, 0.1))


def test_the_projector_has_three_layers_of_8192_and_nothing_after_the_last():
    projector = BarlowTwins("tiny_resnet").projector
    assert [m.out_features for m in projector if isinstance(m, nn.Linear)] == [8192] * 3
    assert isinstance(projector[-1], nn.Linear) and projector[-1].bias is None


def test_biases_and_norms_learn_at_the_rate_of_the_paper():
    groups = BarlowTwins("tiny_resnet", hidden_dim=8, out_dim=8).configure_optimizers().param_groups
    rates = {bool(group["adapt"]): 0.2 * group["factor"] for group in groups}
    assert rates == {True: 0.2, False: pytest.approx(0.0048)}
    assert all(p.ndim > 1 for group in groups if group["adapt"] for p in group["params"])


@pytest.mark.parametrize("wrong", [{"lambd": -1.0}, {"scale_loss": 0.0}])
def test_a_weight_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        small("BarlowTwins", **wrong)
