"""Mixup and CutMix mix a batch as torchvision's formulas do, by numbers that (seed, epoch, sample) fix."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from torchvision.transforms import v2

from data_loading import Batch, Strategy
from data_loading.errors import ConfigError, ViewError
from data_loading.ops import CutMix, Mixup, cutmix, mixup
from helpers import CHECKOUT

CLASSES = 5
# Weights are float32 numbers times values below 1: a few units in the last place.
CLOSE = {"rtol": 0, "atol": 3e-7}


def batch(n=8, sizes=(16,), seed=0, dtype=torch.float32):
    """Views of values below 1 (uint8: whole levels), labels, rows of the file that are not 0, 1, 2, ..."""
    draw = torch.Generator().manual_seed(seed)
    views = [torch.rand(n, 3, s, s, generator=draw) for s in sizes]
    views = [(x * 255).round().to(dtype) if dtype == torch.uint8 else x.to(dtype) for x in views]
    out = Batch.from_views(views, torch.randint(CLASSES, (n,), generator=draw))
    out.index = torch.randperm(1000, generator=draw)[:n]
    return out


def torchvisions(theirs, params, images, labels):
    """torchvision's own transform of images and labels with the numbers given, not drawn."""
    theirs.make_params = lambda _: params
    return theirs(images, labels)


def test_mixup_is_torchvisions_with_the_same_weight():
    before = batch()
    after = before.mix(Mixup(0.4, same=True), CLASSES, seed=3)
    weight = float(Mixup(0.4, same=True).draw(3, 0, before.index.numpy())[0, 0])
    assert 0.01 < weight < 0.99
    images, labels = torchvisions(v2.MixUp(num_classes=CLASSES), {"lam": weight}, before.views[0], before.labels)
    torch.testing.assert_close(after.views[0], images, **CLOSE)
    torch.testing.assert_close(after.soft_labels, labels, **CLOSE)


@pytest.mark.parametrize("seed", range(6))  # boxes inside, and cut off at each border
def test_cutmix_is_torchvisions_with_the_same_box(seed):
    before = batch(sizes=(17,))
    op = CutMix(1.0, same=True)
    after = before.mix(op, CLASSES, seed=seed)
    weight, across, down = op.draw(seed, 0, before.index.numpy())[:, 0]
    half, x, y = int(0.5 * math.sqrt(1 - weight) * 17), int(across * 17), int(down * 17)
    box = max(x - half, 0), max(y - half, 0), min(x + half, 17), min(y + half, 17)
    left = 1 - (box[2] - box[0]) * (box[3] - box[1]) / 17**2
    params = {"box": box, "lam_adjusted": left}
    images, labels = torchvisions(v2.CutMix(num_classes=CLASSES), params, before.views[0], before.labels)
    assert torch.equal(after.views[0], images)
    torch.testing.assert_close(after.soft_labels, labels, **CLOSE)


@pytest.mark.parametrize("op", [Mixup(0.5), CutMix(0.5)])
def test_each_sample_has_its_own_numbers_and_its_partner_is_the_one_before(op):
    before = batch()
    after = before.mix(op, CLASSES, seed=1)
    drawn = op.draw(1, 0, before.index.numpy())
    images = before.views[0].double().numpy()
    hot = np.eye(CLASSES)[before.labels]
    for b in range(len(before)):
        weight, other = drawn[0, b], images[b - 1]
        if isinstance(op, CutMix):
            x0, y0, x1, y1 = box = cutmix.boxes(*drawn, 16, 16)[:, b]
            weight, expected = 1 - (x1 - x0) * (y1 - y0) / 256, cutmix.reference(images[b], other, box)
        else:
            expected = mixup.reference(images[b], other, weight)
        np.testing.assert_allclose(after.views[0][b], expected, **CLOSE)
        np.testing.assert_allclose(after.soft_labels[b], mixup.reference(hot[b], hot[b - 1], weight), **CLOSE)
    assert len(np.unique(drawn[0])) == len(before)


@pytest.mark.parametrize("op", [Mixup, CutMix])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_weights_are_distributed_as_beta(op, alpha):
    weight = op(alpha).draw(5, 2, np.arange(20000))[0]
    assert kstest(weight, beta(alpha, alpha).cdf).pvalue > 0.01  # seeded: it passes or fails for good
    assert kstest(weight, beta(alpha * 1.1, alpha * 1.1).cdf).pvalue < 0.01  # and would tell another alpha


