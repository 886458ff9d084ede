import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, loss_of, small, trainer
from massrl.losses import dino
from massrl.methods import DINO
from massrl.nn import CosinePrototypes

VIT = {"name": "timm:vit_tiny_patch16_224", "img_size": 8, "patch_size": 2, "depth": 1}


def vit(**args):
    backbone_args = {key: value for key, value in {**VIT, **args}.items() if key != "name"}
    return small("DINO", backbone=VIT["name"], backbone_args=backbone_args)


def prepared(views=(2, 2), **args):
    """A method whose target is another network than the online one, in train mode, and a batch."""
    method = small("DINO", **args).train()
    with torch.no_grad():
        for p in method.target.parameters():
            p.mul_(0.9)
    return method, next(iter(Drawn(views)))


def logits(method, batch):
    """The backbone sees all views of a size at once, the head all views (its BatchNorm: head_norm), as in the authors'
    code."""
    sizes = [torch.cat(views) for views in (batch.global_views, batch.local_views) if views]
    h = torch.cat([method.backbone(x) for x in sizes])  # (V*B, F)
    online = method.prototypes(method.projector(h)).unflatten(0, (-1, len(batch)))  # (V, B, K)
    with torch.no_grad():
        target = torch.stack(method.embed(batch.global_views, through=method.target))
    return online, target


class Each(pl.Callback):
    """What `look` says of the method before each step."""

    def __init__(self, look):
        self.look, self.seen = look, []

    def on_before_zero_grad(self, trainer, method, *_):
        self.seen.append(self.look(method))


@pytest.mark.parametrize("views", [(2, 2), (3, 1), 2])
def test_the_first_loss_is_that_of_its_own_logits_with_the_centre_0(views):
    method, batch = prepared(views, tau=0.2, tau_target=0.09)
    online, target = logits(method, batch)
    assert not method.centre.any()
    torch.testing.assert_close(method.loss(batch), dino(online, target, torch.zeros(16), 0.2, 0.09))


def test_the_centre_moves_after_the_loss_by_a_tenth_of_the_way_to_the_mean_of_the_targets_logits():
    method, batch = prepared()
    online, target = logits(method, batch)
    mean = target.mean((0, 1))  # over the two global views and the images
    assert mean.abs().max() > 0.01
    first = method.loss(batch)
    torch.testing.assert_close(method.centre, 0.1 * mean)
    second = method.loss(batch)
    torch.testing.assert_close(second, dino(online, target, 0.1 * mean, method.tau, method.tau_now))
    torch.testing.assert_close(method.centre, (1 - 0.9**2) * mean)
    assert abs(second - first) > 1e-4 and "centre" in method.state_dict()


