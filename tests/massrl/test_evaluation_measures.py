import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power
from scipy.spatial.distance import pdist
from sklearn.linear_model import LinearRegression

from data_loading import DatasetWriter
from data_loading.fields import RGBImageField
from drawn import small
from massrl.evaluation.measures import (
    alignment,
    alignment_of_views,
    alpha_req,
    alpha_req_of_gram,
    lidar,
    lidar_of_gram,
    rankme,
    rankme_of_gram,
    spread,
    strategy_distances,
    target_entropy,
    uniformity,
    uniformity_of_gram,
    view_alignment,
)
from massrl.losses import entropies, feature_std


def entropy_of(*p):
    return -sum(one * np.log(one) for one in p)


def test_equal_singular_values_have_the_full_rank():
    # p = 1/D each, so exp(entropy) = D; RankMe's 1e-7 moves it by about D * 1e-7 * log D
    assert rankme(np.eye(6)) == pytest.approx(6, abs=1e-4)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 6)))[0]
    assert rankme(turned) == pytest.approx(6, abs=1e-4)


def test_rank_one_features_have_rank_1():
    x = np.outer(np.arange(1, 40), [1.0, -2.0, 3.0])
    assert rankme(x) == pytest.approx(1, abs=1e-4)  # 2 values of 1e-7 add 2e-7 * 16 = 3e-6 to the entropy


def test_singular_values_3_and_1_have_a_closed_form():
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert rankme(np.diag([3.0, 1.0])) == pytest.approx(np.exp(entropy), abs=1e-5)


def test_rank_does_not_depend_on_the_unit():
    x = np.random.default_rng(0).normal(size=(30, 8))
    assert rankme(1000 * x) == pytest.approx(rankme(x))


def test_features_of_zeros_are_no_division_by_zero():
    assert np.isfinite(rankme(np.zeros((5, 3))))


def test_alignment_of_equal_right_angled_and_opposite_features():
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    y = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert alignment(x, y) == pytest.approx((0 + 2 + 4) / 3)


def test_a_gram_matrix_gives_rank_and_uniformity_of_its_features():
    draw = np.random.default_rng(0)
    for n, width in ((30, 8), (8, 30)):
        x = draw.normal(size=(n, width)) * np.geomspace(1, 1e-3, width)
        assert rankme_of_gram(x @ x.T, width) == pytest.approx(rankme(x), rel=1e-6)
        assert uniformity_of_gram(x @ x.T) == pytest.approx(uniformity(x), rel=1e-9)
    line = np.outer(np.arange(1.0, 40), draw.normal(size=30))
    assert rankme_of_gram(line @ line.T, 30) == pytest.approx(1, abs=1e-3)


# ---- LiDAR


def views_around(means, noise):
    """(n, 2 F, F): around each of the means (n, F), plus and minus noise_j along each axis j."""
    axes = np.diag(noise)
    return means[:, None] + np.concatenate([axes, -axes])[None]


def simplex(n):
    """n points whose covariance has n - 1 equal eigenvalues, in n dimensions."""
    return np.eye(n)


def test_lidar_of_equally_spread_images_is_the_number_of_their_directions():
    x = views_around(np.pad(simplex(5), ((0, 0), (0, 3))), np.full(8, 0.3))
    assert lidar(x) == pytest.approx(4, abs=1e-4)  # 5 images span 4 directions; 1e-8 on the other four adds little


def test_lidar_counts_a_direction_by_its_distance_between_images_over_that_between_views():
    """Sb = diag(b), Sw = diag(w) + delta; so the eigenvalues are b / (w + delta)."""
    means = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])  # Sb = 2/3 I
    noise = np.array([1.0, 3.0])
    n, q = 4, 4
    w = n * 2 * noise**2 / (n * (q - 1)) + 1e-4
    p = (1 / w) / (1 / w).sum()
    assert lidar(views_around(means, noise)) == pytest.approx(np.exp(entropy_of(*p)), rel=1e-6)
    assert lidar(views_around(means, np.array([1.0, 1.0]))) == pytest.approx(2, abs=1e-5)


