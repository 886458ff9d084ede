import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from massrl.evaluation.logistic import NUMBERS, fit, path
from massrl.evaluation.logreg import STRENGTHS


def clouds(n=180, width=10, classes=4, test=60, spread=1.3, seed=0):
    """Features whose scales differ by a factor of 100, as those of encoders do, and labels; then test features."""
    draw = np.random.default_rng(seed)
    y = np.arange(n + test) % classes
    scales = 10.0 ** draw.uniform(-1.5, 0.5, width)
    x = (draw.normal(size=(classes, width))[y] + spread * draw.normal(size=(n + test, width))) * scales + 2
    return x[:n], y[:n], x[n:]


def probabilities(found, x):
    return softmax(found.logits(x), axis=1)


@pytest.mark.parametrize(
    ("n", "width", "C"),
    [(150, 10, 1.0), (150, 10, 100.0), (12, 40, 10.0)],  # the last: fewer samples than dimensions
)
def test_the_fit_is_scikit_learns_at_a_tight_tolerance(n, width, C):
    x, y, _ = clouds(n, width)
    found = fit(x, y, C, tol=1e-10)
    judge = LogisticRegression(C=C, tol=1e-12, max_iter=1000, solver="newton-cg").fit(x, y)  # its lbfgs stops earlier
    # A gradient of 1e-9, where float64 ends, in a curvature of at least 1/(C n) = 7e-5 leaves an error of about 1e-5.
    np.testing.assert_allclose(found.weight, judge.coef_, atol=1e-5)
    # The biases' is unique up to a constant.
    differences = found.bias - found.bias.mean(), judge.intercept_ - judge.intercept_.mean()
    np.testing.assert_allclose(*differences, atol=1e-4)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_two_classes_have_scikit_learns_c_by_each_of_its_solvers(solver, C):
    x, y, _ = clouds(60, 5, classes=2)
    weight, bias = fit(x, y, C, tol=1e-10)[1:3]
    judge = LogisticRegression(C=C, tol=1e-10, max_iter=10000, solver=solver).fit(x, y)
    np.testing.assert_allclose(weight[1] - weight[0], judge.coef_[0], atol=1e-3)
    np.testing.assert_allclose(bias[1] - bias[0], judge.intercept_[0], atol=1e-3)
    np.testing.assert_allclose(weight[0], -weight[1], atol=1e-6)


def test_two_classes_by_hand():
    # x = -1, 1 with labels 0, 1: minimise 2 C log(1 + e^-w) + w^2 / 2, so that w (1 + e^w) = 2 C; w = 1 at this C
    C = (1 + np.e) / 2
    weight, bias = fit(np.array([[-1.0], [1.0]]), np.array([0, 1]), C, tol=1e-10)[1:3]
    assert weight[1, 0] - weight[0, 0] == pytest.approx(1.0, abs=1e-6) and bias == pytest.approx(0.0, abs=1e-6)


def test_at_the_end_the_gradient_vanishes():
    x, y, _ = clouds()
    C, tol = 1.0, 1e-6
    found = fit(x, y, C, tol)
    error = np.exp(log_softmax(found.logits(x), axis=1)) - np.eye(4)[y]
    of_u = 0.5 * x.std() + 1  # at least sqrt(h e_j + 1/(C n)), by which the gradients in w and in u differ
    assert np.abs(error.T @ x / len(x) + found.weight / (C * len(x))).max() <= 10 * tol * of_u
    assert np.abs(error.mean(0)).max() <= tol
    assert found.converged and found.iterations < 200


def test_the_blocks_of_a_fit_make_no_difference(monkeypatch):
    x, y, test_x = clouds()
    whole = fit(x, y, 1.0, tol=1e-9)
    assert len(x) * x.shape[1] < NUMBERS  # one block
    monkeypatch.setattr("massrl.evaluation.logistic.NUMBERS", 70)
    monkeypatch.setattr("massrl.evaluation.protocol.BLOCK", 7)
    parts = fit(x, y, 1.0, tol=1e-9)
    np.testing.assert_allclose(parts.weight, whole.weight, atol=1e-6)
    np.testing.assert_array_equal(parts.predict(test_x), whole.predict(test_x))


def test_float32_features_are_fitted_in_float64():
    x, y, _ = clouds()
    x = x.astype(np.float32)
    np.testing.assert_allclose(fit(x, y, 1.0).weight, fit(x.astype(np.float64), y, 1.0).weight, rtol=1e-9)


def test_badly_scaled_features_take_few_steps():
    x, y, _ = clouds(400, 50)
    assert fit(x * 10.0 ** np.linspace(-4, 1, 50), y, 1.0).iterations < 100


@pytest.mark.parametrize(("n", "width", "classes"), [(180, 10, 4), (180, 10, 2), (40, 90, 4)])
def test_every_fit_of_the_path_is_scikit_learns_of_that_c(n, width, classes):
    x, y, test_x = clouds(n, width, classes)
    strengths = [1e-4, 1e-2, 1.0, 100.0, 1e4]
    for found in path(x, y, strengths, tol=1e-9, max_iter=5000):
        judge = LogisticRegression(C=found.C, tol=1e-10, max_iter=20000, solver="newton-cg").fit(x, y)
        # at C = 1e4 separable classes leave the weights nearly free, and the probabilities near 0 and 1
        np.testing.assert_allclose(probabilities(found, test_x), judge.predict_proba(test_x), atol=2e-4)
        if found.C <= 1:
            weight = found.weight if classes > 2 else found.weight[1:] - found.weight[:1]
            np.testing.assert_allclose(weight, judge.coef_, atol=1e-4 * np.abs(judge.coef_).max())


def test_the_path_is_the_fits_one_by_one_in_fewer_steps():
    x, y, test_x = clouds(200, 20, spread=2.0)
    together = list(path(x, y, STRENGTHS[:32]))
    alone = [fit(x, y, C, tol=1e-5) for C in STRENGTHS[:32]]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(probabilities(one, test_x), probabilities(other, test_x), atol=5e-4)
    assert sum(one.iterations for one in together) < 0.9 * sum(one.iterations for one in alone)
