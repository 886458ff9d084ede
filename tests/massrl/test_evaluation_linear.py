import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from data_loading.errors import ConfigError
from massrl.evaluation.linear import Linear, root_mean_square
from massrl.evaluation.protocol import BLOCK


def clouds(n=150, width=10, classes=4, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return draw.normal(size=(classes, width))[y] + draw.normal(size=(n, width)), y


def test_the_version_is_two_since_two_classes_changed():
    assert Linear().title == "linear v2"


def test_the_root_mean_square_is_that_of_distances_to_the_mean():
    assert root_mean_square(np.array([[3.0, 0.0], [1.0, 0.0]])) == 1  # mean (2, 0)
    x = np.random.default_rng(0).normal(3, 2, (BLOCK + 5, 2)).astype(np.float32)
    np.testing.assert_allclose(root_mean_square(x), np.sqrt(x.var(0, dtype=np.float64).sum()), rtol=1e-12)


def test_accuracy_does_not_depend_on_unit_offset_rotation_or_repeated_columns():
    x, y = clouds(seed=1)
    train, test = slice(0, 100), slice(100, None)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(10, 10)))[0]
    score = Linear().accuracy(x[train], y[train], x[test], y[test])
    for other in (x * 1000 + 5, x @ turn, np.repeat(x, 3, axis=1)):
        assert Linear().accuracy(other[train], y[train], other[test], y[test]) == score


def test_a_subset_changes_the_fit_but_not_the_scale():
    x, y = clouds()
    subsets = [np.arange(0, 100, step) for step in (3, 5)]
    scaled = (x - x[:100].mean(0)) * 8 / root_mean_square(x[:100])  # the norm of the training features is 8 on average
    expected = []
    for rows in subsets:
        judge = LogisticRegression(C=1.0, tol=1e-9, max_iter=10000).fit(scaled[rows], y[rows])
        expected.append(judge.score(scaled[100:], y[100:]))
    np.testing.assert_allclose(Linear().accuracies(x[:100], y[:100], x[100:], y[100:], subsets), expected)


def test_a_subset_may_be_a_mask():
    x, y = clouds()
    mask = np.arange(100) % 3 == 0
    given = (x[:100], y[:100], x[100:], y[100:])
    assert Linear().accuracies(*given, [mask]) == Linear().accuracies(*given, [np.flatnonzero(mask)])


def test_c_is_another_one_only_when_no_class_has_two_labels():
    assert Linear().strength(np.array([2, 0, 1])) == 10.0
    assert Linear().strength(np.array([2, 0, 1, 1])) == 1.0


def test_collapsed_features_score_what_guessing_scores():
    y = np.array([0, 1] * 10)
    assert Linear().accuracy(np.ones((20, 4)), y, np.ones((20, 4)), y) == 0.5


def test_a_single_class_needs_no_fit():
    assert Linear().accuracy(np.eye(3), np.zeros(3, int), np.eye(3), np.array([0, 0, 1])) == pytest.approx(2 / 3)


def test_a_penalty_of_no_sense_is_refused():
    with pytest.raises(ConfigError, match="C is 0"):
        Linear(C=0)


def test_features_that_are_not_finite_are_refused():
    x, y = np.ones((4, 2)), np.arange(4)
    for broken in (np.nan, np.inf):
        bad = x.copy()
        bad[1, 1] = broken
        for train, test in ((bad, x), (x, bad)):
            with pytest.raises(ConfigError, match="hold NaN or infinity"):
                Linear().accuracy(train, y, test, y)