@pytest.mark.parametrize("momentum, share", [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_the_centre_keeps_as_much_as_its_momentum_says(momentum, share):
    method, batch = prepared(centre_momentum=momentum)
    method.loss(batch)
    torch.testing.assert_close(method.centre, share * logits(method, batch)[1].mean((0, 1)))


def test_the_centre_stays_in_evaluation():
    method, batch = prepared()
    method.eval().loss(batch)
    assert not method.centre.any()


def test_the_targets_temperature_rises_in_a_straight_line_and_then_stays():
    method = small("DINO", tau_target_start=0.04, tau_target=0.07, tau_warmup_epochs=1.5)
    each = Each(lambda method: method.tau_now)
    trainer(2, callbacks=[each]).fit(method, Drawn((2, 2)))
    # 4 steps an epoch: six steps for 0.03
    assert each.seen == pytest.approx([0.04, 0.045, 0.05, 0.055, 0.06, 0.065, 0.07, 0.07])


def test_without_a_trainer_or_without_a_warm_up_the_temperature_is_the_last_one():
    assert small("DINO").tau_now == 0.07
    each = Each(lambda method: method.tau_now)
    trainer(callbacks=[each]).fit(small("DINO", tau_warmup_epochs=0), Drawn((2, 2), 2))
    assert each.seen == [0.07, 0.07]


def test_the_last_layer_rests_in_the_first_epoch_and_then_moves():
    each = Each(lambda method: [method.prototypes.weight.detach().clone(), method.projector[0].weight.detach().clone()])
    method = small("DINO")
    trainer(2, callbacks=[each]).fit(method, Drawn((2, 2)))
    rows = [*each.seen, [method.prototypes.weight.detach(), method.projector[0].weight.detach()]]
    moved = [[not torch.equal(a, b) for a, b in zip(x, y, strict=True)] for x, y in zip(rows, rows[1:], strict=False)]
    assert [prototypes for prototypes, _ in moved] == [False] * 4 + [True] * 4
    assert all(projector for _, projector in moved)


def test_two_global_views_alone_predict_each_other():
    method, batch = prepared(2)
    (s1, s2), (t1, t2) = logits(method, batch)
    log1, log2 = ((s / 0.1).log_softmax(1) for s in (s1, s2))
    p1, p2 = ((t / 0.07).softmax(1) for t in (t1, t2))  # the centre is 0
    by_hand = -((p1 * log2).sum(1) + (p2 * log1).sum(1)).mean() / 2
    torch.testing.assert_close(method.loss(batch), by_hand)


def test_local_views_follow_the_target_and_never_enter_it():
    method, batch = prepared()
    value = loss_of(method, batch)
    sizes = []
    method.target.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
    loss_of(method, batch)
    assert sizes == [(32, 3, 8, 8)], "two global views of 16 images in one forward"
    batch.blocks[3] = batch.blocks[3].flip(1)  # the last local view is of other images
    assert abs(loss_of(method, batch) - value) > 1e-4


def test_the_target_gets_no_gradient_but_the_online_network_does():
    method, batch = prepared()
    method.loss(batch).backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad.abs().sum() > 0 for p in [*method.projector.parameters(), *method.prototypes.parameters()])


def test_a_target_that_says_the_same_of_all_images_leaves_evenness_to_be_learnt():
    """Where the centre has reached the constant target, P is even, and the loss is at least log K."""
    method, batch = prepared()
    with torch.no_grad():
        for part in ("projector", "prototypes"):
            for p in method.target.parts[part].parameters():
                p.fill_(1.0)
    target = logits(method, batch)[1]
    method.centre.copy_(target[0, 0])
    assert method.loss(batch).item() >= math.log(16) - 1e-5  # float32 rounding


def test_a_vit_of_a_fixed_size_is_refused_with_local_views_before_the_first_step():
    method = vit(dynamic_img_size=False)
    start = {key: value.clone() for key, value in method.state_dict().items()}
    with pytest.raises(ConfigError, match=r"cannot take local views of \(6, 6\) pixels.*local_size of data.views"):
        trainer().fit(method, Drawn((2, 2)))
    assert all(torch.equal(value, start[key]) for key, value in method.state_dict().items())
    trainer().fit(method, Drawn(2, 2))  # the global views alone are of its size


def test_a_vit_that_fits_its_positions_to_the_size_takes_local_views():
    method = vit(dynamic_img_size=True)
    before = method.backbone.blocks[0].attn.qkv.weight.detach().clone()
    trainer().fit(method, Drawn((2, 2), 2))
    assert method.schedule.total == 2 and not torch.equal(method.backbone.blocks[0].attn.qkv.weight, before)


def test_the_head_is_that_of_the_paper():
    method = DINO("tiny_resnet", out_dim=100)
    assert [type(m) for m in method.projector] == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    linear = [m for m in method.projector if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [2048, 2048, 256]
    assert all(not m.bias.any() and m.weight.std().item() == pytest.approx(0.02, rel=0.05) for m in linear)
    assert isinstance(method.prototypes, CosinePrototypes) and method.prototypes.factor is None
    assert DINO("tiny_resnet", out_dim=100, norm_last_layer=False).prototypes.factor.shape == (100, 1)


@pytest.mark.parametrize("wrong", [{"centre_momentum": 1.1}, {"tau_target": 0.0}, {"tau_target_start": -0.1}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is "):
        small("DINO", **wrong)
