import torch

from massrl.losses import cosine_distance, negative_cosine


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_minus_1_for_one_direction_0_for_orthogonal_1_for_opposite_vectors():
    a = torch.tensor([[2.0, 0.0]])
    for other, value in (([[5.0, 0.0]], -1.0), ([[0.0, 1.0]], 0.0), ([[-1.0, 0.0]], 1.0)):
        assert negative_cosine(a, torch.tensor(other)).item() == value


def test_it_is_half_of_byols_distance_less_one():
    p, z = drawn(5, 4), drawn(5, 4, seed=1)
    torch.testing.assert_close(negative_cosine(p, z), cosine_distance(p, z) / 2 - 1, rtol=1e-12, atol=0)


def test_it_is_blind_to_lengths_and_to_the_order_of_images():
    p, z = drawn(5, 4), drawn(5, 4, seed=1)
    for other in ((7 * p, 0.1 * z), (p.flip(0), z.flip(0))):
        torch.testing.assert_close(negative_cosine(*other), negative_cosine(p, z), rtol=1e-12, atol=0)