def test_centres_of_boxes_are_uniform_and_boxes_end_at_the_border():
    weight, across, down = CutMix().draw(0, 0, np.arange(20000))
    for numbers in (across, down):
        assert kstest(numbers, "uniform").pvalue > 0.01
    assert abs(np.corrcoef([weight, across, down])[np.triu_indices(3, 1)]).max() < 0.03  # 4 deviations
    x0, y0, x1, y1 = cutmix.boxes(weight, across, down, 20, 30)
    assert x0.min() == 0 and y0.min() == 0 and x1.max() == 30 and y1.max() == 20
    assert (x0 <= x1).all() and (y0 <= y1).all()


def test_a_box_whose_area_is_worked_by_hand():
    # 1 - w = 1/4: half the side each way. 12 wide: 3 from the centre at 6; 8 high: 2 from the centre at 0, cut off.
    assert cutmix.boxes(np.array([0.75]), np.array([0.5]), np.array([0.0]), 8, 12)[:, 0].tolist() == [3, 0, 9, 2]


def test_all_views_of_a_sample_get_the_same_numbers_at_every_size():
    before = batch(sizes=(32, 32, 16, 8))
    for op in (Mixup(0.7), CutMix(0.7)):
        after = before.mix(op, CLASSES, seed=9)
        drawn = op.draw(9, 0, before.index.numpy())
        for x, y in zip(before.views, after.views, strict=True):
            side = x.shape[-1]
            if isinstance(op, Mixup):
                expected = mixup.tensor(x, x.roll(1, 0), drawn[0].reshape(-1, 1, 1, 1))
            else:
                expected = cutmix.tensor(x, x.roll(1, 0), cutmix.boxes(*drawn, side, side))
            assert torch.equal(y, expected)
    area = np.prod(np.diff(cutmix.boxes(*drawn, 32, 32).reshape(2, 2, -1), axis=0)[0], axis=0) / 32**2
    own = after.soft_labels.gather(1, before.labels[:, None])[:, 0]
    apart = (before.labels != before.labels.roll(1)).numpy()
    np.testing.assert_allclose(own.numpy()[apart], (1 - area)[apart], **CLOSE)  # the first size's area


def test_numbers_depend_on_seed_epoch_and_sample_only():
    samples = np.array([7, 3_000_000_000, 11, 2**33 + 7])
    drawn = Mixup().draw(1, 2, samples)
    np.testing.assert_array_equal(Mixup().draw(1, 2, samples[::-1]), drawn[:, ::-1])
    assert len(np.unique(drawn[0])) == 4  # 7 and 2**33 + 7: both halves of the number count
    for other in (Mixup().draw(2, 2, samples), Mixup().draw(1, 3, samples), Mixup(name="x").draw(1, 2, samples)):
        assert not np.isclose(other, drawn, rtol=1e-3).any()
    np.testing.assert_array_equal(Mixup(seed=1, fixed=True).draw(5, 9, samples), Mixup(seed=1).draw(7, 0, samples))
    np.testing.assert_array_equal(Mixup(share="a").draw(1, 2, samples), CutMix(0.2, share="a").draw(1, 2, samples))


def test_p_leaves_the_other_samples_as_they_are():
    before = batch(n=400, sizes=(4,))
    for op in (Mixup(1.0, p=0.3), CutMix(1.0, p=0.3)):
        own = op.draw(0, 0, before.index.numpy())[0] == 1
        assert abs(own.mean() - 0.7) < 0.1  # 4 standard deviations of 400 coins
        after = before.mix(op, CLASSES, seed=0)
        assert torch.equal(after.views[0][own], before.views[0][own])
        assert torch.equal(after.soft_labels[own].argmax(1), before.labels[own])
        assert (after.soft_labels[own].amax(1) == 1).all()


def test_a_mixed_batch_is_another_one_and_moves_with_its_soft_labels():
    before = batch()
    kept = before.views[0].clone()
    after = before.mix(Mixup(), CLASSES, seed=0)
    assert torch.equal(before.views[0], kept) and before.soft_labels is None
    assert after.soft_labels.shape == (8, CLASSES) and after.soft_labels.dtype == torch.float32
    torch.testing.assert_close(after.soft_labels.sum(1), torch.ones(8), **CLOSE)
    assert after.to("meta").soft_labels.device.type == after.to("meta").views[0].device.type == "meta"
    assert after.to(torch.float64).soft_labels.dtype == torch.float64
    assert before.to("meta").soft_labels is None


