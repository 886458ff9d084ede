import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, small, trainer
from massrl.losses import vicreg, vicreg_terms
from massrl.methods import VICReg


def test_the_loss_is_that_of_the_two_embeddings_with_the_weights_of_the_paper_or_ones_own():
    batch = next(iter(Drawn(2)))
    for weights in ((25.0, 25.0, 1.0, 1.0), (5.0, 2.0, 0.5, 2.0)):
        names = ("sim_weight", "var_weight", "cov_weight", "gamma")
        method = small("VICReg", **dict(zip(names, weights, strict=True))).train()
        torch.testing.assert_close(method.loss(batch), vicreg(*method.embed(batch.views), *weights))


def test_the_three_terms_are_logged():
    method, run = small("VICReg"), trainer()
    run.fit(method, Drawn(2, 1))
    seen = {name: run.callback_metrics[name].item() for name in ("invariance", "variance", "covariance", "loss")}
    terms = vicreg_terms(*small("VICReg").train().embed(next(iter(Drawn(2))).views))
    assert [seen[name] for name in terms._fields] == pytest.approx([term.item() for term in terms])
    parts = 25 * seen["invariance"] + 25 * seen["variance"] + seen["covariance"]
    assert seen["loss"] == pytest.approx(parts)


def test_the_projector_has_three_layers_of_8192_and_nothing_after_the_last():
    projector = VICReg("tiny_resnet").projector
    assert [m.out_features for m in projector if isinstance(m, nn.Linear)] == [8192] * 3
    assert isinstance(projector[-1], nn.Linear) and projector[-1].bias is None


@pytest.mark.parametrize("name", ["sim_weight", "var_weight", "cov_weight", "gamma"])
def test_a_weight_that_cannot_be_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is -1"):
        small("VICReg", **{name: -1.0})
