"""FFCV-SSL's promises: seeds of ops and of the loader apart, one realisation in several views, parameters as labels."""

import numpy as np
import pytest
import torch

from betons import write
from data_loading import Loader, Strategy, ViewSet
from data_loading.errors import UnknownName, ViewError
from data_loading.ops import ColorJitter, Grayscale, HorizontalFlip, RandomResizedCrop
from data_loading.views.sampling import Drawer


def large_and_small(**jitter) -> ViewSet:
    """Two views of 64 and 24 pixels that share box, flip and the decision for gray, and not their colour jitter."""
    crop = RandomResizedCrop(scale=(0.2, 1.0), share="box")
    ops = [HorizontalFlip(share="flip"), ColorJitter(0.4, 0.4, 0.4, 0.1, **jitter), Grayscale(0.5, share="gray")]
    large, small = Strategy("large", [ops], crop=crop, size=64), Strategy("small", [ops], crop=crop, size=24)
    return ViewSet([large, small], crops=1, own_sizes=True)


def plan_of(view_set, seed=7, epoch=0, samples=3):
    return Drawer(view_set, seed)(epoch, np.arange(samples), np.full(samples, 120), np.full(samples, 160))


EXPECTED = """\
large.0       (12, 19)-(118, 112)  brightness 1.394, hue -0.01929, contrast 0.6009, saturation 1.362
small.0       (12, 19)-(118, 112)  contrast 0.9629, brightness 0.9065, hue -0.09794, saturation 1.127
large.0       (70, 3)-(158, 119)  brightness 1.383, hue -0.02328, contrast 1.006, saturation 0.977, grayscale
small.0       (70, 3)-(158, 119)  brightness 0.6151, contrast 0.6372, hue -0.04787, saturation 1.114, grayscale
large.0       (42, 32)-(132, 119)  flip, contrast 1.236, hue 0.06092, brightness 0.9409, saturation 0.8174, grayscale
small.0       (42, 32)-(132, 119)  flip, hue -0.07283, brightness 1.305, saturation 1.177, contrast 1.055, grayscale"""


def test_a_worked_example_these_are_the_numbers_to_expect():
    """Seed 7, epoch 0, samples 0 to 2 of 160 x 120 pixels. They must never change: a plan is replayed by its seed."""
    view_set = large_and_small()
    plan = plan_of(view_set)
    assert "\n".join(plan.table(view_set, b) for b in range(3)) == EXPECTED


def test_views_of_different_size_share_box_flip_and_gray_and_nothing_else():
    plan = plan_of(large_and_small(), samples=200)
    np.testing.assert_array_equal(plan.box[0], plan.box[1])
    for step in ("flip", "grayscale"):
        large, small = plan.acted(step)
        np.testing.assert_array_equal(large, small)
        assert 60 < large.sum() < 140  # a coin, 200 times: more than five deviations of 7 would be chance gone wrong
    large, small = plan.number("brightness", "factor")
    assert not np.array_equal(large, small, equal_nan=True)


def test_the_pixels_of_a_shared_decision_are_gray_in_both_views(tmp_path):
    loader = Loader(write(tmp_path / "a.beton"), 10, large_and_small(), dtype="uint8", with_plan=True)
    for batch in loader:
        for view, gray in zip(batch.views, batch.plan.acted("grayscale"), strict=True):
            colourless = (view == view[:, :1]).flatten(1).all(1)
            assert torch.equal(colourless, torch.from_numpy(gray))


@pytest.mark.parametrize("order_fixed", [True, False])
@pytest.mark.parametrize("views_fixed", [True, False])
def test_seeds_of_order_and_views_are_fixed_or_fresh_independently(tmp_path, order_fixed, views_fixed):
    path = write(tmp_path / "a.beton")

    def run():
        """A new run: seed=None draws what is not given anew."""
        seeds = {"order_seed": 5 if order_fixed else None, "view_seed": 6 if views_fixed else None}
        loader = Loader(path, 50, "byol", size=12, seed=None, with_plan=True, dtype="uint8", **seeds)
        (batch,) = loader
        rank = torch.argsort(batch.index)  # by sample, so that the order does not count
        return batch.index, batch.plan.box[:, rank]

    (order, boxes), (order_again, boxes_again) = run(), run()
    assert torch.equal(order, order_again) == order_fixed
    assert np.array_equal(boxes, boxes_again) == views_fixed


