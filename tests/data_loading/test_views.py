"""A view set says which views are drawn of an image, and from which boxes."""

import numpy as np
import pytest
import yaml

from data_loading import ViewSet
from data_loading.errors import UnknownName, ViewError
from data_loading.ops import GaussianBlur, HorizontalFlip, Op, RandomResizedCrop, UniformCrop
from data_loading.ops.crop import Crop
from data_loading.strategies import STRATEGIES, Strategy
from data_loading.views import view_sets
from data_loading.views.view_sets import VIEW_SETS


def test_views_are_strategy_major_and_globals_come_before_locals():
    view_set = ViewSet(["simclr", "byol"], crops=2, size=224, local=1, local_size=96)
    names = ["simclr.0", "simclr.1", "byol.0", "byol.1", "simclr.local0", "byol.local0"]
    assert [v.name for v in view_set.views] == names
    assert [v.role for v in view_set.views] == ["global"] * 4 + ["local"] * 2
    assert [v.size for v in view_set.views] == [224] * 4 + [96] * 2


def test_shared_crops_give_one_box_to_every_strategy():
    assert [v.crop for v in ViewSet(["simclr", "byol"], crops=2, shared_crops=True).views] == [0, 1, 0, 1]


def test_without_sharing_each_view_has_its_own_box():
    assert [v.crop for v in ViewSet(["simclr", "byol"], crops=2, shared_crops=False).views] == [0, 1, 2, 3]


def test_crop_c_takes_variant_c_modulo_the_number_of_variants():
    view_set = ViewSet(["byol"], crops=3)
    assert [v.variant for v in view_set.views] == [0, 1, 0]
    blur = [next(op.p for op in view_set.programs(v)[0] if type(op).__name__ == "GaussianBlur") for v in range(3)]
    assert blur == [1.0, 0.1, 1.0]


def test_a_strategy_named_twice_makes_views_of_different_names():
    assert [v.name for v in ViewSet(["simclr", "simclr"], crops=1).views] == ["simclr.0", "simclr#2.0"]


FOUR = ["simclr", "randaugment", "autoaugment", "fastautoaugment"]


def test_the_massrl_view_set_is_two_shared_crops_under_four_strategies():
    view_set = view_sets.get("massrl")
    assert [v.strategy for v in view_set.views] == [name for name in FOUR for _ in range(2)]
    assert [v.crop for v in view_set.views] == [0, 1] * 4


@pytest.mark.parametrize(
    ("name", "views", "crops", "strategies"),
    [
        ("massrl_2", 2, 2, FOUR),
        ("massrl_figure", 2, 2, FOUR[:3]),
        ("massrl_pytorch", 8, 2, FOUR),
        ("massrl_tensorflow", 4, 4, ["massrl_tf_simclr", "massrl_tf_autoaugment"]),
        ("massrl32", 8, 2, ["simclr32", *FOUR[1:]]),
        ("simclr_8", 8, 8, ["simclr"]),
        ("simclr_2x4", 8, 2, ["simclr"] * 4),
        ("swav_multicrop", 8, 8, ["swav"]),
        ("dino_multicrop", 10, 10, ["dino"]),
        ("mae", 1, 1, ["mae"]),
    ],
)
def test_a_named_view_set_has_its_views_crops_and_strategies(name, views, crops, strategies):
    view_set = view_sets.get(name)
    assert (len(view_set), len({v.crop for v in view_set.views})) == (views, crops)
    assert [s.name for s in view_set.strategies] == strategies
    assert ViewSet.from_dict(view_set.to_dict()).to_dict() == view_set.to_dict()


@pytest.mark.parametrize("name", ["multicrop", "swav_multicrop", "dino_multicrop", "mv_massrl", "mv_massrl_dino"])
def test_local_views_are_as_large_as_beside_224_pixels_and_smaller_beside_smaller_ones(name):
    usual = view_sets.get(name).local_size
    sizes = [view_sets.get(name, size).local_size for size in (384, 224, 192, 112, 32, 16, 1)]
    assert usual in (94, 96) and sizes == [usual, usual, 80, 48, 16, 6, 1]


def test_only_the_massrl_sets_of_two_views_draw_their_strategy():
    assert {n for n in VIEW_SETS if view_sets.get(n).assign == "drawn"} == {"massrl_2", "massrl_figure"}


BICUBIC = {"barlow", "byol", "byol32", "dino", "mae", "moco32", "three_augment", "vicreg", "vicreg32"}


