"""Choose: one of several lists of ops, and strategies drawn for each crop."""

import math

import numpy as np
import pytest

from data_loading import Strategy, ViewSet
from data_loading.errors import ViewError
from data_loading.ops import Choose, Grayscale, HorizontalFlip, Invert, Posterize, Solarize
from data_loading.views.sampling import Drawer


def plan_of(view_set, samples=6000, seed=0, epoch=0):
    return Drawer(view_set, seed)(epoch, np.arange(samples), np.full(samples, 40), np.full(samples, 50))


def one(ops, **arguments):
    return ViewSet([Strategy("s", [ops])], **{"crops": 1, "size": 16, **arguments})


def near(share, p, n):
    """Within five standard errors of n coins."""
    return abs(share - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-12


def test_each_policy_is_drawn_equally_often_and_an_empty_one_does_nothing():
    plan = plan_of(one([Choose([[Invert(p=1.0)], [Grayscale(1.0)], []])]))
    for step in ("invert", "grayscale"):
        assert near(plan.acted(step).mean(), 1 / 3, 6000)
    assert near((plan.op == 0).all(axis=2).mean(), 1 / 3, 6000)


def test_ops_of_a_policy_keep_their_order_and_their_own_probability():
    plan = plan_of(one([Choose([[Posterize(4, p=0.4), Solarize(100, p=0.7)]])]))
    assert near(plan.acted("posterize").mean(), 0.4, 6000) and near(plan.acted("solarize").mean(), 0.7, 6000)
    both = plan.acted("posterize") & plan.acted("solarize")
    assert near(both.mean(), 0.28, 6000)  # independent coins
    assert (plan.op[both][:, 0] < plan.op[both][:, 1]).sum() == 0 and (
        plan.number("posterize", "bits")[both] == 4
    ).all()


def test_times_draws_again_with_replacement():
    plan = plan_of(one([Choose([[Invert(p=1.0)], [Grayscale(1.0)]], times=2)]))
    pairs, counts = np.unique(plan.op[0], axis=0, return_counts=True)
    assert len(pairs) == 4 and np.abs(counts - 1500).max() < 5 * math.sqrt(6000 * 0.25 * 0.75)


def test_a_plan_has_room_for_the_policies_that_a_choice_has_when_the_plan_is_sampled():
    choice = Choose([[Invert(p=1.0)]])
    choice.policies.append([Posterize(4, p=1.0), Grayscale(1.0)])
    choice.times = 3
    assert Drawer(one([choice]), 0).steps == choice.steps == 6  # compiled code does not check where it writes
    plan = plan_of(one([choice]), samples=200)
    assert plan.op.shape[2] == 6 and (plan.op != 0).sum(axis=2).max() == 6


def test_what_comes_before_and_after_a_choice_does_not_move_its_draws():
    choice = Choose([[Invert(p=1.0)], [Grayscale(1.0)], [Posterize((1, 8), p=1.0)]])
    alone, among = plan_of(one([choice])), plan_of(one([HorizontalFlip(), choice, Solarize()]))
    for step in ("invert", "grayscale"):
        np.testing.assert_array_equal(alone.acted(step), among.acted(step))
    np.testing.assert_array_equal(alone.number("posterize", "bits"), among.number("posterize", "bits"))


def test_a_shared_choice_is_the_same_in_every_view():
    plan = plan_of(one([Choose([[Invert(p=1.0)], []], share="choice")], crops=2), samples=200)
    np.testing.assert_array_equal(*plan.acted("invert"))
    apart = plan_of(one([Choose([[Invert(p=1.0)], []])], crops=2), samples=200)
    assert (apart.acted("invert")[0] != apart.acted("invert")[1]).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Choose([]), "policies is empty"),
        (lambda: Choose([[Invert()]], times=0), "times is 0; it must be an integer from 1 to 16"),
        (lambda: Choose([[Invert(seed=3)]]), "Invert in a policy has a stream of its own"),
        (lambda: Choose([[Choose([[]])]]), "cannot hold another Choose"),
        (lambda: Choose([Invert()]), r"policies is \[Invert\(\)\]; it must be a list of lists of ops"),
        (lambda: Choose(["Invert"]), "it must be a list of lists of ops"),
        (lambda: Choose(None), "policies is None"),
        (lambda: Choose([[Invert()]], times="2"), "times is '2'"),
        (lambda: Choose([[Invert()]], times=True), "times is True"),
        (lambda: Choose([["Inverd"]]), "Did you mean 'Invert'"),
    ],
)
def test_choices_that_cannot_be_drawn_are_refused(make, words):
    with pytest.raises((ViewError, LookupError), match=words):
        make()


def test_drawn_strategies_are_equally_likely_and_the_plan_says_which():
    marks = [Strategy("a", [[Invert(p=1.0)]]), Strategy("b", [[Grayscale(1.0)]]), Strategy("c", [[]])]
    view_set = ViewSet(marks, crops=2, size=16, assign="drawn")
    plan = plan_of(view_set, samples=3000)
    assert [view.name for view in view_set.views] == ["drawn.0", "drawn.1"]
    for number, step in ((0, "invert"), (1, "grayscale")):
        np.testing.assert_array_equal(plan.strategy == number, plan.acted(step))
        assert near((plan.strategy == number).mean(), 1 / 3, 6000)
    assert near((plan.strategy[0] == plan.strategy[1]).mean(), 1 / 3, 3000)  # crops are drawn apart
    assert plan.rows(view_set, 5)[0]["strategy"] == "abc"[plan.strategy[0, 5]]


def test_without_drawing_the_plan_names_each_views_own_strategy():
    plan = plan_of(ViewSet(["simclr", "byol"], crops=2, size=16), samples=4)
    assert plan.strategy.tolist() == [[0] * 4, [0] * 4, [1] * 4, [1] * 4]


def test_a_drawn_strategy_takes_the_variant_of_its_crop():
    plan = plan_of(ViewSet(["byol", "byol"], crops=2, size=16, assign="drawn"), samples=2000)
    assert plan.acted("blur")[0].all()  # variant a
    assert near(plan.acted("blur")[1].mean(), 0.1, 2000)  # variant b


def test_a_view_set_with_choices_is_the_same_after_a_config_and_back():
    ops = [Choose([[Posterize((8, 4), bins=5, p=0.3)], []], times=2, share="x")]
    view_set = ViewSet([Strategy("mine", [ops]), "simclr"], crops=2, size=16, shared_crops=True)
    again = ViewSet.from_dict(view_set.to_dict())
    assert again.to_dict() == view_set.to_dict()
    a, b = plan_of(view_set, 50), plan_of(again, 50)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("box", "op", "arg", "strategy"))
