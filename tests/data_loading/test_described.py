"""Objects from configs and back, and what a wrong config is told."""

import copy

import numpy as np
import pytest

from data_loading import Strategy
from data_loading.config.described import build, describe, plain
from data_loading.config.registry import Registry
from data_loading.errors import ConfigError, UnknownName, ViewError, near_miss, one_of
from data_loading.ops import OPS, ColorJitter, Crop, Grayscale, Op, RandomResizedCrop, Solarize
from data_loading.strategies import STRATEGIES, strategy


def test_an_op_is_its_class_and_the_arguments_that_were_given():
    op = ColorJitter(0.4, 0.4, hue=0.1, p=0.5, share="colour")
    spec = describe(op, OPS)
    assert spec == {
        "class_path": "ColorJitter",
        "init_args": {"brightness": 0.4, "contrast": 0.4, "hue": 0.1, "p": 0.5, "share": "colour"},
    }
    again = build(spec, OPS, Op)
    assert (again.params(), again.p, again.share) == (op.params(), 0.5, "colour")


def test_a_name_alone_and_an_object_are_built_too():
    assert build("Solarize", OPS, Op).params() == Solarize().params()
    crop = RandomResizedCrop((0.2, 1.0))
    assert build(crop, OPS, Crop) is crop


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("Solarise", UnknownName, "no op named 'Solarise'. Did you mean 'Solarize'"),
        ({"class_path": "Solarize", "init_args": {"treshold": 3}}, ViewError, "Did you mean 'threshold'"),
        ({"class_path": "Solarize", "init_args": {"sed": 3}}, ViewError, "Did you mean 'seed'"),
        ({"class_path": "Solarize", "threshold": 3}, ViewError, "init_args"),
        ({"class_path": "no.such.module"}, UnknownName, "cannot be imported"),
        ({"class_path": "data_loading.ops.Nothing"}, UnknownName, "cannot be imported"),
        ({"class_path": "RandomResizedCrop"}, ViewError, "is no Op, which is asked for here; RandomResizedCrop: A"),
        (3, ViewError, "3 is no op"),
    ],
)
def test_a_wrong_config_is_answered_with_what_is_wrong_and_what_is_known(spec, error, words):
    with pytest.raises(error, match=words):
        build(spec, OPS, Op)


def test_a_function_that_makes_something_else_is_not_called(tmp_path):
    ran = tmp_path / "ran"
    with pytest.raises(ViewError, match="os.system is no Strategy.*must be registered, or annotated"):
        strategy({"class_path": "os.system", "init_args": {"command": f"touch {ran}"}})
    assert not ran.exists()


def test_a_strategy_is_a_name_a_call_or_written_out():
    written = {"name": "mine", "variants": [["HorizontalFlip", {"class_path": "Grayscale", "init_args": {"p": 0.3}}]]}
    mine = strategy(written)
    assert isinstance(mine, Strategy) and [type(op).__name__ for op in mine.variants[0]] == [
        "HorizontalFlip",
        "Grayscale",
    ]
    assert strategy(mine.to_config()).to_config() == mine.to_config()
    assert strategy("simclr").to_config() == "simclr"
    with pytest.raises(ViewError, match="a strategy has no argument 'variant'. Did you mean 'variants'"):
        strategy({"name": "mine", "variant": []})


def test_an_op_is_shown_with_the_arguments_that_were_given():
    assert repr(Grayscale(0.5, share="gray")) == "Grayscale(p=0.5, share='gray')"
    assert repr(copy.copy(Solarize())) == "Solarize()"


def test_numpy_numbers_and_arrays_are_plain_however_deep_they_stand():
    held = {np.str_("a"): (np.float64(0.5), [np.array([[1, 2], [3, 4]]), np.bool_(True)]), "b": None}
    found = plain(held, OPS)
    assert found == {"a": [0.5, [[[1, 2], [3, 4]], True]], "b": None}
    assert type(next(iter(found))) is str and type(found["a"][1][1]) is bool


@pytest.mark.parametrize(
    ("name", "known", "words"),
    [
        ("simclt", ("byol", "simclr"), " Did you mean 'simclr'?"),
        ("simclt", iter(["simclr"]), " Did you mean 'simclr'?"),
        ("swav", ("byol", "simclr"), ""),
        (3, ("byol",), ""),
        ("a", (), ""),
    ],
)
def test_the_nearest_name_is_told_where_one_is_near(name, known, words):
    assert near_miss(name, known) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("bmp", "^mode is 'bmp'; choose one of raw, jpg$"),
        ("jpeg", "^mode is 'jpeg'. Did you mean 'jpg'\\? Choose one of raw, jpg$"),
        (["raw"], "^mode is \\['raw'\\]"),
    ],
)
def test_what_is_none_of_the_choices_is_refused_with_the_nearest_one(value, words):
    assert one_of("mode", "raw", ("raw", "jpg"), ConfigError) == "raw"
    with pytest.raises(ConfigError, match=words):
        one_of("mode", value, ("raw", "jpg"), ConfigError)


def defined(number, name="again"):
    """A function as a notebook's cell defines it: equal in module and name each time."""

    def again() -> Strategy:
        return Strategy(name, [[Solarize(number)]])

    return again


def test_what_is_defined_again_takes_the_place_of_the_former(monkeypatch):
    monkeypatch.setattr(STRATEGIES, "_items", dict(STRATEGIES._items))
    for threshold in (100, 200):
        STRATEGIES.register(defined(threshold))
    assert strategy("again").variants[0][0].params()[:2] == [200.0, 200.0]


@pytest.mark.parametrize(
    ("kind", "words"), [("strategy", "two strategies are named 'x': "), ("view set", "two view sets are named 'x': ")]
)
def test_a_name_given_to_two_is_refused_in_a_sentence(kind, words):
    registry = Registry(kind)
    registry.register(defined(3), name="x")
    with pytest.raises(ConfigError, match=words + ".*defined.*again and .*defined; give one of them another name"):
        registry.register(defined, name="x")
    assert registry["x"].__name__ == "again"