def test_lidar_is_the_published_formula_with_a_matrix_root_and_loops():
    x = np.random.default_rng(0).normal(size=(9, 4, 5)) + 3 * np.random.default_rng(1).normal(size=(9, 1, 5))
    n, q, width = x.shape
    mean = x.mean((0, 1))
    s_b, s_w = np.zeros((width, width)), 1e-4 * np.eye(width)
    for i in range(n):
        m = x[i].mean(0)
        s_b += np.outer(m - mean, m - mean) / (n - 1)
        for k in range(q):
            s_w += np.outer(x[i, k] - m, x[i, k] - m) / (n * (q - 1))
    root = fractional_matrix_power(s_w, -0.5)
    values = np.linalg.eigvalsh(root @ s_b @ root)
    p = values / values.sum() + 1e-8
    assert lidar(x) == pytest.approx(np.exp(entropy_of(*p)), rel=1e-9)


@pytest.mark.parametrize("width", [5, 40, 300])
def test_lidar_of_products_is_lidar(width):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20, 1, width)) + np.linspace(0.1, 2, width) * draw.normal(size=(20, 3, width))
    rows = x.reshape(-1, width)
    # Directions that nothing lies in are left out: each adds -1e-8 log 1e-8 to the entropy.
    assert lidar_of_gram(rows @ rows.T, x.shape[1]) == pytest.approx(lidar(x), rel=2e-7 * max(1, width - len(rows)))


def test_lidar_of_features_that_are_all_equal_is_1():
    for value in (0.0, 3.0):
        assert lidar_of_gram(np.full((8, 8), value), 2) == pytest.approx(1, abs=1e-5)


def test_lidar_of_views_that_are_not_of_one_image_is_refused_by_shape():
    for shape in ((10, 5), (1, 4, 5), (4, 1, 5)):
        with pytest.raises(ValueError, match="at least 2 images of 2 views"):
            lidar(np.zeros(shape))


# ---- alpha-ReQ


def with_spectrum(values, n=200, seed=0):
    """Features (n, F) whose covariance has exactly these eigenvalues."""
    draw = np.random.default_rng(seed)
    columns = np.linalg.qr(np.column_stack([np.ones(n), draw.normal(size=(n, len(values)))]))[0][:, 1:]
    turned = np.linalg.qr(draw.normal(size=(len(values), len(values))))[0]
    return columns * np.sqrt(np.asarray(values) * (n - 1)) @ turned + draw.normal(size=len(values))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_alpha_of_a_power_law_is_its_exponent_and_r2_is_1(alpha):
    found = alpha_req(with_spectrum(np.arange(1.0, 61) ** -alpha))
    assert found.alpha == pytest.approx(alpha, rel=1e-6) and found.r2 == pytest.approx(1)
    assert (found.first, found.last) == (5, 60)


def test_alpha_and_r2_are_those_of_scikit_learns_weighted_regression():
    values = np.exp(-0.1 * np.arange(40))  # no power law
    j = np.arange(5, 31)
    x, y, w = -np.log(j)[:, None], np.log(values[4:30]), 1 / j
    line = LinearRegression().fit(x, y, sample_weight=w)
    found = alpha_req(with_spectrum(values), first=5, last=30)
    assert found.alpha == pytest.approx(line.coef_[0], rel=1e-6)
    assert found.r2 == pytest.approx(line.score(x, y, sample_weight=w), rel=1e-6) and found.r2 < 0.95


@pytest.mark.parametrize(("n", "width"), [(40, 90), (200, 30)])
def test_alpha_of_the_gram_matrix_is_that_of_the_features(n, width):
    x = np.random.default_rng(0).normal(3, 1, (n, width)) * np.arange(1, width + 1) ** -0.8
    np.testing.assert_allclose(alpha_req_of_gram(x @ x.T, width), alpha_req(x), rtol=1e-6)


def test_alpha_depends_on_the_range_and_a_spectrum_too_short_for_it_has_none():
    broken = np.concatenate([np.arange(1.0, 11) ** -0.5, 10**1.5 * np.arange(11.0, 41) ** -2])
    assert alpha_req(with_spectrum(broken), 1, 9).alpha == pytest.approx(0.5, rel=1e-6)
    assert alpha_req(with_spectrum(broken), 12, 40).alpha == pytest.approx(2, rel=1e-6)
    found = alpha_req(with_spectrum([3.0, 2, 1, 0.5, 0.2, 0.1]))  # j = 5 and 6 alone
    assert np.isnan(found.alpha) and np.isnan(found.r2) and found.last == 6
    assert np.isnan(alpha_req(np.ones((20, 30))).alpha)  # collapsed


