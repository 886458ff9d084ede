import copy

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, loss_of, small, trainer
from massrl.losses import sinkhorn, swav
from massrl.methods import SwAV


def prepared(views=(2, 2), **args):
    return small("SwAV", **args).train(), next(iter(Drawn(views)))


def embedded(method, batch):
    """Unit embeddings (B, D) of all views, globals first, and their cosines (V, B, K) with the prototypes."""
    z = [F.normalize(x, dim=1) for x in method.embed([*batch.global_views, *batch.local_views])]
    return z, torch.stack([x @ F.normalize(method.prototypes.weight, dim=1).T for x in z])


@pytest.mark.parametrize("assigned", [1, 2, 3])
def test_the_loss_is_that_of_its_own_scores_and_the_first_assigned_views(assigned):
    method, batch = prepared((3, 2), queue_size=0, assigned_views=assigned, tau=0.2, epsilon=0.1, sinkhorn_iterations=5)
    _, scores = embedded(method, batch)
    q = torch.stack([sinkhorn(scores[a].detach(), 0.1, 5) for a in range(assigned)])
    torch.testing.assert_close(method.loss(batch), swav(scores, q, 0.2))


def test_local_views_predict_but_are_not_assigned():
    method, batch = prepared(queue_size=0)
    given, assign = [], method.assign
    method.assign = lambda *args: given.append(args[1]) or assign(*args)
    with_local = loss_of(method, batch)
    assert len(given) == 2
    _, scores = embedded(method, batch)
    torch.testing.assert_close(torch.stack(given), scores[:2].detach())
    batch.blocks[3] = batch.blocks[3].flip(1)  # the last view, a local one, is now of other images
    assert abs(loss_of(method, batch) - with_local) > 1e-3


def test_what_views_are_assigned_to_is_a_target_without_gradient():
    method, batch = prepared(queue_size=0)
    scores = torch.stack([method.prototypes(z) for z in embedded(method, batch)[0]])
    q = torch.stack([sinkhorn(s) for s in scores[:2].detach()])
    expected = torch.autograd.grad(swav(scores, q, method.tau), method.prototypes.weight)[0]
    method.loss(batch).backward()
    torch.testing.assert_close(method.prototypes.weight.grad, expected)


def test_prototypes_have_norm_1_in_each_forward_of_the_training_and_are_left_alone_in_evaluation():
    method, batch = prepared()
    with torch.no_grad():
        method.prototypes.weight *= 3
    stretched = method.prototypes.weight.detach().clone()
    method.eval().loss(batch)
    assert torch.equal(method.prototypes.weight, stretched)
    method.train().loss(batch)
    torch.testing.assert_close(method.prototypes.weight, stretched / 3)


def test_the_queues_take_part_only_once_they_are_full():
    """40 rows and batches of 16: full with the third batch, used from the fourth loss on."""
    method, batches = small("SwAV", queue_size=40).train(), list(Drawn((2, 2)))
    assert len(method.queues) == 2
    pushed = [[], []]
    for i, batch in enumerate(batches):
        z, scores = embedded(method, batch)
        scores = scores.detach()
        used = i == 3
        q = []
        for a in range(2):
            past = method.queues[a].rows() @ method.prototypes.weight.detach().T
            everyone = torch.cat([scores[a], past]) if used else scores[a]  # assigned together, this batch read off
            q.append(sinkhorn(everyone)[:16])
            pushed[a].append(z[a].detach())
        assert method.queues[0].full == used
        torch.testing.assert_close(method.loss(batch), swav(embedded(method, batch)[1], torch.stack(q)))
        if used:
            alone = swav(scores, torch.stack([sinkhorn(s) for s in scores[:2]]))
            assert abs(swav(scores, torch.stack(q)) - alone) > 1e-4, "the queue changes what is assigned"
    for queue, rows in zip(method.queues, pushed, strict=True):  # view a in queue a: rows 41 to 64 at the head
        rows = torch.cat(rows)
        torch.testing.assert_close(queue.rows(), torch.cat([rows[40:], rows[24:40]]))


def test_evaluating_the_loss_leaves_the_queues():
    method, batch = prepared(queue_size=40)
    method.eval().loss(batch)
    assert [int(queue.pushed) for queue in method.queues] == [0, 0]


def test_the_queues_are_filled_from_their_epoch_on():
    method, pushed = small("SwAV", queue_size=40, queue_from_epoch=1.5), []

    class Count(pl.Callback):
        def on_train_batch_end(self, *_):
            pushed.append([int(queue.pushed) for queue in method.queues])

    trainer(2, callbacks=[Count()]).fit(method, Drawn((2, 2)))
    # 4 steps an epoch: the seventh step is the first one after 1.5 epochs
    assert pushed == [[n, n] for n in (0, 0, 0, 0, 0, 0, 16, 32)]


@pytest.mark.parametrize("freeze_steps", [0, 3])
def test_prototypes_rest_for_the_first_steps_and_then_move(freeze_steps):
    method, moved = small("SwAV", freeze_steps=freeze_steps), []

    class Follow(pl.Callback):
        def on_train_batch_start(self, trainer, method, *_):
            self.before = F.normalize(method.prototypes.weight.detach(), dim=1)
            self.projector = method.projector[0].weight.detach().clone()

        def on_train_batch_end(self, trainer, method, *_):
            after = F.normalize(method.prototypes.weight.detach(), dim=1)
            moved.append(bool((after - self.before).abs().max() > 1e-6))  # more than float32 rounding
            assert not torch.equal(method.projector[0].weight, self.projector), "the rest learns from the first step"

    trainer(callbacks=[Follow()]).fit(method, Drawn((2, 2)))
    assert moved == [i >= freeze_steps for i in range(4)]


def test_impossible_numbers_are_refused_with_what_is_possible():
    with pytest.raises(ConfigError, match="assigned_views is 3, and there are 2 global views"):
        trainer().fit(small("SwAV", assigned_views=3), Drawn((2, 2)))
    with pytest.raises(ConfigError, match="queue_size is 15, smaller than the global batch of 16 images"):
        trainer().fit(small("SwAV", queue_size=15), Drawn((2, 2)))
    wrong = {"num_prototypes": (1, 2), "sinkhorn_iterations": (0, 1), "queue_size": (-1, 0), "assigned_views": (0, 1)}
    for name, (value, least) in wrong.items():
        with pytest.raises(ConfigError, match=rf"{name} is {value}; it must be (an integer from|at least) {least}"):
            small("SwAV", **{name: value})
    assert not small("SwAV", queue_size=0).queues


def test_the_loss_is_blind_to_the_names_of_prototypes_and_to_the_order_of_local_views():
    method, batch = prepared(queue_size=0)
    value = loss_of(method, batch)
    renamed = copy.deepcopy(method)
    with torch.no_grad():
        renamed.prototypes.weight.copy_(method.prototypes.weight.flip(0))
    torch.testing.assert_close(loss_of(renamed, batch), value)
    batch.blocks[2:] = batch.blocks[2:][::-1]
    torch.testing.assert_close(loss_of(method, batch), value)


def test_the_heads_are_those_of_the_authors():
    method = SwAV("tiny_resnet")
    assert [type(m) for m in method.projector] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [m.out_features for m in method.projector if isinstance(m, nn.Linear)] == [2048, 128]
    assert method.prototypes.weight.shape == (3000, 128) and method.prototypes.bias is None
