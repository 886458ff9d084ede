import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression as Judge

from data_loading.errors import ConfigError
from massrl.evaluation.held_out import held_out
from massrl.evaluation.linear import Linear
from massrl.evaluation.logistic import path
from massrl.evaluation.logreg import STRENGTHS, LogisticRegression


def clouds(n=180, width=10, classes=4, seed=0, test=60, spread=1.3):
    draw = np.random.default_rng(seed)
    y = np.arange(n + test) % classes
    scales = 10.0 ** draw.uniform(-1.5, 0.5, width)  # badly conditioned, as features are
    x = (draw.normal(size=(classes, width))[y] + spread * draw.normal(size=(n + test, width))) * scales + 2
    return x[:n], y[:n], x[n:], y[n:]


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
    for protocol in (Linear(), LogisticRegression(C=(1.0,), selection="test")):
        protocol.accuracy(x, y, test_x, test_y)
        assert "has not converged" not in caplog.text
        with monkeypatch.context() as patch:
            patch.setattr("massrl.evaluation.logistic.minimize", stuck)
            protocol.accuracy(x, y, test_x, test_y)
        assert "has not converged" in caplog.text
        caplog.clear()
