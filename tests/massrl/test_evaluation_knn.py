import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from data_loading.errors import ConfigError
from massrl.evaluation.held_out import held_out
from massrl.evaluation.knn import KNN, KNNCentred, KNNGrid


def clouds(n=200, test=80, width=12, classes=5, seed=0):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(classes, width))
    y = draw.integers(classes, size=n + test)
    x = (centres[y] + 1.5 * draw.normal(size=(n + test, width)) + 3).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


@pytest.mark.parametrize(("k", "tau"), [(1, 0.07), (5, 0.1), (20, 0.07), (200, 0.07)])
def test_knn_predicts_what_scikit_learn_predicts_with_the_same_weights(k, tau):
    x, y, test_x, test_y = clouds()
    judge = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / tau))
    expected = judge.fit(x.astype(np.float64), y).predict(test_x.astype(np.float64))
    np.testing.assert_array_equal(KNN(k, tau).predict(x, y, test_x), expected)
    assert KNN(k, tau).accuracy(x, y, test_x, test_y) == np.mean(expected == test_y)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_euclidean_knn_predicts_what_scikit_learn_predicts_with_the_same_weights(k):
    x, y, test_x, _ = clouds()
    judge = KNeighborsClassifier(k, metric="euclidean", algorithm="brute", weights=lambda d: 1 / (d + 1e-5))
    expected = judge.fit(x.astype(np.float64), y).predict(test_x.astype(np.float64))
    np.testing.assert_array_equal(KNN(k, distance="euclidean").predict(x, y, test_x), expected)


@pytest.mark.parametrize(("k", "tau"), [(5, 0.1), (20, 0.07)])
def test_the_centred_protocol_is_knn_v1(k, tau):
    x, y, test_x, _ = clouds()
    mean = x.mean(0, dtype=np.float64)
    judge = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / tau))
    expected = judge.fit(x - mean, y).predict(test_x - mean)
    protocol = KNNCentred(k, tau)
    np.testing.assert_array_equal(protocol.predict(x, y, test_x), expected)
    assert (protocol.title, protocol.parameters()) == ("knn v1", {"k": k, "tau": tau})


def test_the_nearer_of_two_neighbours_outvotes_one_and_two_outvote_one():
    angles = np.deg2rad([10, 30, 30])
    x = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    y = np.array([0, 1, 1])
    query = np.array([[1.0, 0.0]], np.float32)
    # votes: e^(cos 10 / tau) for class 0, twice e^(cos 30 / tau) for class 1
    assert KNN(3, 0.1).predict(x, y, query) == [0]  # e^9.85 = 18,910 against 2 e^8.66 = 11,540
    assert KNN(3, 1.0).predict(x, y, query) == [1]  # e^0.98 = 2.68 against 2 e^0.87 = 4.75


def test_classes_with_equal_votes_go_to_the_lower_class():
    x = np.array([[1, 1], [1, -1]], np.float32)
    assert KNN(2).predict(x, np.array([4, 3]), np.array([[1, 0]], np.float32)) == [3]


def test_the_length_of_a_feature_changes_nothing_and_an_offset_changes_neighbours():
    x, y, test_x, _ = clouds()
    found = KNN().predict(x, y, test_x)
    np.testing.assert_array_equal(KNN().predict(3 * x, y, 0.1 * test_x), found)
    assert (KNN().predict(x - 3, y, test_x - 3) != found).any()  # v2 does not centre
    np.testing.assert_array_equal(KNNCentred().predict(x - 3, y, test_x - 3), KNNCentred().predict(x, y, test_x))


def test_a_small_tau_is_the_nearest_neighbour_and_does_not_overflow():
    x, y, test_x, _ = clouds()
    np.testing.assert_array_equal(KNN(20, 1e-5).predict(x, y, test_x), KNN(1).predict(x, y, test_x))


def test_k_above_the_number_of_samples_uses_all_of_them():
    x, y, test_x, _ = clouds(n=7)
    np.testing.assert_array_equal(KNN(20).predict(x, y, test_x), KNN(7).predict(x, y, test_x))


def test_a_diverged_encoder_is_refused_in_one_sentence():
    x, y, test_x, test_y = clouds()
    test_x[3, 2] = np.nan
    for protocol in (KNN(), KNNGrid()):
        with pytest.raises(ConfigError, match="test features hold NaN"):
            protocol.accuracy(x, y, test_x, test_y)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"k": 0}, "k is 0; it must be an integer, at least 1"),
        ({"k": 2.5}, "k is 2.5"),
        ({"tau": 0.0}, "tau is 0.0; it must be a number above 0"),
        ({"tau": float("nan")}, "tau is nan"),
        ({"distance": "manhattan"}, "no distance 'manhattan'"),
    ],
)
def test_parameters_without_sense_are_refused(wrong, line):
    with pytest.raises(ConfigError, match=line):
        KNN(**wrong)
    with pytest.raises(ConfigError, match=line):
        KNNGrid(**{name: (value,) for name, value in wrong.items()})