def test_a_batch_that_is_mixed_twice_mixes_what_it_was():
    before = batch()
    once = before.mix(Mixup(name="a"), CLASSES, seed=0)
    twice = once.mix("CutMix", CLASSES, seed=0)
    drawn = CutMix().draw(0, 0, before.index.numpy())
    x0, y0, x1, y1 = cutmix.boxes(*drawn, 16, 16)
    weight = torch.from_numpy(1 - (x1 - x0) * (y1 - y0) / 256).float()[:, None]
    expected = weight * once.soft_labels + (1 - weight) * once.soft_labels.roll(1, 0)
    torch.testing.assert_close(twice.soft_labels, expected, **CLOSE)
    with pytest.raises(ConfigError, match="num_classes is 6, where the soft labels .* have 5"):
        once.mix(Mixup(), 6, seed=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_a_batch_keeps_its_dtype_and_whole_levels_are_rounded(dtype):
    before = batch(dtype=dtype)
    after = before.mix(Mixup(1.0), CLASSES, seed=0)
    weight = Mixup(1.0).draw(0, 0, before.index.numpy())[0].reshape(-1, 1, 1, 1)
    x = before.views[0].double().numpy()
    exact = mixup.reference(x, np.roll(x, 1, 0), weight)
    unit = {torch.uint8: 1, torch.float16: 2**-11, torch.bfloat16: 2**-8}[dtype]  # between neighbours, at most
    assert after.views[0].dtype == dtype
    assert np.abs(after.views[0].double().numpy() - exact).max() <= unit / 2 + 1e-4
    assert before.mix(CutMix(), CLASSES, seed=0).views[0].dtype == dtype


def test_an_op_may_be_named_or_described_as_in_a_config():
    before = batch()
    described = {"class_path": "Mixup", "init_args": {"alpha": 0.4}}
    assert torch.equal(before.mix(described, CLASSES, 0).views[0], before.mix(Mixup(0.4), CLASSES, 0).views[0])
    with pytest.raises(ViewError, match="HorizontalFlip is no Mixing, which is asked for here; HorizontalFlip: Mirror"):
        before.mix("HorizontalFlip", CLASSES, seed=0)
    with pytest.raises(LookupError, match="Did you mean 'Mixup'"):
        before.mix("MixUp", CLASSES, seed=0)


@pytest.mark.parametrize("op", ["Mixup", CutMix(), {"class_path": "CutMix"}])
def test_a_strategy_cannot_hold_what_mixes_batches(op):
    with pytest.raises(ViewError, match=r"strategy 'mine': (Mixup|CutMix) is no Op, .* for Batch\.mix"):
        Strategy("mine", [["HorizontalFlip", op]])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Mixup(0.0), "Mixup: alpha is 0.0"),
        (lambda: CutMix(-1), "CutMix: alpha is -1"),
        (lambda: Mixup(float("nan")), "alpha is nan"),
        (lambda: Mixup(float("inf")), "alpha is inf"),
        (lambda: Mixup("high"), "alpha is 'high'"),
        (lambda: Mixup(p=1.1), "p is 1.1"),
        (lambda: CutMix(same=3), "same is 3; it must be true or false"),
        (lambda: CutMix(seed=2**32), "seed of CutMix"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, word):
    with pytest.raises((ViewError, ConfigError), match=word):
        make()


def test_labels_that_cannot_be_soft_are_refused_in_a_sentence():
    before = batch()
    before.labels[2] = -1
    with pytest.raises(ConfigError, match=f"sample {before.index[2]} has no label; labels go from 0"):
        before.mix(Mixup(), CLASSES, seed=0)
    before.labels[2] = 5
    with pytest.raises(ConfigError, match=f"sample {before.index[2]} has label 5, and num_classes is 5;"):
        before.mix(CutMix(), CLASSES, seed=0)
    with pytest.raises(ConfigError, match="seed is -1"):
        before.mix(CutMix(), CLASSES, seed=-1)


def test_the_example_of_the_page_on_views_runs():
    page = (CHECKOUT / "docs" / "views.md").read_text()
    (block,) = (b for b in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "batch.mix(" in b)
    names = {"batch": batch()}
    exec(compile(block, "docs/views.md", "exec"), names)
    assert names["mixed"].soft_labels.shape == (8, 1000)
