import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression as Judge

from data_loading.errors import ConfigError
from massrl.evaluation.held_out import held_out
from massrl.evaluation.linear import Linear, fit
from massrl.evaluation.logreg import STRENGTHS, LogisticRegression, path


def clouds(n=180, width=10, classes=4, seed=0, test=60, spread=1.3):
    draw = np.random.default_rng(seed)
    y = np.arange(n + test) % classes
    scales = 10.0 ** draw.uniform(-1.5, 0.5, width)  # badly conditioned, as features are
    x = (draw.normal(size=(classes, width))[y] + spread * draw.normal(size=(n + test, width))) * scales + 2
    return x[:n], y[:n], x[n:], y[n:]


def probabilities(found, x):
    return softmax(x @ found.weight.T + found.bias, axis=1)


@pytest.mark.parametrize(("n", "width", "classes"), [(180, 10, 4), (180, 10, 2), (40, 90, 4)])
def test_every_fit_of_the_path_is_scikit_learns_of_that_c(n, width, classes):
    x, y, test_x, _ = clouds(n, width, classes)
    strengths = [1e-4, 1e-2, 1.0, 100.0, 1e4]
    for found in path(x, y, strengths, tol=1e-9, max_iter=5000):
        judge = Judge(C=found.C, tol=1e-10, max_iter=20000, solver="newton-cg").fit(x, y)
        # at C = 1e4 separable classes leave the weights nearly free, and the probabilities near 0 and 1
        np.testing.assert_allclose(probabilities(found, test_x), judge.predict_proba(test_x), atol=2e-4)
        if found.C <= 1:
            weight = found.weight if classes > 2 else found.weight[1:] - found.weight[:1]
            np.testing.assert_allclose(weight, judge.coef_, atol=1e-4 * np.abs(judge.coef_).max())


def test_the_path_is_the_fits_one_by_one():
    x, y, test_x, _ = clouds()
    for found in path(x, y, [1e-3, 1.0, 10.0], tol=1e-9, max_iter=5000):
        weight, bias, _ = fit(x, y, found.C, tol=1e-9, max_iter=20000)
        alone = softmax(test_x @ weight.T + bias, axis=1)
        np.testing.assert_allclose(probabilities(found, test_x), alone, atol=1e-4)


def test_a_path_takes_fewer_steps_than_fits_one_by_one():
    x, y, _, _ = clouds(200, 20, 4, spread=2.0)
    few = STRENGTHS[1:24:6]  # with a weaker penalty a fit on features of such different scales takes thousands of steps
    alone = {C: fit(x, y, C, tol=1e-7) for C in few}
    found = list(path(x, y, STRENGTHS[:24]))
    assert sum(one.iterations for one in found) < 6 * sum(iterations for _, _, iterations in alone.values()) / 4
    for one in found:
        if one.C in few:
            weight, bias, _ = alone[one.C]
            np.testing.assert_allclose(probabilities(one, x), softmax(x @ weight.T + bias, axis=1), atol=1e-4)


def test_the_45_strengths_are_the_authors():
    assert len(STRENGTHS) == 45 and STRENGTHS[0] == 1e-6 and STRENGTHS[-1] == 1e5
    np.testing.assert_allclose(np.diff(np.log10(STRENGTHS)), 0.25, atol=1e-5)


def test_c_is_chosen_on_held_out_images_and_fitted_again_to_all():
    x, y, test_x, test_y = clouds()
    protocol = LogisticRegression(C=(1e-3, 0.1, 10.0, 1e3))
    found = protocol.choose(x, y, test_x, test_y)
    kept, held = held_out(y)
    scores = {one.C: np.mean(one.predict(x[held]) == y[held]) for one in path(x[kept], y[kept], protocol.C)}
    C = max(scores, key=scores.get)
    assert found.setting == {"C": C} and list(found.tried.values()) == list(scores.values())
    judge = Judge(C=C, tol=1e-9, max_iter=10000).fit(x, y)
    assert found.accuracy == pytest.approx(judge.score(test_x, test_y))


def test_labels_of_the_test_images_do_not_change_the_choice():
    x, y, test_x, test_y = clouds()
    protocol = LogisticRegression(C=(1e-3, 0.1, 10.0))
    one, other = protocol.choose(x, y, test_x, test_y), protocol.choose(x, y, test_x, (test_y + 1) % 4)
    assert (one.setting, one.tried) == (other.setting, other.tried) and one.accuracy != other.accuracy


def test_the_best_on_test_says_that_it_is_optimistic():
    x, y, test_x, test_y = clouds()
    protocol = LogisticRegression(selection="test", C=(1e-3, 0.1, 10.0))
    found = protocol.choose(x, y, test_x, test_y)
    assert found.accuracy == max(found.tried.values()) and protocol.optimistic
    assert not LogisticRegression().optimistic


def test_one_class_and_one_image_a_class_are_refused_in_one_line():
    x, y, test_x, test_y = clouds()
    with pytest.raises(ConfigError, match="all 180 training images are of one class"):
        LogisticRegression().choose(x, np.zeros_like(y), test_x, test_y)
    with pytest.raises(ConfigError, match="no class has two labelled training images"):
        LogisticRegression().choose(x[:4], y[:4], test_x, test_y)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"C": ()}, "C is empty"),
        ({"C": (1.0, -1.0)}, "C is 1, -1; give numbers above 0"),
        ({"max_iter": 0}, "max_iter 0"),
        ({"selection": "fixed"}, "chooses on held-out or test"),
    ],
)
def test_parameters_without_sense_are_refused(wrong, line):
    with pytest.raises(ConfigError, match=line):
        LogisticRegression(**wrong)


def test_a_fit_that_ends_without_success_before_the_limit_is_said(monkeypatch, caplog):
    def stuck(*args, **kwargs):
        found = minimize(*args, **kwargs)
        found.success, found.message = False, "ABNORMAL"
        return found

    x, y, test_x, test_y = clouds()
    protocols = {"linear": Linear(), "logreg": LogisticRegression(C=(1.0,), selection="test")}
    for room, protocol in protocols.items():
        protocol.accuracy(x, y, test_x, test_y)
        assert "has not converged" not in caplog.text
        with monkeypatch.context() as patch:
            patch.setattr(f"massrl.evaluation.{room}.minimize", stuck)
            protocol.accuracy(x, y, test_x, test_y)
        assert "has not converged" in caplog.text
        caplog.clear()
