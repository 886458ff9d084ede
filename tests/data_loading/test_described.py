"""Objects from configs and back, and what a wrong config is told."""

import pytest

from data_loading import Strategy
from data_loading.described import build, describe
from data_loading.errors import UnknownName, ViewError
from data_loading.ops import OPS, ColorJitter, Crop, Op, RandomResizedCrop, Solarize
from data_loading.strategies import strategy


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
