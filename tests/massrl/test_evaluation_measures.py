import numpy as np
import pytest
import torch

from data_loading import DatasetWriter
from data_loading.fields import RGBImageField
from drawn import small
from massrl.evaluation.measures import alignment, rankme, view_alignment


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
