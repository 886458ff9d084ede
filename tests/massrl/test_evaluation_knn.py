import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from data_loading.errors import ConfigError
from massrl.evaluation.knn import KNN, neighbours


def clouds(n=200, test=80, width=12, classes=5, seed=0):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(classes, width))
    y = draw.integers(classes, size=n + test)
    x = (centres[y] + 1.5 * draw.normal(size=(n + test, width)) + 3).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


@pytest.mark.parametrize(("k", "tau"), [(1, 0.07), (5, 0.1), (20, 0.07)])
def test_knn_names_what_scikit_learn_names_with_the_same_weights(k, tau):
    x, y, test_x, test_y = clouds()
    mean = x.mean(0, dtype=np.float64)
    unit = [(a - mean) / np.linalg.norm(a - mean, axis=1, keepdims=True) for a in (x, test_x)]
    judge = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / tau))
    expected = judge.fit(unit[0], y).predict(unit[1])
    np.testing.assert_array_equal(KNN(k, tau).predict(x, y, test_x), expected)
    assert KNN(k, tau).accuracy(x, y, test_x, test_y) == np.mean(expected == test_y)


def test_the_nearer_of_two_neighbours_outvotes_one_and_two_outvote_one():
    angles = np.deg2rad([10, 30, 30])
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    x = np.concatenate([x, -x]).astype(np.float32)  # mirrored, so that the mean is 0
    y = np.array([0, 1, 1, 2, 2, 2])
    query = np.array([[1.0, 0.0]], np.float32)
    # votes of the three nearest: e^(cos 10 / tau) for class 0, twice e^(cos 30 / tau) for class 1
    assert KNN(3, 0.1).predict(x, y, query) == [0]  # e^9.85 = 18,910 against 2 e^8.66 = 11,540
    assert KNN(3, 1.0).predict(x, y, query) == [1]  # e^0.98 = 2.68 against 2 e^0.87 = 4.75


def test_a_constant_added_to_all_features_changes_nothing():
    x, y, test_x, _ = clouds()
    np.testing.assert_array_equal(KNN().predict(x, y, test_x), KNN().predict(x + 2, y, test_x + 2))


def test_a_small_tau_is_the_nearest_neighbour_and_does_not_overflow():
    x, y, test_x, _ = clouds()
    np.testing.assert_array_equal(KNN(20, 1e-5).predict(x, y, test_x), KNN(1).predict(x, y, test_x))


def test_k_above_the_number_of_samples_uses_all_of_them():
    x, y, test_x, _ = clouds(n=7)
    np.testing.assert_array_equal(KNN(20).predict(x, y, test_x), KNN(7).predict(x, y, test_x))


def test_neighbours_come_nearest_first_and_in_chunks_as_in_one_piece():
    x, _, test_x, _ = clouds()
    similarity, near = next(neighbours(x, test_x, 4))
    pieces = [b for _, b in neighbours(x, test_x, 4, chunk=7)]
    assert (similarity.diff(dim=1) <= 0).all()
    np.testing.assert_array_equal(np.concatenate(pieces), near)


def test_a_diverged_encoder_is_refused_in_one_sentence():
    x, y, test_x, test_y = clouds()
    test_x[3, 2] = np.nan
    with pytest.raises(ConfigError, match="test features hold NaN"):
        KNN().accuracy(x, y, test_x, test_y)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"tau": 0.0}])
def test_parameters_without_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        KNN(**wrong)


def test_the_protocol_says_its_name_version_and_parameters():
    assert KNN().title == "knn v1"
    assert KNN().parameters() == {"k": 20, "tau": 0.07}
