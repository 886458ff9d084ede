import pytest
import torch
import torch.nn.functional as F
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, same_state, small, trainer
from massrl.distributed import over_shuffled
from massrl.losses import info_nce, info_nce_batch
from massrl.methods import MoCo, MoCoV2, MoCoV2Plus, MoCoV3

QUEUED = ("MoCo", "MoCoV2", "MoCoV2Plus")
every_queue = pytest.mark.parametrize("name", QUEUED)


def prepared(name, **args):
    """A method whose target is another network than the online one, in train mode, and a batch."""
    method = small(name, **args).train()
    with torch.no_grad():
        for p in method.target.parameters():
            p.mul_(0.9)
    return method, next(iter(Drawn(2)))


def keys(method, batch):
    """What the target makes of both views, unit vectors."""
    with torch.no_grad():
        return [F.normalize(k, dim=1) for k in method.embed(batch.views, through=method.target)]


def queues(method):
    return [module for name, module in method.named_children() if name.startswith("queue")]


@pytest.mark.parametrize("name", ["MoCo", "MoCoV2"])
def test_the_first_loss_compares_the_query_with_its_key_and_the_queue_as_it_was(name):
    """The keys of this batch come into the queue after the loss: they are no negatives of their own queries."""
    method, batch = prepared(name, tau=0.3)
    start = method.queue.rows()
    q, _ = method.embed(batch.views)
    _, k = keys(method, batch)  # the query is of the first view, the key of the second
    torch.testing.assert_close(method.loss(batch), info_nce(q, k, start, tau=0.3))
    torch.testing.assert_close(method.loss(batch), info_nce(q, k, torch.cat([k, start[16:]]), tau=0.3))


def test_the_two_queues_of_v2_plus_are_crossed_as_its_views_are():
    method, batch = prepared("MoCoV2Plus", tau=0.3)
    queue1, queue2 = method.queue1.rows(), method.queue2.rows()
    assert not torch.equal(queue1, queue2)
    q1, q2 = method.embed(batch.views)
    k1, k2 = keys(method, batch)
    expected = (info_nce(q1, k2, queue2, 0.3) + info_nce(q2, k1, queue1, 0.3)) / 2
    torch.testing.assert_close(method.loss(batch), expected)
    torch.testing.assert_close(method.queue1.rows()[:16], k1)
    torch.testing.assert_close(method.queue2.rows()[:16], k2)


@every_queue
def test_after_the_loss_the_head_of_the_queue_is_the_targets_normalised_keys_and_the_rest_is_as_before(name):
    method, batch = prepared(name)
    before = [queue.rows() for queue in queues(method)]
    expected = keys(method, batch)[-len(before) :]  # one queue: the second view's
    method.loss(batch)
    for queue, rows, k in zip(queues(method), before, expected, strict=True):
        torch.testing.assert_close(queue.rows()[:16], k)
        assert torch.equal(queue.rows()[16:], rows[16:]), "40 rows, 16 of them new"


@every_queue
def test_evaluating_the_loss_leaves_the_queue(name):
    method, batch = prepared(name)
    before = [queue.rows() for queue in queues(method)]
    method.eval().loss(batch)
    assert all(torch.equal(queue.rows(), rows) for queue, rows in zip(queues(method), before, strict=True))


@every_queue
def test_a_queue_smaller_than_the_batch_is_refused_before_the_first_step_with_the_size_to_set(name):
    method = small(name, queue_size=15)
    start = {key: value.clone() for key, value in method.state_dict().items()}
    message = "queue_size is 15, smaller than the global batch of 16 images; set queue_size to 16 or more"
    with pytest.raises(ConfigError, match=message):
        trainer().fit(method, Drawn(2))
    assert all(torch.equal(value, start[key]) for key, value in method.state_dict().items())
    trainer().fit(small(name, queue_size=16), Drawn(2, 1))


@pytest.mark.parametrize("name, ema_end", [("MoCo", 0.999), ("MoCoV2", 0.999), ("MoCoV2Plus", 0.999), ("MoCoV3", 1.0)])
def test_the_papers_momentum_is_constant_and_that_of_v2_plus_and_v3_rises(name, ema_end):
    method, used = small(name), []
    start = {"MoCo": 0.999, "MoCoV2": 0.999, "MoCoV2Plus": 0.99, "MoCoV3": 0.99}[name]
    method.move_target = used.append
    trainer().fit(method, Drawn(2))
    # over 4 steps; half a cosine: (cos(pi k / 4) + 1) / 2
    expected = [ema_end - (ema_end - start) * part for part in (1, 0.853553, 0.5, 0.146447)]
    assert used == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["MoCo", "MoCoV2", "MoCoV2Plus", "MoCoV3"])