def test_the_protocols_say_their_name_version_and_parameters():
    assert KNN().title == "knn v2"
    assert KNN().parameters() == {"k": 20, "tau": 0.07, "distance": "cosine"}
    assert KNN(distance="euclidean").parameters() == {"k": 20, "distance": "euclidean"}  # no tau: it has no part
    assert (KNNGrid().title, KNNGrid().optimistic, KNNGrid(selection="test").optimistic) == ("knn-grid v1", False, True)


# ---- the grid


def test_every_accuracy_of_the_grid_is_that_of_the_setting_by_itself():
    x, y, test_x, test_y = clouds()
    grid = KNNGrid(k=(20, 1, 5), tau=(0.5, 0.07))
    scores = grid.scores(x, y, test_x, test_y)
    assert len(scores) == 3 * 2 + 3
    for (distance, k, tau), score in scores.items():
        assert score == KNN(k, tau or 1.0, distance).accuracy(x, y, test_x, test_y), (distance, k, tau)


def test_the_grid_in_several_blocks_counts_every_test_image(monkeypatch):
    x, y, test_x, test_y = clouds()
    grid = KNNGrid(k=(1, 5), tau=(0.07,))
    whole = grid.scores(x, y, test_x, test_y)
    from massrl.evaluation import knn, neighbours

    small = lambda *words: neighbours.nearest(*words, query_block=7, bank_block=30)  # noqa: E731
    monkeypatch.setattr(knn, "nearest", small)
    assert grid.scores(x, y, test_x, test_y) == whole


def test_a_grid_is_chosen_on_held_out_images_and_tested_once_from_all_of_train():
    x, y, test_x, test_y = clouds(seed=3)
    grid = KNNGrid(k=(1, 5, 20), tau=(0.07,))
    found = grid.choose(x, y, test_x, test_y)
    kept, held = held_out(y)
    scores = grid.scores(x[kept], y[kept], x[held], y[held])
    distance, k, tau = max(scores, key=scores.get)
    assert found.setting == {"k": k, **({"tau": tau} if tau else {}), "distance": distance}
    assert found.accuracy == KNN(k, tau or 1.0, distance).accuracy(x, y, test_x, test_y)
    assert list(found.tried.values()) == list(scores.values())


def test_labels_of_the_test_images_do_not_change_what_is_chosen_on_held_out_images():
    x, y, test_x, test_y = clouds()
    grid = KNNGrid(k=(1, 5, 20))
    one, other = grid.choose(x, y, test_x, test_y), grid.choose(x, y, test_x, (test_y + 1) % 5)
    assert (one.setting, one.tried) == (other.setting, other.tried)
    assert one.accuracy != other.accuracy


def test_the_best_on_test_is_the_highest_of_all_and_says_that_it_is_optimistic():
    x, y, test_x, test_y = clouds()
    grid = KNNGrid(selection="test")
    found = grid.choose(x, y, test_x, test_y)
    assert found.accuracy == max(found.tried.values()) >= KNNGrid().choose(x, y, test_x, test_y).accuracy
    assert grid.card()["selection"] == "optimistic: chosen on the test images"


# ---- the held-out part


def test_a_tenth_of_each_class_is_held_out_and_the_rest_is_kept():
    y = np.repeat([0, 1, 2], [100, 40, 4])
    kept, held = held_out(y)
    assert np.bincount(y[held]).tolist() == [10, 4, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(144))


def test_a_class_with_one_image_keeps_it_and_with_two_gives_one():
    y = np.array([0, 1, 1, 2, 2, 2])
    kept, held = held_out(y)
    assert sorted(y[held]) == [1, 2] and sorted(y[kept]) == [0, 1, 2, 2]


def test_a_large_share_leaves_one_image_of_each_class():
    kept, held = held_out(np.array([0, 0, 1, 1, 1]), share=0.99)
    assert len(kept) == 2 and len(held) == 3


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_of_none_or_all_is_refused(share):
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        held_out(np.zeros(10, int), share)


def test_one_image_of_every_class_cannot_be_held_out():
    with pytest.raises(ConfigError, match="no class has two labelled training images"):
        held_out(np.arange(5))


def test_the_held_out_part_is_a_function_of_the_seed():
    y = np.arange(300) % 3
    np.testing.assert_array_equal(held_out(y, seed=4)[1], held_out(y, seed=4)[1])
    assert (held_out(y, seed=4)[1] != held_out(y, seed=5)[1]).any()
    # a golden subset: the numbers of Philox do not change between versions of numpy
    assert held_out(np.zeros(30, int))[1].tolist() == [17, 25, 27]