def test_the_recipes_whose_code_resizes_bicubically_do():
    assert {name for name in STRATEGIES if STRATEGIES[name]().interpolation == "bicubic"} == BICUBIC
    of_sets = {name for name in VIEW_SETS if view_sets.get(name).interpolation == "bicubic"}
    assert of_sets == {"massrl_pytorch", "dino_multicrop", "mae"}


def test_the_view_sets_of_massrls_code_crop_and_flip_as_it_does():
    flips = [s.variants[0][0].p for s in view_sets.get("massrl_pytorch").strategies]
    assert flips == [0.5, 0.0, 0.0, 0.0] and view_sets.get("massrl_pytorch").interpolation == "bicubic"
    for name in ("massrl_figure", "massrl_tensorflow"):
        assert isinstance(view_sets.get(name).crop_rule(0), UniformCrop)
    assert view_sets.get("massrl_pytorch").crop_rule(0).scale == (0.08, 1.0)


def test_multicrop_views_of_dino_take_its_third_list_of_ops_and_its_own_areas():
    view_set = view_sets.get("dino_multicrop")
    assert [v.size for v in view_set.views] == [224] * 2 + [96] * 8 and view_set.interpolation == "bicubic"
    assert [view_set.crop_rule(c).scale for c in (0, 1, 2, 9)] == [(0.4, 1.0)] * 2 + [(0.05, 0.4)] * 2
    assert [view_set.programs(v)[0][3].p for v in (0, 1, 2, 9)] == [1.0, 0.1, 0.5, 0.5]  # of the blur


def test_names_with_a_plus_are_strategies_on_two_shared_crops():
    view_set = view_sets.get("simclr+randaugment+autoaugment", size=64)
    assert [v.crop for v in view_set.views] == [0, 1] * 3 and {v.size for v in view_set.views} == {64}
    with pytest.raises(UnknownName, match="no strategy named 'randaug'. Did you mean 'randaugment'"):
        view_sets.get("simclr+randaug")


def test_a_strategys_name_means_two_crops_of_it():
    assert [v.name for v in view_sets.get("simclr32").views] == ["simclr32.0", "simclr32.1"]


def test_the_size_may_be_overridden():
    assert {v.size for v in view_sets.get("simclr", size=96).views} == {96}
    assert view_sets.get("digits_massrl").size == 8


def test_evaluation_of_small_images_cuts_nothing_off():
    assert view_sets.get("eval", 32).crop_rule(0).ratio == 1.0
    assert view_sets.get("eval", 224).crop_rule(0).ratio == 224 / 256


def test_a_config_and_back_is_the_same_view_set():
    view_set = ViewSet(["simclr", "byol"], crops=2, size=96, shared_crops=True, local=2, crop_scale=(0.2, 1.0))
    again = ViewSet.from_dict(view_set.to_dict())
    assert again.views == view_set.views and again.to_dict() == view_set.to_dict()
    assert isinstance(again.crop_rule(0), RandomResizedCrop) and again.crop_rule(0).scale == (0.2, 1.0)


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="no view set or strategy named 'simclt'. Did you mean 'simclr'"):
        view_sets.get("simclt")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategies": []}, "a list of at least one"),
        ({"strategies": "simclr"}, "a list of at least one"),
        ({"strategies": ["simclr"], "crops": 0}, "at least one crop"),
        ({"strategies": ["simclr"], "size": 0}, "size is 0"),
        (
            {"strategies": ["eval"], "crop_scale": (0.2, 1.0)},
            "strategy 'eval', whose crop is CenterCrop; leave them out",
        ),
        ({"strategies": ["pad_flip"], "crop_ratio": (1.0, 1.0)}, "whose crop is PadCrop"),
        ({"strategies": ["simclr"], "crop_scale": 0}, "scale is 0"),
        ({"strategies": ["simclr"], "interpolation": "cubic"}, "is 'cubic'. Did you mean 'bicubic'"),
        ({"strategies": ["simclr"], "assign": ["drawn"]}, "Choose one of all, drawn"),
        ({"strategies": {"simclr": 1}}, "a list of at least one"),
        ({"strategies": 3}, "a list of at least one"),
        ({"strategies": ["none"] * 256}, "at most 255 strategies; 256 are given"),
        ({"strategies": ["simclr"], "own_sizes": True, "size": 48}, "own_sizes does not go with a size .48."),
        ({"strategies": ["simclr"], "crop_scale": (0.5, 0.2)}, "scale"),
    ],
)
def test_impossible_view_sets_are_refused(arguments, words):
    with pytest.raises(ViewError, match=words):
        ViewSet(**arguments)


