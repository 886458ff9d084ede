import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drawn import Drawn, small, trainer
from massrl.methods import SimCLR
from massrl.optim import scaled_lr


def test_the_head_is_the_papers_and_the_option_adds_the_batch_norm_of_the_authors_code():
    plain, option = SimCLR("tiny_resnet"), SimCLR("tiny_resnet", projector_norm=True)
    widths = [(m.in_features, m.out_features) for m in plain.projector if isinstance(m, nn.Linear)]
    assert widths == [(plain.num_features, plain.num_features), (plain.num_features, 128)]
    assert isinstance(plain.projector[-1], nn.Linear) and plain.projector[-1].bias is None
    last = option.projector[-1]
    assert isinstance(last, nn.BatchNorm1d) and last.weight.requires_grad and last.bias is None


def test_batch_norm_with_a_scale_and_no_shift_centres_each_channel_and_learns_its_scale():
    method = small("SimCLR", projector_norm=True).train()
    z = torch.cat(method.embed(next(iter(Drawn(2))).views))
    torch.testing.assert_close(z.mean(0), torch.zeros(16), atol=1e-5, rtol=0)  # float32 sums of 32 numbers
    trainer(2).fit(method, Drawn(2))
    scale = method.projector[-1].weight
    assert not torch.equal(scale, torch.ones(16))
    method.eval()
    norm, x = method.projector[-1], torch.randn(8, 16)
    by_hand = scale * (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), by_hand)
    assert torch.isfinite(F.normalize(norm(x))).all()


def test_the_rate_of_appendix_b1_is_the_square_root_rule_at_1_2():
    assert scaled_lr(1.2, 4096, "sqrt") == pytest.approx(0.075 * 4096**0.5)
