import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from massrl.nn import CosinePrototypes, Prototypes


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(kind, *args, **more):
    torch.manual_seed(0)
    return kind(*args, **more)


def test_prototypes_begin_with_norm_1_and_get_it_back_by_normalise():
    prototypes = seeded(Prototypes, 4, 6)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(6))
    directions = prototypes.weight.detach().clone()
    with torch.no_grad():
        prototypes.weight *= torch.arange(1.0, 7.0)[:, None]
    prototypes.normalise()
    torch.testing.assert_close(prototypes.weight, directions)  # the directions stayed


def test_normalise_is_outside_the_gradient_and_leaves_a_trainable_parameter():
    """Within it, the gradient with regard to a prototype would be at right angles to it."""
    prototypes, z = seeded(Prototypes, 4, 6), F.normalize(drawn(5, 4), dim=1)
    weight = prototypes.weight
    prototypes.normalise()
    assert prototypes.weight is weight and weight.requires_grad and weight.is_leaf
    prototypes(z).sum().backward()
    torch.testing.assert_close(weight.grad, z.sum(0).expand(6, 4))  # that of a plain linear layer
    assert prototypes.bias is None


def test_scores_of_unit_vectors_are_their_cosines():
    prototypes = seeded(Prototypes, 2, 2)
    with torch.no_grad():
        prototypes.weight.copy_(torch.tensor([[7.0, 0.0], [3.0, 3.0]]))
    prototypes.normalise()
    half = 0.5**0.5
    torch.testing.assert_close(prototypes(torch.eye(2)), torch.tensor([[1.0, half], [0.0, half]]))


def test_cosine_prototypes_give_cosines_whatever_the_norms():
    head, z = seeded(CosinePrototypes, 4, 6), drawn(5, 4, seed=1)
    expected = F.cosine_similarity(z[:, None], head.weight[None], dim=2)  # (5, 6)
    torch.testing.assert_close(head(z), expected)
    with torch.no_grad():
        head.weight *= torch.arange(1.0, 7.0)[:, None]
    torch.testing.assert_close(head(100 * z), expected)


def test_cosine_prototypes_have_their_norms_within_the_gradient():
    head, z = seeded(CosinePrototypes, 4, 6), drawn(5, 4, seed=1).requires_grad_()
    (head(z) * drawn(5, 6, seed=2)).sum().backward()
    for x in (z, head.weight):  # no gradient along the vector itself
        torch.testing.assert_close((x.grad * x).sum(1), torch.zeros(len(x)), atol=1e-6, rtol=0)  # float32 rounding
        assert x.grad.norm(dim=1).min() > 0.01


def test_a_learnt_factor_begins_at_1_multiplies_the_logits_of_its_prototype_and_learns():
    z = drawn(5, 4, seed=1)
    plain, learnt = seeded(CosinePrototypes, 4, 3), seeded(CosinePrototypes, 4, 3, learn_norm=True)
    torch.testing.assert_close(learnt(z), plain(z))
    with torch.no_grad():
        learnt.factor.copy_(torch.tensor([[2.0], [1.0], [-3.0]]))
    torch.testing.assert_close(learnt(z), plain(z) * torch.tensor([2.0, 1.0, -3.0]))
    learnt(z).sum().backward()
    torch.testing.assert_close(learnt.factor.grad[:, 0], plain(z).sum(0))


@pytest.mark.parametrize("learn_norm", [False, True])
def test_without_learn_norm_there_is_nothing_to_learn_but_directions(learn_norm):
    names = [name for name, _ in CosinePrototypes(4, 3, learn_norm).named_parameters()]
    assert names == ["weight", "factor"][: 1 + learn_norm]


class Authors(nn.Module):
    """The last layer of DINO's `vision_transformer.py`: `weight_norm(nn.Linear(D, K, bias=False))`, g filled with 1."""

    def __init__(self, dim, number, norm_last_layer):
        super().__init__()
        self.last_layer = weight_norm(nn.Linear(dim, number, bias=False))
        self.g, self.v = (getattr(self.last_layer.parametrizations.weight, f"original{i}") for i in (0, 1))
        self.g.data.fill_(1)
        if norm_last_layer:
            self.g.requires_grad = False

    def forward(self, z):
        return self.last_layer(F.normalize(z, dim=-1, p=2))


def test_cosine_prototypes_begin_as_those_of_the_authors():
    """Rows uniform in +-1/sqrt(D): their norms have the mean square 1/3."""
    ours, theirs = seeded(CosinePrototypes, 256, 400), seeded(Authors, 256, 400, True)
    torch.testing.assert_close(ours.weight, theirs.v)
    square = ours.weight.square().sum(1).mean().item()
    assert square == pytest.approx(1 / 3, rel=0.01)  # 256 x 400 numbers: 0.3 %
    assert ours.weight.abs().max() <= 256**-0.5


@pytest.mark.parametrize("learn_norm", [False, True])
def test_cosine_prototypes_learn_as_those_of_the_authors(learn_norm):
    """Under AdamW a row turns the more slowly the longer it is, so equal directions need equal norms."""
    ours, theirs = seeded(CosinePrototypes, 8, 12, learn_norm), seeded(Authors, 8, 12, not learn_norm)
    steps = [torch.optim.AdamW(m.parameters(), lr=0.01, weight_decay=0.04) for m in (ours, theirs)]
    start = F.normalize(ours.weight.detach().clone(), dim=1)
    for i in range(30):
        z, wanted = drawn(5, 8, seed=i), drawn(5, 12, seed=100 + i)
        for module, optimizer in zip((ours, theirs), steps, strict=True):
            optimizer.zero_grad()
            (module(z) * wanted).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.v, rtol=1e-4, atol=1e-5)  # rounding of 30 steps
    torch.testing.assert_close(ours(z), theirs(z), rtol=1e-4, atol=1e-5)
    assert F.cosine_similarity(ours.weight, start).min() < 0.99  # they have turned
    if learn_norm:
        torch.testing.assert_close(ours.factor, theirs.g, rtol=1e-4, atol=1e-5)