# ---- the sphere


def test_uniformity_of_equal_opposite_and_right_angled_points():
    assert uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-12)
    assert uniformity([[1.0, 0], [-2, 0]]) == pytest.approx(-8)
    assert uniformity(np.diag([1.0, 2, 3])) == pytest.approx(-4)  # squared distance 2


def test_uniformity_is_that_of_scipys_distances_also_over_several_chunks(monkeypatch):
    monkeypatch.setattr("massrl.evaluation.measures.CHUNK", 7)
    x = np.random.default_rng(0).normal(size=(40, 6))
    squared = pdist(x / np.linalg.norm(x, axis=1, keepdims=True)) ** 2
    assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * squared).mean()), rel=1e-12)


def test_spread_is_1_on_all_axes_both_ways_and_0_where_all_are_equal():
    assert spread(np.concatenate([np.eye(6), -2 * np.eye(6)])) == pytest.approx(1)
    assert spread(np.ones((9, 6))) == pytest.approx(0, abs=1e-12)
    z = np.random.default_rng(0).normal(size=(30, 8))
    assert spread(z) == pytest.approx(float(feature_std(torch.from_numpy(z))) * np.sqrt(8), rel=1e-9)


def test_alignment_of_views_is_the_mean_over_all_pairs_of_them():
    x = np.random.default_rng(0).normal(size=(6, 4, 3))
    pairs = [alignment(x[:, k], x[:, m]) for k in range(4) for m in range(k)]
    assert alignment_of_views(x) == pytest.approx(np.mean(pairs), rel=1e-12)


# ---- targets


def test_target_entropies_of_even_single_and_sharp_distinct_targets():
    even, one, sharp = np.full((6, 4), 0.25), np.eye(4)[[2] * 6], np.eye(4)[[0, 1, 2, 3] * 2]
    assert target_entropy(even) == pytest.approx((np.log(4), np.log(4)))
    assert target_entropy(one) == pytest.approx((0, 0), abs=1e-12)
    assert target_entropy(sharp) == pytest.approx((0, np.log(4)), abs=1e-12)


def test_the_methods_entropies_are_the_measures():
    q = torch.softmax(4 * torch.randn(20, 7, generator=torch.Generator().manual_seed(0)), 1)
    each, marginal, prototypes = entropies(q)
    assert (float(each), float(marginal)) == pytest.approx(target_entropy(q), rel=1e-5) and prototypes == 7


# ---- strategies


def test_distances_of_strategies_are_the_mean_over_both_crops():
    z = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    found = strategy_distances(z)
    for s in range(3):
        for t in range(3):
            cosines = [unit[s, 0, i] @ unit[t, 1, i] for i in range(5)] + [
                unit[t, 0, i] @ unit[s, 1, i] for i in range(5)
            ]
            assert found[s, t] == pytest.approx(1 - np.mean(cosines), rel=1e-12)


def test_a_strategy_that_turns_features_away_is_hard_for_the_others_and_easy_for_itself():
    z = np.zeros((2, 2, 4, 3))
    z[0, :, :, 0], z[1, :, :, 1] = 1, 1
    assert strategy_distances(z) == pytest.approx(np.array([[0.0, 1], [1, 0]]))


# ---- of an encoder


def test_equal_views_have_alignment_0_and_augmented_ones_more(tmp_path):
    draw = np.random.default_rng(0)
    images = [(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8),) for _ in range(7)]
    DatasetWriter(tmp_path / "a.beton", {"image": RGBImageField()}).from_indexed_dataset(images, progress=False)
    network = small("SimCLR").backbone
    from data_loading import ViewSet

    options = {"num_workers": 1, "batch_size": 4}
    same = ViewSet(["whole"], crops=2, size=8)
    assert view_alignment(network, tmp_path / "a.beton", same, **options) == pytest.approx(0, abs=1e-10)
    assert view_alignment(network, tmp_path / "a.beton", "simclr", size=8, **options) > 1e-4