def test_one_op_may_be_fixed_between_runs_while_all_others_are_fresh():
    first, second = plan_of(large_and_small(seed=3), seed=1), plan_of(large_and_small(seed=3), seed=2)
    assert np.array_equal(first.number("hue", "turn"), second.number("hue", "turn"), equal_nan=True)
    assert not np.array_equal(first.box, second.box)


def test_fixed_keeps_an_op_through_the_epochs_and_without_it_each_epoch_draws_anew():
    for fixed in (True, False):
        first, later = (plan_of(large_and_small(fixed=fixed), epoch=e) for e in (0, 1))
        same = np.array_equal(first.number("hue", "turn"), later.number("hue", "turn"), equal_nan=True)
        assert same == fixed
        assert not np.array_equal(first.box, later.box)


def test_a_named_stream_keeps_its_draws_when_ops_are_added_before_it():
    alone = ViewSet([Strategy("s", [[HorizontalFlip(name="mine")]])], size=8)
    behind = ViewSet([Strategy("s", [[HorizontalFlip(), HorizontalFlip(name="mine")]])], size=8)
    mine = plan_of(alone, samples=100).acted("flip")
    flips = (plan_of(behind, samples=100).op == 1).sum(axis=2)
    other = plan_of(ViewSet([Strategy("s", [[HorizontalFlip()]])], size=8), samples=100).acted("flip")
    np.testing.assert_array_equal(flips, mine.astype(int) + other)


@pytest.mark.parametrize("name", ["crop", "strategy", "", 3])
def test_a_stream_may_not_be_called_as_those_of_box_and_strategy(name):
    with pytest.raises(ViewError, match="name is"):
        HorizontalFlip(name=name)


def test_two_ops_of_one_view_may_not_have_one_name():
    twice = ViewSet([Strategy("s", [[HorizontalFlip(name="x"), Grayscale(0.5, name="x")]])], size=8)
    with pytest.raises(ViewError, match="two ops are named 'x'"):
        Drawer(twice, 0)


def test_a_box_and_an_op_that_share_one_word_do_not_share_their_numbers():
    """The op's coin is its first draw, a box's area its own: equal numbers would flip small boxes only."""
    crop = RandomResizedCrop(scale=(0.1, 1.0), share="x")
    plan = plan_of(ViewSet([Strategy("s", [[HorizontalFlip(share="x")]], crop=crop)], crops=1, size=8), samples=2000)
    x0, y0, x1, y1 = plan.box[0].T
    area, flipped = (x1 - x0) * (y1 - y0), plan.acted("flip")[0]
    error = area.std() * (2 / 1000) ** 0.5
    assert abs(area[flipped].mean() - area[~flipped].mean()) < 5 * error


def test_parameters_are_labels_and_nan_where_an_op_did_not_act():
    plan = plan_of(large_and_small(), samples=500)
    turn = plan.number("hue", "turn")
    assert turn.shape == (2, 500) and turn.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(turn), ~plan.acted("hue"))
    assert np.nanmin(turn) >= -0.1 and np.nanmax(turn) <= 0.1
    assert abs(plan.acted("hue").mean() - 0.8) < 0.07  # five standard errors of 1000 coins of 0.8


def test_a_wrong_step_or_number_is_named():
    plan = plan_of(large_and_small())
    with pytest.raises(UnknownName, match="no step named 'hued'. Did you mean 'hue'"):
        plan.acted("hued")
    with pytest.raises(ViewError, match="step 'hue' has no number 'factor'; it has turn"):
        plan.number("hue", "factor")