@pytest.mark.parametrize("name", ["crops", "size", "local", "local_size"])
@pytest.mark.parametrize("value", ["224", "two", 32.5, -1, True, float("nan"), [2], 5000])
def test_a_number_of_a_view_set_that_is_not_whole_or_out_of_range_is_refused(name, value):
    with pytest.raises(ViewError, match=f"{name} is .*; it must be an integer from [01] to "):
        ViewSet(**{"strategies": ["simclr"], name: value})


@pytest.mark.parametrize("name", ["shared_crops", "disjoint", "own_sizes"])
@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_flag_of_a_view_set_that_is_not_true_or_false_is_refused(name, value):
    with pytest.raises(ViewError, match=f"{name} is .*; it must be true or false"):
        ViewSet(**{"strategies": ["simclr"], name: value})


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (None, "views is None; write the name"),
        (3, "views is 3; write the name"),
        ([], "a list of at least one"),
        ([None], "None is no strategy"),
        (["simclr", "byoll"], "no strategy named 'byoll'. Did you mean 'byol'"),
        ("simclr+", "no strategy named ''"),
        ("", "no view set or strategy named ''"),
        (".", "cannot be imported"),
        ("data_loading.ops", "is no class or function but a module"),
        ({"strategies": "[simclr"}, r"strategies is '\[simclr', which is not valid YAML"),
        ({"strategies": ["simclr"], 1: 2}, "a view set has no argument 1"),
        ({"strategies": [{"class_path": ["simclr"]}]}, r"class_path is \['simclr'\]; write the name"),
        ({"strategies": [{"class_path": 3}]}, "class_path is 3; write the name of one strategy"),
        ({"strategies": [{"class_path": "builtins.max"}]}, "builtins.max is no Strategy"),
        ({"strategies": [{"class_path": "simclr", "init_args": [1]}]}, r"simclr: its arguments are \[1\]; write them"),
        ({"strategies": [{"class_path": "simclr", "init_args": ""}]}, "simclr: its arguments are ''"),
        ({"strategies": [{"class_path": "simclr", "init_args": {1: 2}}]}, "simclr has no argument 1. Known: jitter"),
        ({"strategies": [{"name": "mine", "variants": [[]], "size": "big"}]}, "'mine': Strategy: size is 'big'"),
        ({"strategies": [{"name": "mine", "variants": [[]], "interpolation": 3}]}, "interpolation is 3"),
        (
            {"strategies": [{"name": None, "variants": [[]]}]},
            "the name of a strategy is None; it must be a non-empty string",
        ),
        ({"strategies": [{"name": 7, "variants": [[]]}]}, "the name of a strategy is 7"),
        ({"strategies": [{"name": "mine", "variants": []}]}, "strategy 'mine': variants is empty"),
        ({"strategies": [{"name": "mine", "variants": [[]], "local": "HorizontalFlip"}]}, "local is 'HorizontalFlip'"),
        ({"strategies": [{"name": "mine"}]}, "missing 1 required"),
    ],
)
def test_views_that_cannot_be_read_are_refused_in_a_sentence(which, words):
    with pytest.raises((ViewError, UnknownName), match=words) as caught:
        view_sets.get(which)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["simclr", "eval", "simclr+byol"])
@pytest.mark.parametrize("size", ["224", 32.5, 0, True])
def test_a_size_that_is_no_side_is_refused_for_every_way_of_naming_views(name, size):
    with pytest.raises(ViewError, match="size is .*; it must be an integer from 1 to 4096"):
        view_sets.get(name, size)


@pytest.mark.parametrize("variants", [[HorizontalFlip()], None, ["HorizontalFlip"], "HorizontalFlip", 3, {"a": []}])
def test_a_bracket_too_few_in_the_variants_of_a_strategy_is_named(variants):
    with pytest.raises(
        ViewError, match=r"'x': variants is .*; it must be a list of lists of ops, as \[\[HorizontalFlip"
    ):
        Strategy("x", variants)


def test_views_of_own_sizes_have_no_common_one():
    view_set = ViewSet([Strategy("a", [[]], size=24), Strategy("b", [[]], size=64)], crops=1, own_sizes=True)
    assert [v.size for v in ViewSet.from_dict(view_set.to_dict()).views] == [24, 64]
    assert view_set.with_size(None) is view_set
    with pytest.raises(ViewError, match="own_sizes does not go with a size"):
        view_set.with_size(48)
    with pytest.raises(ViewError, match="own_sizes does not go with a size"):
        view_sets.get(view_set.to_dict(), 48)


