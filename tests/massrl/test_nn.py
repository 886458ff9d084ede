import pytest
import torch
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.backbones import build
from massrl.nn import Target, mlp, stack_views


def test_a_layer_has_a_bias_exactly_where_no_norm_follows():
    def biases(head):
        return [layer.bias is not None for layer in head if isinstance(layer, nn.Linear)]

    assert biases(mlp(4, 8, 8, 2)) == [False, False, True]
    assert biases(mlp(4, 8, 2, last_norm=True)) == [False, False]
    assert biases(mlp(4, 2)) == [True]


def test_an_affine_free_norm_leaves_mean_0_and_variance_1_on_the_output():
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    z = mlp(4, 8, 3, last_norm=True, last_affine=False)(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-6, rtol=0)  # float32 rounding
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)  # eps = 1e-5 in BatchNorm


def test_the_target_starts_as_a_copy_and_moves_by_one_minus_ema():
    online = nn.Linear(2, 2)
    target = Target(part=online)
    assert torch.equal(target.parts["part"].weight, online.weight)
    before = target.parts["part"].weight.clone()
    with torch.no_grad():
        online.weight += 1.0
    target.update(0.75, part=online)
    torch.testing.assert_close(target.parts["part"].weight, before + 0.25)
    target.update(0.0, part=online)
    assert torch.equal(target.parts["part"].weight, online.weight)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("timm:vit_tiny_patch16_224", {"img_size": 32, "depth": 2, "drop_path_rate": 0.5}),
        ("timm:vit_tiny_patch16_224", {"img_size": 32, "depth": 2, "proj_drop_rate": 0.5, "attn_drop_rate": 0.5}),
        ("torchvision:vit_b_16", {"image_size": 32, "attention_dropout": 0.5}),
        ("torchvision:convnext_tiny", {"stochastic_depth_prob": 0.9}),
    ],
)
def test_what_drops_rests_in_the_target_while_its_batch_normalisation_trains(name, args):
    """As DINO's code, whose teacher is made without stochastic depth."""
    online = nn.Sequential(build(name, **args), nn.LazyBatchNorm1d()).train()
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    online(x)
    target = Target(part=online)
    assert torch.equal(target(x), target(x)) and not torch.equal(online(x), online(x))
    norm = target.parts["part"][1]
    assert target.training and norm.training and norm.num_batches_tracked == 3  # 1 in the original
    assert target.state_dict().keys() == {f"parts.part.{key}" for key in online.state_dict()}


def test_a_target_of_16_bits_is_refused_since_it_would_stay_where_it_is():
    online = nn.Linear(16, 16).bfloat16()
    target, start = Target(part=online), online.weight.detach().clone()
    with torch.no_grad():
        online.weight.mul_(1.5)
    for _ in range(100):
        target.update(0.996, part=online)
    moved = (target.parts["part"].weight - start).float().norm() / (online.weight - start).float().norm()
    assert moved < 0.1 < 1 - 0.996**100  # this is why
    with pytest.raises(ConfigError, match="the target network is bfloat16, too coarse .* bf16-mixed"):
        target.check()


def test_the_target_is_averaged_in_float32_when_parameters_are_bfloat16():
    online = nn.Linear(1, 1, bias=False).bfloat16()
    target = Target(part=online)
    nn.init.constant_(target.parts["part"].weight, 1.0)
    nn.init.constant_(online.weight, 2.0)
    target.update(
        0.99, part=online
    )  # 1.01; the nearest bfloat16 is 1.0078125, arithmetic in bfloat16 would also see 0.99
    assert target.parts["part"].weight.item() == torch.tensor(1.01).bfloat16().item()


def test_the_target_takes_no_gradient_keeps_its_own_statistics_and_stays_in_train_mode():
    online = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    target = Target(part=online)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5
    assert not target(x).requires_grad and target.training
    assert not torch.equal(target.parts["part"][1].running_mean, online[1].running_mean)
    target.update(0.5, part=online)
    assert target.parts["part"][1].num_batches_tracked == 1 and online[1].num_batches_tracked == 0


def test_stacking_the_views_of_one_block_shares_its_memory():
    block = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    stacked = stack_views(list(block))
    assert stacked.data_ptr() == block.data_ptr() and torch.equal(stacked, block.reshape(6, 4))


def test_stacking_other_views_equals_concatenation():
    block = torch.arange(3 * 3 * 4.0).reshape(3, 3, 4)
    for views in ([block[1], block[0]], [block[0], block[2]], [block[0], block[0]], [block[0], block[1].clone()]):
        assert torch.equal(stack_views(views), torch.cat(views))
    free = [torch.ones(2, 3, requires_grad=True), torch.ones(2, 3)]
    stack_views(free).sum().backward()
    assert torch.equal(free[0].grad, torch.ones(2, 3))


def test_views_of_a_batch_still_share_memory_after_a_move():
    moved = Batch.from_views([torch.zeros(2, 3, 8, 8)]).to("cpu")
    assert stack_views(moved.views).data_ptr() == moved.blocks[0].data_ptr()


def test_running_statistics_follow_in_float32_and_counts_are_copied_where_that_is_asked():
    online = nn.BatchNorm1d(1).bfloat16()
    target = Target(part=online)
    mine = target.parts["part"]
    mine.running_mean.fill_(1.0)
    online.running_mean.fill_(2.0)
    online.num_batches_tracked.fill_(7)
    target.update(0.99, part=online)
    assert (mine.running_mean.item(), mine.num_batches_tracked.item()) == (1.0, 0)
    target.update(0.99, buffers=True, part=online)
    assert mine.running_mean.item() == torch.tensor(1.01).bfloat16().item()
    assert mine.num_batches_tracked.item() == 7 and mine.running_mean.dtype == torch.bfloat16


def test_a_target_in_half_precision_comes_as_near_as_float32_arithmetic_and_one_rounding_do():
    draw = torch.Generator().manual_seed(0)
    online, start = (torch.randn(64, 64, generator=draw).bfloat16() for _ in range(2))
    layer = nn.Linear(64, 64, bias=False).bfloat16()
    target = Target(part=layer)
    with torch.no_grad():
        layer.weight.copy_(online)
        target.parts["part"].weight.copy_(start)
    target.update(0.9, part=layer)
    exact = (0.9 * start.double() + 0.1 * online.double()).bfloat16()
    # equal but for values that lie within a float32 rounding of the middle between two bfloat16 numbers
    assert (target.parts["part"].weight != exact).float().mean() < 1e-3
