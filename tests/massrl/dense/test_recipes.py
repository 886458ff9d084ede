"""Settings of dense transfer by name."""

import math

import pytest

from data_loading.errors import ConfigError, UnknownName
from massrl.dense.recipes import DETECT, SEGMENT, Detect, Segment, recipe


def test_the_rate_rises_and_falls_as_dinov3s():
    settings = Segment(steps=40_000)
    assert settings.rate(0) == pytest.approx(1 / 1501)
    assert settings.rate(1500) == pytest.approx((1 + math.cos(math.pi * 1500 / 40_000)) / 2)
    assert settings.rate(20_000) == pytest.approx(0.5)
    assert settings.rate(40_000) == pytest.approx(0)
    assert Segment(steps=100).rate(10) == pytest.approx((1 + math.cos(math.pi / 10)) / 2), "at most a tenth is warm-up"


def test_the_rate_drops_at_the_steps_of_the_sources():
    moco, frozen = recipe("moco", DETECT), recipe("ssl-transfer", DETECT)
    assert [moco.rate(step) for step in (59_999, 60_000, 80_000)] == pytest.approx([1, 0.1, 0.01])
    assert [frozen.rate(step) for step in (95_999, 96_000, 128_000)] == pytest.approx([1, 0.1, 0.01])
    assert (frozen.lr, frozen.batch_size, frozen.frozen, frozen.norm) == (0.0025, 2, 4, "frozen")
    assert (moco.lr, moco.batch_size, moco.frozen, moco.norm) == (0.02, 16, 0, "trained")


def test_the_rate_follows_the_batch_unless_it_is_given():
    assert recipe("moco", DETECT).changed(batch_size=4).lr == pytest.approx(0.005)
    assert recipe("moco", DETECT).changed(batch_size=4, lr=0.1).lr == 0.1
    assert recipe("dinov3", SEGMENT).changed(steps=None).steps == 40_000


def test_a_size_replaces_the_range_and_keeps_the_longest_sides_proportion():
    assert Detect().of_size(80).sizes == (80,)
    assert Detect().of_size(80).max_size == 133


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": True}, "lr is True"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"frozen": -1}, "frozen is -1"),
    ],
)
def test_impossible_numbers_are_refused_by_name(given, line):
    with pytest.raises(ConfigError, match=f"{line}; it must be a"):
        recipe("moco", DETECT).changed(**given)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"no settings named 'moko'. Did you mean 'moco'\?"):
        recipe("moko", DETECT)


@pytest.mark.parametrize("cls", [*DETECT.values(), *SEGMENT.values()])
def test_each_says_its_source_and_that_nothing_is_chosen_on_the_test_images(cls):
    assert (
        cls().card()["selection"] == "no setting is chosen by an accuracy"
        and "arXiv" in cls.source
        and cls().title.endswith(" v1")
    )