def test_a_list_of_strategies_means_what_their_names_with_a_plus_mean():
    assert view_sets.get(["simclr", "byol"], 32).to_dict() == view_sets.get("simclr+byol", 32).to_dict()
    assert view_sets.get(["simclr"]).to_dict() == view_sets.get("simclr").to_dict()
    written = view_sets.get([{"class_path": "simclr", "init_args": {"blur": 1.0}}, "byol"])
    assert [v.crop for v in written.views] == [0, 1, 0, 1] and written.strategies[0].variants[0][3].p == 1.0


def test_the_first_strategys_interpolation_is_taken_unless_another_is_said():
    assert view_sets.get("simclr").interpolation == view_sets.get("simclr+byol").interpolation == "bilinear"
    assert view_sets.get("byol+simclr").interpolation == "bicubic"
    assert ViewSet(["byol"], interpolation="bilinear").interpolation == "bilinear"
    mine = Strategy("mine", [[]], interpolation="bicubic")
    again = ViewSet.from_dict(ViewSet([mine], crops=1).to_dict())
    assert again.interpolation == "bicubic" and again.strategies[0].to_config() == mine.to_config()
    of_bilinear = ViewSet.from_dict(ViewSet(["byol"], interpolation="bilinear").to_dict())
    assert of_bilinear.with_size(32).interpolation == "bilinear"


def test_crop_scale_keeps_the_stream_of_the_rule_that_it_changes():
    rule = RandomResizedCrop((0.08, 1.0), (1.0, 1.0), name="mine", share="box", seed=3, fixed=True)
    found = ViewSet([Strategy("one", [[]], crop=rule)], crops=1, crop_scale=(0.5, 1.0)).crop_rule(0)
    assert (found.scale, found.ratio) == ((0.5, 1.0), (1.0, 1.0))
    assert (found.name, found.share, found.seed, found.fixed) == ("mine", "box", 3, True)


def test_numpy_numbers_are_plain_in_a_config():
    blur = GaussianBlur(
        (np.float32(0.5), np.float64(2.0)), p=np.float64(0.25), share=np.str_("b"), fixed=np.bool_(True)
    )
    jitter = {"class_path": "simclr", "init_args": {"jitter": np.array([0.5, 0.25, 0.5, 0.125]), "blur": np.float32(1)}}
    mine = Strategy("mine", [[blur]], size=np.int64(24))
    view_set = ViewSet(
        [mine, jitter], np.int64(2), np.int32(16), np.bool_(True), crop_scale=np.array([0.25, 1.0]), local=np.uint8(1)
    )
    held = view_set.to_dict()
    assert yaml.safe_load(yaml.safe_dump(held)) == held and held["crop_scale"] == [0.25, 1.0]
    assert ViewSet.from_dict(held).to_dict() == held


@pytest.mark.parametrize("scale", [0.2, [0.2], [0.2, "x"]])
def test_a_crop_scale_that_is_no_pair_is_refused(scale):
    with pytest.raises(ViewError):
        ViewSet.from_dict({"strategies": ["simclr"], "crop_scale": scale})


def test_an_unknown_key_of_a_view_set_is_named():
    with pytest.raises(ViewError, match="sizes"):
        ViewSet.from_dict({"strategies": ["simclr"], "sizes": 3})


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_is_built_with_ops_and_a_crop(name):
    made = STRATEGIES[name]()
    assert made.name == name and STRATEGIES.summary(name)
    assert all(isinstance(op, Op) for ops in made.variants for op in ops)
    assert isinstance(made.crop, Crop)


@pytest.mark.parametrize("name", list(VIEW_SETS))
def test_every_view_set_is_built(name):
    assert len(view_sets.get(name)) >= 1 and VIEW_SETS.summary(name)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if n.startswith("digits")])
def test_digits_are_never_mirrored(name):
    assert not any(isinstance(op, HorizontalFlip) for ops in STRATEGIES[name]().variants for op in ops)


def test_an_import_path_stands_for_two_crops_of_that_strategy():
    assert [v.name for v in view_sets.get("data_loading.strategies.byol.byol").views] == ["byol.0", "byol.1"]
    with pytest.raises(UnknownName, match="cannot be imported"):
        view_sets.get("my_file.gray")


def test_a_strategy_of_ones_own_is_used_like_a_named_one():
    mine = Strategy("mine", [[HorizontalFlip(p=1.0)]], crop=RandomResizedCrop((0.5, 1.0)), size=16)
    assert [v.name for v in ViewSet([mine, "byol"], crops=1).views] == ["mine.0", "byol.0"]
