import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from data_loading.errors import ConfigError
from massrl.evaluation.linear import Linear, fit


def clouds(n=150, width=10, classes=4, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return draw.normal(size=(classes, width))[y] + draw.normal(size=(n, width)), y


@pytest.mark.parametrize(
    ("n", "width", "C"),
    [(150, 10, 1.0), (150, 10, 100.0), (12, 40, 10.0)],  # the last: fewer samples than dimensions
)
def test_the_fit_is_scikit_learns_at_a_tight_tolerance(n, width, C):
    x, y = clouds(n, width)
    weight, bias, _ = fit(x, y, C, tol=1e-10)
    judge = LogisticRegression(C=C, tol=1e-12, max_iter=1000, solver="newton-cg").fit(x, y)  # its lbfgs stops earlier
    # A gradient of 1e-9, where float64 ends, in a curvature of at least 1/(C n) = 7e-5 leaves an error of about 1e-5.
    np.testing.assert_allclose(weight, judge.coef_, atol=1e-5)
    # The biases' is unique up to a constant.
    np.testing.assert_allclose(bias - bias.mean(), judge.intercept_ - judge.intercept_.mean(), atol=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_two_classes_have_scikit_learns_c_by_each_of_its_solvers(solver, C):
    x, y = clouds(60, 5, classes=2)
    weight, bias, _ = fit(x, y, C, tol=1e-10)
    judge = LogisticRegression(C=C, tol=1e-10, max_iter=10000, solver=solver).fit(x, y)
    np.testing.assert_allclose(weight[1] - weight[0], judge.coef_[0], atol=1e-4)
    np.testing.assert_allclose(bias[1] - bias[0], judge.intercept_[0], atol=1e-4)
    np.testing.assert_allclose(weight[0], -weight[1], atol=1e-6)


def test_two_classes_by_hand():
    # x = -1, 1 with labels 0, 1: minimise 2 C log(1 + e^-w) + w^2 / 2, so that w (1 + e^w) = 2 C; w = 1 at this C
    C = (1 + np.e) / 2
    weight, bias, _ = fit(np.array([[-1.0], [1.0]]), np.array([0, 1]), C, tol=1e-10)
    assert weight[1, 0] - weight[0, 0] == pytest.approx(1.0, abs=1e-6) and bias == pytest.approx(0.0, abs=1e-6)


def test_the_version_is_two_since_two_classes_changed():
    assert Linear().title == "linear v2"


def test_at_the_end_the_gradient_vanishes_within_tol():
    x, y = clouds()
    C, tol = 1.0, 1e-6
    weight, bias, iterations = fit(x, y, C, tol)
    error = np.exp(log_softmax(x @ weight.T + bias, axis=1)) - np.eye(4)[y]
    assert np.abs(error.T @ x / len(x) + weight / (C * len(x))).max() <= tol
    assert np.abs(error.mean(0)).max() <= tol
    assert iterations < Linear().max_iter


def test_scaling_gives_the_training_features_mean_0_and_root_mean_square_norm_8():
    x = np.array([[3.0, 0.0], [1.0, 0.0]])  # mean (2, 0), distances 1: norm / r = 8
    train, test = Linear().scale(x, np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(train, [[8, 0], [-8, 0]])
    np.testing.assert_allclose(test, [[0, 8]])


def test_accuracy_does_not_depend_on_unit_offset_rotation_or_repeated_columns():
    x, y = clouds(seed=1)
    train, test = slice(0, 100), slice(100, None)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(10, 10)))[0]
    score = Linear().accuracy(x[train], y[train], x[test], y[test])
    for other in (x * 1000 + 5, x @ turn, np.repeat(x, 3, axis=1)):
        assert Linear().accuracy(other[train], y[train], other[test], y[test]) == score


def test_a_subset_changes_the_fit_but_not_the_scale():
    x, y = clouds()
    rows = np.arange(0, 100, 3)
    scaled, test = Linear().scale(x[:100], x[100:])
    judge = LogisticRegression(C=1.0, tol=1e-9, max_iter=10000).fit(scaled[rows], y[rows])
    expected = judge.score(test, y[100:])
    assert Linear().accuracy(x[:100], y[:100], x[100:], y[100:], rows) == pytest.approx(expected)


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


def test_features_that_are_not_finite_are_refused_when_they_are_scaled():
    x = np.ones((4, 2))
    for broken in (np.nan, np.inf):
        bad = x.copy()
        bad[1, 1] = broken
        for pair in ((bad, x), (x, bad)):
            with pytest.raises(ConfigError, match="hold NaN or infinity"):
                Linear().scale(*pair)