def test_the_target_gets_no_gradient_but_the_online_network_does(name):
    method, batch = prepared(name)
    method.loss(batch).backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad.abs().sum() > 0 for p in method.projector.parameters())


def test_in_one_process_shuffling_for_batch_normalisation_is_the_network_itself():
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, shuffled = (small("MoCo").train() for _ in range(2))
    expected = plain.target(x)
    assert torch.equal(over_shuffled(shuffled.target, x, 5), expected)
    assert same_state(plain, shuffled), "running statistics too"
    losses = [small("MoCo", shuffle_bn=on).train().loss(next(iter(Drawn(2)))) for on in (True, False)]
    assert torch.equal(*losses)


def test_v3_is_twice_tau_times_infonce_among_the_batch_both_ways_round_and_has_no_queue():
    method, batch = prepared("MoCoV3", tau=0.3)
    q1, q2 = map(method.predictor, method.embed(batch.views))
    k1, k2 = keys(method, batch)
    expected = 2 * 0.3 * (info_nce_batch(q1, k2, 0.3) + info_nce_batch(q2, k1, 0.3))
    torch.testing.assert_close(method.loss(batch), expected)
    assert not queues(method) and not any("queue" in key for key in method.state_dict())


def test_the_factor_makes_the_gradient_of_v3_nearly_independent_of_a_high_temperature():
    """2 tau log B - 2 (cosine less the mean cosine) + O(1/tau): without the factor it would fall as 1/tau."""
    lengths = []
    for tau in (20.0, 200.0):
        method, batch = prepared("MoCoV3", tau=tau)
        method.loss(batch).backward()
        lengths.append(sum(p.grad.square().sum() for p in method.predictor.parameters()).sqrt().item())
    assert lengths[0] == pytest.approx(lengths[1], rel=0.1)  # what is left is O(1/20)


@pytest.mark.parametrize("freeze", [False, True])
def test_the_projection_of_patches_rests_where_that_is_asked_and_the_rest_of_the_vit_learns(freeze):
    vit = {"backbone": "timm:vit_tiny_patch16_224", "backbone_args": {"img_size": 8, "patch_size": 4, "depth": 1}}
    method = small("MoCoV3", **vit, freeze_patch_embed=freeze)
    before = {key: p.clone() for key, p in method.backbone.named_parameters()}
    trainer().fit(method, Drawn(2))
    moved = {key: not torch.equal(p, before[key]) for key, p in method.backbone.named_parameters()}
    assert moved["patch_embed.proj.weight"] == moved["patch_embed.proj.bias"] == (not freeze)
    assert moved["blocks.0.attn.qkv.weight"] and moved["cls_token"]


def test_freezing_the_projection_of_patches_of_a_resnet_is_refused():
    with pytest.raises(ConfigError, match="freeze_patch_embed is for ViTs of timm; this backbone has no patch_embed"):
        small("MoCoV3", freeze_patch_embed=True)


def widths(head):
    return [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]


def test_the_heads_are_those_of_the_papers():
    F_ = MoCo("tiny_resnet", queue_size=2).num_features
    assert isinstance(MoCo("tiny_resnet", queue_size=2).projector, nn.Linear)
    assert widths(MoCoV2("tiny_resnet", queue_size=2).projector) == [(F_, F_), (F_, 128)]
    plus = MoCoV2Plus("tiny_resnet", queue_size=2)
    assert widths(plus.projector) == [(F_, 2048), (2048, 256)]
    assert not any(isinstance(m, nn.BatchNorm1d) for m in plus.projector)
    v3 = MoCoV3("tiny_resnet")
    assert widths(v3.projector) == [(F_, 4096), (4096, 256)] and widths(v3.predictor) == [(256, 4096), (4096, 256)]
    assert isinstance(v3.projector[-1], nn.BatchNorm1d) and not v3.projector[-1].affine
    assert isinstance(v3.predictor[-1], nn.Linear)
    vit = MoCoV3("tiny_resnet", projector_layers=3, pred_norm=True)
    assert widths(vit.projector) == [(F_, 4096), (4096, 4096), (4096, 256)]
    assert isinstance(vit.predictor[-1], nn.BatchNorm1d) and not vit.predictor[-1].affine
