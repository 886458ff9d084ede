import pytest
import torch
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from drawn import Drawn, small, trainer
from massrl.losses import nt_xent, supcon
from massrl.methods import SupCon


def test_the_loss_is_that_of_its_embeddings_and_the_labels():
    method, batch = small("SupCon", tau=0.3, base_tau=0.07).train(), next(iter(Drawn(3)))
    z = torch.stack(method.embed(batch.views))
    torch.testing.assert_close(method.loss(batch), supcon(z, batch.labels, 0.3, 0.07))


def test_with_a_class_for_each_image_it_is_simclr_of_the_same_embeddings():
    method, batch = small("SupCon", tau=0.3).train(), next(iter(Drawn(2)))
    alone = Batch.from_views(batch.views, torch.arange(16))
    torch.testing.assert_close(method.loss(alone), nt_xent(torch.stack(method.embed(batch.views)), 0.3))


def test_the_projector_is_the_papers_without_batch_norm():
    layers = list(SupCon("tiny_resnet").projector)
    assert [type(m) for m in layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (layers[0].out_features, layers[2].out_features) == (2048, 128)


@pytest.mark.parametrize("name", ["tau", "base_tau"])
def test_a_temperature_of_0_is_refused(name):
    with pytest.raises(ConfigError, match=f"^{name} is 0.0; a temperature must be above 0"):
        small("SupCon", **{name: 0.0})


def test_data_without_labels_are_refused_before_the_first_step_with_what_to_do():
    method = small("SupCon")
    before = [p.clone() for p in method.parameters()]
    with pytest.raises(ConfigError, match="SupCon needs labels, and these data have none; set data.train to a folder"):
        trainer().fit(method, Drawn(2, labels=False))
    assert all(torch.equal(p, q) for p, q in zip(before, method.parameters(), strict=True))


def test_data_that_have_labels_for_some_images_only_are_refused():
    with pytest.raises(ConfigError, match="2 of 3 images have none"):
        small("SupCon").check_labels(torch.tensor([1, -1, -1]))


def test_a_mixed_batch_is_refused_since_its_images_have_no_one_class():
    batch = next(iter(Drawn(2)))
    with pytest.raises(ConfigError, match="SupCon takes no mixed batch"):
        small("SupCon").check_batch(batch.mix("Mixup", num_classes=4, seed=0))
    small("SupCon").check_batch(batch)


def test_one_global_view_is_refused_with_a_view_set_that_fits():
    with pytest.raises(ConfigError, match="takes 2 or more global views, the view set has 1; .*autoaugment fits"):
        trainer().fit(small("SupCon"), Drawn(1))
