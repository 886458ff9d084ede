"""A plan is a function of seed, epoch, sample, image size and view set, and of nothing else."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop as TheirCrop

from data_loading import Strategy, ViewSet
from data_loading.ops import ColorJitter, Grayscale, HorizontalFlip, RandomResizedCrop, Solarize
from data_loading.views import view_sets
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer
from rendering import codes


def draw(view_set, samples=range(64), seed=0, epoch=0, height=375, width=500):
    samples = np.asarray(samples, np.int64)
    sides = np.full(len(samples), height, np.int64), np.full(len(samples), width, np.int64)
    return Drawer(view_sets.get(view_set), seed)(epoch, samples, *sides)


def equal(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("box", "op", "arg"))


def test_equal_seeds_and_epochs_draw_equal_plans():
    assert equal(draw("massrl"), draw("massrl"))


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_draws_another_plan(other):
    plan, changed = draw("massrl"), draw("massrl", **other)
    assert (plan.box != changed.box).any(axis=-1).mean() > 0.95


def test_a_samples_plan_does_not_depend_on_its_place_in_the_batch():
    forward, backward = draw("massrl", range(20)), draw("massrl", range(19, -1, -1))
    np.testing.assert_array_equal(forward.arg, backward.arg[:, ::-1])
    np.testing.assert_array_equal(forward.box, backward.box[:, ::-1])


def test_adding_a_strategy_does_not_move_the_draws_of_another():
    alone, together = draw(ViewSet(["simclr"])), draw(ViewSet(["simclr", "byol"]))
    steps = alone.op.shape[-1]
    np.testing.assert_array_equal(alone.op, together.op[:2, :, :steps])
    np.testing.assert_array_equal(alone.box, together.box[:2])


def test_shared_crops_share_their_box_and_own_crops_do_not():
    shared = draw(ViewSet(["simclr", "byol"], shared_crops=True)).box
    np.testing.assert_array_equal(shared[0], shared[2])
    own = draw(ViewSet(["simclr", "byol"], shared_crops=False)).box
    assert (own[0] != own[2]).any(axis=-1).all()


def flips(plan, view):
    return (plan.op[view] == codes.FLIP).any(axis=-1)


def two_flips(**arguments):
    return ViewSet([Strategy("two", [[HorizontalFlip(**arguments)], [HorizontalFlip(**arguments)]])], size=8)


def test_ops_that_share_a_name_decide_alike_in_every_view():
    shared, apart = draw(two_flips(share="flip")), draw(two_flips())
    assert np.array_equal(flips(shared, 0), flips(shared, 1))
    assert not np.array_equal(flips(apart, 0), flips(apart, 1))


def test_a_fixed_op_repeats_its_decision_in_every_epoch():
    fixed, free = two_flips(fixed=True), two_flips()
    assert np.array_equal(flips(draw(fixed), 0), flips(draw(fixed, epoch=5), 0))
    assert not np.array_equal(flips(draw(free), 0), flips(draw(free, epoch=5), 0))


def test_an_op_with_its_own_seed_does_not_follow_the_runs():
    own = two_flips(seed=3)
    assert np.array_equal(flips(draw(own, seed=1), 0), flips(draw(own, seed=2), 0))


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_an_op_acts_with_its_probability(p):
    share = (draw(ViewSet([Strategy("g", [[Grayscale(p)]])]), range(4000)).op == codes.GRAYSCALE).any(axis=-1).mean()
    assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / 8000)  # five standard errors of 8000 coins


def test_a_program_keeps_the_order_of_the_recipe():
    ops = [HorizontalFlip(1.0), ColorJitter(p=1.0), Grayscale(1.0), Solarize(100, p=1.0)]
    plan = draw(ViewSet([Strategy("s", [ops])], crops=1), range(50))
    assert (plan.op[0, :, 0] == codes.FLIP).all()
    jitter = {codes.BRIGHTNESS, codes.CONTRAST, codes.SATURATION, codes.HUE}
    assert all(set(row[1:5]) == jitter for row in plan.op[0].tolist())
    assert (plan.op[0, :, 5] == codes.GRAYSCALE).all() and (plan.op[0, :, 6] == codes.SOLARIZE).all()
    assert (plan.numbers[0, :, 6, 0] == 100).all()


def test_boxes_are_whole_pixels_inside_the_image():
    box = draw("simclr", range(2000)).box
    np.testing.assert_array_equal(box, np.rint(box))
    assert box[..., :2].min() >= 0 and box[..., 2].max() <= 500 and box[..., 3].max() <= 375


@pytest.mark.parametrize(("height", "width"), [(375, 500), (40, 400), (400, 40), (8, 8)])
def test_boxes_are_distributed_as_torchvisions_random_resized_crop(height, width):
    box = draw("simclr", range(2000), height=height, width=width).box.reshape(-1, 4)
    ours = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1], box[:, 0], box[:, 1]])
    torch.manual_seed(0)
    blank = torch.empty(3, height, width)
    drawn = [TheirCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    theirs = np.array([(w, h, x, y) for y, x, h, w in drawn]).T
    for a, b in zip(ours, theirs, strict=True):  # width, height, left, top
        error = math.sqrt((a.var() + b.var()) / 4000)
        assert abs(a.mean() - b.mean()) <= 5 * error + 1e-9
        assert np.abs(np.quantile(a, [0.1, 0.5, 0.9]) - np.quantile(b, [0.1, 0.5, 0.9])).max() <= 0.05 * max(
            height, width
        )


def test_the_fallback_is_the_largest_central_box_of_the_nearest_ratio():
    wide = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    box = draw(ViewSet([Strategy("s", [[]], crop=wide)], crops=1), [0], height=40, width=100).box[0, 0]
    assert box.tolist() == [30, 0, 70, 40]


def test_evaluation_takes_the_box_of_resize_then_centre_crop():
    box = draw("eval", [0], height=375, width=500).box[0, 0]
    # Resize(256): 341 x 256; CenterCrop(224): left rint(58.5) = 58, top 16; back to source pixels
    np.testing.assert_allclose(box, [58 * 500 / 341, 16 * 375 / 256, 282 * 500 / 341, 240 * 375 / 256], rtol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (64, 64)])
def test_the_second_of_two_disjoint_crops_does_not_overlap_the_first(height, width):
    views_ = ViewSet(["simclr"], crops=4, disjoint=True, crop_scale=(0.08, 0.5))
    box = draw(views_, range(500), height=height, width=width).box
    for a, b in ((0, 1), (2, 3)):
        apart = (box[a, :, 2] <= box[b, :, 0]) | (box[b, :, 2] <= box[a, :, 0])
        apart |= (box[a, :, 3] <= box[b, :, 1]) | (box[b, :, 3] <= box[a, :, 1])
        assert apart.all()
    plain = draw(ViewSet(["simclr"], crops=4, crop_scale=(0.08, 0.5)), range(500), height=height, width=width).box
    np.testing.assert_array_equal(box[0], plain[0])  # the first is drawn as ever


def test_disjoint_crops_overlap_only_where_the_first_is_the_whole_image():
    whole = ViewSet(["simclr"], crops=2, disjoint=True, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    assert draw(whole, [0], height=50, width=50).box[:, 0].tolist() == [[0, 0, 50, 50]] * 2


def test_a_padded_crop_shifts_the_image_by_every_amount_equally_often():
    box = draw(view_sets.get("cifar"), range(8100), height=32, width=32).box[0]
    assert (box[:, 2] - box[:, 0] == 32).all() and (box[:, 3] - box[:, 1] == 32).all()
    places, counts = np.unique(box[:, :2], axis=0, return_counts=True)
    assert len(places) == 81 and places.min() == -4 and places.max() == 4
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100)  # five standard deviations of a count


def test_a_plan_is_shown_as_a_table_and_saved(tmp_path):
    view_set = ViewSet(["byol"], crops=2, size=32)
    plan = draw(view_set, range(5))
    plan.save(tmp_path / "plan.npz")
    again = Plan.load(tmp_path / "plan.npz")
    assert all((getattr(again, name) == getattr(plan, name)).all() for name in ("box", "op", "arg"))
    first, second = plan.rows(view_set, 3)
    assert first["view"] == "byol.0" and first["box"] == plan.box[0, 3].tolist()
    assert [name for name, _ in first["steps"]].count("blur") == 1  # variant a always blurs
    lines = plan.table(view_set, 3).splitlines()
    assert len(lines) == 2 and lines[1].startswith(second["view"])
    for name, values in second["steps"]:
        assert f"{name} {' '.join(f'{v:.4g}' for v in values.values())}".strip() in lines[1]
