import numpy as np
import pytest

from data_loading.errors import ConfigError
from massrl.evaluation.subsets import draw, draws_of, fraction

Y = np.repeat([0, 1, 2], [10, 30, 60])[np.random.default_rng(0).permutation(100)]


def test_one_takes_one_of_each_class():
    assert sorted(Y[draw(Y, "one")]) == [0, 1, 2]


def test_a_fraction_takes_that_share_of_each_class_and_at_least_one():
    assert np.bincount(Y[draw(Y, "10pct")]).tolist() == [1, 3, 6]
    assert np.bincount(Y[draw(Y, 0.5)]).tolist() == [5, 15, 30]
    assert np.bincount(Y[draw(Y, 0.001)]).tolist() == [1, 1, 1]


def test_all_takes_every_labelled_row():
    y = np.array([0, -1, 1, 1])
    assert draw(y, "all").tolist() == [0, 2, 3]
    assert draw(y, 1.0).tolist() == [0, 2, 3]
    assert set(draw(y, "one")) <= {0, 2, 3}


def test_a_draw_is_a_function_of_labels_seed_and_number():
    assert draw(Y, "10pct", 1, 2).tolist() == draw(Y.copy(), 0.1, 1, 2).tolist()
    others = [draw(Y, "10pct", seed, number).tolist() for seed, number in ((1, 2), (1, 3), (2, 2), (2, 1))]
    assert len({tuple(rows) for rows in others}) == 4


def test_draws_are_nested():
    assert set(draw(Y, "one", 0, 5)) <= set(draw(Y, "10pct", 0, 5)) <= set(draw(Y, 0.4, 0, 5))


def test_every_row_of_a_class_is_drawn_about_equally_often():
    y = np.zeros(4, int)
    counts = np.bincount([draw(y, "one", 0, i)[0] for i in range(400)], minlength=4)
    assert (np.abs(counts - 100) < 35).all()  # 4 standard deviations of a binomial(400, 1/4), sqrt(75) = 8.7


def test_one_golden_draw_is_pinned():
    assert draw(np.arange(30) % 3, "10pct", 1, 2).tolist() == [4, 11, 27]


def test_names_and_numbers_of_label_sets():
    assert fraction("10pct") == pytest.approx(0.1)
    assert fraction("0.25") == 0.25
    assert fraction(1) == fraction("100pct") == fraction("all") == "all"
    assert draws_of("all", 20) == 1
    assert draws_of("one", 20) == 20


@pytest.mark.parametrize("wrong", ["two", "0", "1.5", "-1pct", ""])
def test_other_label_sets_are_refused(wrong):
    with pytest.raises(ConfigError, match="labels is"):
        draw(Y, wrong)


def test_no_labels_at_all_are_refused():
    with pytest.raises(ConfigError, match="no labels"):
        draw(np.full(3, -1), "one")
