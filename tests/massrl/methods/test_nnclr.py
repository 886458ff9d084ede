import pytest
import torch
import torch.nn.functional as F
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from drawn import Drawn, loss_of, small, trainer
from massrl.losses import nearest_neighbour, nnclr
from massrl.methods import NNCLR


def prepared(**args):
    return small("NNCLR", **args).train(), next(iter(Drawn(2)))


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_asks_the_queue_for_neighbours_and_the_predictor_for_the_other_view(symmetric):
    method, batch = prepared(tau=0.3, symmetric=symmetric)
    queue = method.queue.rows()
    z1, z2 = method.embed(batch.views)
    n = torch.stack([nearest_neighbour(z1, queue), nearest_neighbour(z2, queue)])
    p = torch.stack([method.predictor(z1), method.predictor(z2)])
    torch.testing.assert_close(method.loss(batch), nnclr(n, p, 0.3, symmetric))


def test_after_the_loss_the_oldest_rows_are_the_normalised_embeddings_of_the_first_view():
    method, batch = prepared()
    before = method.queue.rows()
    z1, _ = method.embed(batch.views)
    method.loss(batch)
    rows = method.queue.rows()
    torch.testing.assert_close(rows[:16], F.normalize(z1.detach(), dim=1))
    assert torch.equal(rows[16:], before[16:]), "40 rows, 16 of them new"
    method.eval()
    method.loss(batch)
    assert torch.equal(method.queue.rows(), rows), "evaluating the loss leaves the queue"


def test_no_gradient_flows_to_the_view_whose_neighbour_is_taken():
    """With a predictor that does not depend on its input, nothing but the neighbours could carry a gradient on."""
    method, batch = prepared()
    nn.init.zeros_(method.predictor[-1].weight)
    nn.init.normal_(method.predictor[-1].bias)
    method.loss(batch).backward()
    assert all(p.grad is None or not p.grad.any() for p in method.projector.parameters())


def test_the_queue_begins_with_random_unit_vectors_that_are_not_trained_and_are_in_the_checkpoint():
    method = small("NNCLR")
    rows = method.queue.rows()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(40))
    assert abs(rows.mean()) < 0.05 and "queue.ring" in method.state_dict()  # 640 draws of deviation 1/4: 5 sigma
    assert not any(name.startswith("queue") for name, _ in method.named_parameters())


def test_a_queue_smaller_than_the_batch_is_refused_with_the_size_to_set():
    with pytest.raises(
        ConfigError, match="queue_size is 15, smaller than the global batch of 16 images; set queue_size to 16"
    ):
        trainer().fit(small("NNCLR", queue_size=15), Drawn(2))
    trainer().fit(small("NNCLR", queue_size=16), Drawn(2, 1))


def test_the_heads_are_the_papers():
    method = NNCLR("tiny_resnet", queue_size=8)
    layers = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(m) for m in method.projector] == [*layers, *layers, nn.Linear, nn.BatchNorm1d]
    assert [m.out_features for m in method.projector if isinstance(m, nn.Linear)] == [2048, 2048, 256]
    assert [type(m) for m in method.predictor] == [*layers, nn.Linear]
    assert [m.out_features for m in method.predictor if isinstance(m, nn.Linear)] == [4096, 256]


def test_three_views_are_the_mean_over_their_ordered_pairs():
    method, (a, b, c) = small("NNCLR").eval(), next(iter(Drawn(3))).views
    whole = loss_of(method, Batch.from_views([a, b, c]))
    pairs = [loss_of(method, Batch.from_views(list(pair))) for pair in ((a, b), (a, c), (b, c))]
    torch.testing.assert_close(whole, sum(pairs) / 3)
