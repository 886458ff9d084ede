"""data_loading.ffcv: what arguments of FFCV's scripts mean, which are refused, and where names can be imported from."""

from importlib import import_module

import numpy as np
import pytest
import torch

import data_loading.ffcv as ffcv
import data_loading.ffcv.transforms as T
from data_loading.errors import ConfigError, UserError, ViewError
from data_loading.ffcv.fields import RGBImageField
from data_loading.ffcv.fields.basics import IntDecoder
from data_loading.ffcv.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from data_loading.ffcv.loader import Loader, OrderOption
from data_loading.ffcv.pipeline.operation import Moment
from data_loading.ffcv.reader import Reader
from data_loading.ffcv.traversal_order import QuasiRandom, Random, Sequential
from data_loading.ffcv.traversal_order.base import TraversalOrder
from ffcv_files import Photographs, write

SQUARE = Photographs(20, sides=24)


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    return write(tmp_path_factory.mktemp("arguments") / "square.beton", SQUARE)


def cache(*args, **kwargs):
    return Loader(*args, **kwargs)._source._cache.kind


def test_os_cache_by_keyword_is_true_or_false_as_a_number_too(square, monkeypatch):
    for value in (1, True, np.int64(1), np.bool_(True)):
        assert cache(square, 8, os_cache=value) == "page"
    for value in (0, False, np.int64(0), np.bool_(False)):
        assert cache(square, 8, os_cache=value) == "process"
    for variable, kind in (("0", "page"), ("1", "process")):
        monkeypatch.setenv("FFCV_DEFAULT_CACHE_PROCESS", variable)
        assert cache(square, 8, os_cache=None) == cache(square, 8) == kind


def test_the_fourth_position_is_os_cache_or_as_an_int_erows_cache_type(square):
    assert [cache(square, 8, 2, value) for value in (True, False)] == ["page", "process"]
    assert [cache(square, 8, 2, value) for value in (0, 1, 2)] == ["page", "process", "shared"]
    assert [cache(square, 8, cache_type=value) for value in (0, 1, 2)] == ["page", "process", "shared"]
    # FFCV-SSL has no cache_type, so behind an OrderOption a number is true or false
    assert [cache(square, 8, OrderOption.RANDOM, 2, value) for value in (1, 0, True)] == ["page", "process", "page"]


def test_an_unused_compress_probability_may_be_none():
    for mode in ("raw", "jpg", "png", "smart", "keep"):
        assert RGBImageField(write_mode=mode, max_resolution=None, compress_probability=None).write_mode == mode
    with pytest.raises(
        ConfigError, match='compress_probability is None; write_mode "proportion" needs a number from 0'
    ):
        RGBImageField(write_mode="proportion", compress_probability=None)
    with pytest.raises(ConfigError, match="compress_probability is 2"):
        RGBImageField(compress_probability=2)


# Operations


def test_one_value_of_a_fill_is_that_of_all_channels(square):
    for one, three in (
        (T.Cutout(4, fill=3, seed=0), T.Cutout(4, fill=np.array([3, 3, 3]), seed=0)),
        (T.RandomTranslate(4, fill=3, seed=0), T.RandomTranslate(4, fill=(3, 3, 3), seed=0)),
        (T.RandomErasing(1.0, mean=3, seed=0), T.RandomErasing(1.0, mean=[3.0] * 3, seed=0)),
    ):
        found = []
        for op in (one, three):
            ((images,),) = Loader(square, 20, pipelines={"image": [SimpleRGBImageDecoder(), op], "label": None})
            found.append(images)
        assert torch.equal(*found) and (found[0] == 3).all(3).any()


def test_numpys_numbers_are_numbers(square):
    for crop in (
        T.RandomResizedCrop(np.int64(8)),
        T.RandomResizedCrop(np.array([8, 8])),
        T.RandomResizedCrop(np.array([0.3, 1.0]), (1, 1), np.int64(8)),
        CenterCropRGBImageDecoder((np.int32(8), 8), np.float32(0.5)),
    ):
        ((images,),) = Loader(square, 20, pipelines={"image": [crop], "label": None})
        assert images.shape == (20, 8, 8, 3)
    assert T.RandomColorJitter(brightness=np.float32(0.5)).brightness == 0.5
    assert len(Loader(square, np.int64(8), np.int64(2))) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.Cutout("a"), "Cutout: crop_size is 'a'; it must be an integer"),
        (lambda: T.Cutout(4.5), "Cutout: crop_size is 4.5; it must be an integer"),
        (lambda: T.Cutout(4, fill=(1, 2)), r"Cutout: fill is \(1, 2\); it is one value for all channels, or three"),
        (lambda: T.Cutout(4, fill=None), "Cutout: fill is None; it must be a number from 0 to 255"),
        (lambda: T.RandomTranslate(None), "RandomTranslate: padding is None; it must be an integer"),
        (lambda: T.RandomBrightness("x"), "RandomBrightness: magnitude is 'x'; it must be a number from 0 to 99"),
        (lambda: T.RandomBrightness(-1), "RandomBrightness: magnitude is -1; it must be a number from 0 to 99"),
        (lambda: T.RandomContrast(0.5, p=2), "p is 2; it must be a number from 0 to 1"),
        (lambda: T.RandomColorJitter(hue=None), "RandomColorJitter: hue is None; it is a strength, or a pair"),
        (lambda: T.RandomColorJitter(hue="ab"), "RandomColorJitter: hue is 'ab'; it is a strength, or a pair"),
        (lambda: T.RandomHorizontalFlip(None), "p is None; it must be a number from 0 to 1"),
        (lambda: T.GaussianBlur(sigma=None), "sigma is None; it must be two numbers"),
        (lambda: T.RandomErasing(scale=3), "scale is 3; it must be two numbers"),
        (lambda: T.Rotate(angle="x"), "Rotate: angle is 'x'; it must be a number"),
        (lambda: T.RandomResizedCrop(8, scale=None), "RandomResizedCrop: scale is None; it must be two numbers"),
        (lambda: T.RandomResizedCrop((8.5, 8.5)), r"output_size is \(8.5, 8.5\); views are square here, whole pixels"),
        (lambda: T.RandomResizedCrop("ab"), "output_size is 'ab'; views are square here"),
        (lambda: T.RandomResizedCrop((0, 0)), r"output_size is \(0, 0\); views are square here"),
        (lambda: RandomResizedCropRGBImageDecoder(None), "output_size is None; views are square here"),
        (lambda: CenterCropRGBImageDecoder(8, "x"), "CenterCrop: ratio is 'x'; it must be a number"),
        (lambda: T.CornerCrop(8, 0.5, "middle"), "CornerCrop: corner is 'middle'; choose one of top_left"),
        (lambda: T.NormalizeImage("a", "b", np.float32), "NormalizeImage: mean 'a' and std 'b' need three numbers"),
        (lambda: T.NormalizeImage([1, 2, "x"], [1, 2, 3], np.float32), "need three numbers each, std above 0"),
        (lambda: T.NormalizeImage(None, None, np.float32), "need three numbers each, std above 0"),
        (lambda: T.ReplaceLabel([1.5], 3), r"ReplaceLabel: indices are \[1.5\]; they are rows of the file"),
        (lambda: T.ReplaceLabel([True], 3), r"ReplaceLabel: indices are \[True\]; they are rows of the file"),
        (lambda: T.ReplaceLabel([1], "x"), "ReplaceLabel: new_label is 'x'; it is a number"),
    ],
)
def test_operations_that_suit_no_view_are_refused_in_a_sentence_when_they_are_made(make, message):
    with pytest.raises(ViewError, match=message):
        make()


def test_an_assignment_that_cannot_be_is_refused_in_the_next_epoch(square):
    decoder = RandomResizedCropRGBImageDecoder((16, 16))
    loader = Loader(square, 8, pipelines={"image": [decoder]})
    decoder.output_size = (16, 20)
    with pytest.raises(ViewError, match=r"output_size is \(16, 20\); views are square"):
        iter(loader)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pipelines": [1, 2]}, r"pipelines is \[1, 2\]; it is a dict of names and lists of operations"),
        ({"custom_field_mapper": "image"}, "custom_field_mapper is 'image'; it is a dict"),
        ({"num_workers": None}, "num_workers is None; it must be an integer"),
        ({"num_workers": "a"}, "num_workers is 'a'; it must be an integer"),
        ({"batch_size": "a"}, "batch_size is 'a'; it must be an integer"),
    ],
)
def test_a_loaders_arguments_of_a_wrong_type_are_refused_in_a_sentence(square, arguments, message):
    with pytest.raises(UserError, match=message):
        Loader(square, **{"batch_size": 8, **arguments})
    with pytest.raises(ConfigError, match="pipelines is None; it is a dict"):
        Loader(square, 8).compile_pipeline(None)


def test_an_order_of_ones_own_is_refused_by_the_loader(square):
    class Backwards(TraversalOrder):
        pass

    with pytest.raises(ConfigError, match="An order of your own: OrderOption.SEQUENTIAL with `indices`"):
        Loader(square, 8, order=Backwards)


# Filters


@pytest.mark.parametrize("pipelines", [{}, {"image": None}], ids=["images", "labels only"])
@pytest.mark.parametrize("order", [OrderOption.RANDOM, OrderOption.QUASI_RANDOM])
def test_a_filter_that_leaves_less_than_a_batch_gives_a_short_or_an_empty_loader(square, pipelines, order):
    given = {"order": order, "pipelines": pipelines}
    dropping = Loader(square, 8, **given).filter("label", lambda label: label == 3)
    assert dropping.indices.tolist() == [3, 10, 17]
    assert [len(dropping), list(dropping), list(dropping), dropping.next_epoch] == [0, [], [], 2]
    keeping = Loader(square, 8, drop_last=False, **given).filter("label", lambda label: label == 3)
    assert len(keeping) == 1 and [batch[-1].flatten().tolist() for batch in keeping] == [[3, 3, 3]]
    none = keeping.filter("label", lambda label: False)
    assert [len(none), list(none), none.indices.tolist()] == [0, [], []]
    assert dropping.filter("label", lambda label: True).indices.tolist() == [3, 10, 17]
    assert list(none.filter("label", bool)) == []


# What runs in the consumer's thread


class Counted(torch.Tensor):
    """A tensor that counts how often it is copied to a device; what is computed with it is a plain one."""

    copies = 0
    __torch_function__ = torch._C._disabled_torch_function_impl

    def to(self, *args, **kwargs):
        Counted.copies += 1
        return super().to(*args, **kwargs)


def test_normalize_copies_mean_and_std_once_to_a_device():
    op = T.NormalizeImage([120, 110, 100], [60, 50, 40], np.float32)
    op.mean, op.std, Counted.copies = op.mean.as_subclass(Counted), op.std.as_subclass(Counted), 0
    x = torch.from_numpy(SQUARE.images()[:4])
    last, first = Moment(None, 0, 0), Moment(None, 0, 0, channels=1)
    for _ in range(3):
        expected = (x.float() - torch.tensor([120.0, 110, 100])) / torch.tensor([60.0, 50, 40])
        assert torch.equal(op.run(x, last), expected)
        found = op.run(x.permute(0, 3, 1, 2), first)
        assert torch.equal(found.permute(0, 2, 3, 1), expected)
    assert Counted.copies == 2


def test_normalize_and_one_hot_labels_ask_a_device_for_no_value(square):
    # a tensor on "meta" has no values: what would wait for those of a GPU raises there
    image = [T.ToTensor(), T.ToDevice("meta"), T.ToTorchImage(), T.NormalizeImage([1, 2, 3], [1, 2, 3], np.float16)]
    for classes, fits in ((7, True), (3, False)):
        label = [IntDecoder(), T.LabelMixup(0.5, False), T.ToTensor(), T.ToDevice("meta"), T.MixupToOneHot(classes)]
        loader = Loader(square, 4, pipelines={"image": [SimpleRGBImageDecoder(), *image], "label": label})
        if fits:
            assert [(x.shape, y.shape) for x, y in loader] == [((4, 3, 24, 24), (4, 7))] * 5
        else:
            with pytest.raises(ViewError, match="labels run from 0 to 3; num_classes is 3"):
                next(iter(loader))


# Where names are


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("loader.loader", "Loader OrderOption"),
        ("reader", "Reader"),
        ("traversal_order", "QuasiRandom Random Sequential"),
        ("traversal_order.base", "TraversalOrder"),
        ("fields.base", "Field"),
        ("fields.bytes", "BytesDecoder BytesField"),
        ("transforms.color_jitter", "RandomBrightness RandomColorJitter RandomContrast RandomSaturation"),
        ("transforms.colorjitter", "LabelColorJitter RandomColorJitter"),
        ("transforms.cutout", "Cutout"),
        ("transforms.flip", "LabelRandomHorizontalFlip RandomHorizontalFlip RandomVerticalFlip"),
        ("transforms.gaussian_blur", "GaussianBlur LabelGaussianBlur"),
        ("transforms.grayscale", "LabelGrayscale RandomGrayscale"),
        ("transforms.mixup", "ImageMixup LabelMixup MixupToOneHot"),
        ("transforms.solarization", "LabelSolarization RandomSolarization"),
    ],
)
def test_names_are_one_thing_wherever_ffcv_has_them(module, names):
    part = import_module(f"data_loading.ffcv.{module}")
    homes = (ffcv.loader, ffcv.reader, ffcv.fields, ffcv.fields.basics, ffcv.traversal_order, T)
    for name in names.split():
        found = {id(getattr(home, name)) for home in homes if hasattr(home, name)}
        assert found <= {id(getattr(part, name))} and (found or name == "TraversalOrder")


def test_operations_are_found_as_attributes_of_ffcv_ssls_modules(square):
    ops = [T.flip.RandomHorizontalFlip(flip_prob=0.5), T.grayscale.RandomGrayscale(gray_prob=0.2)]
    jitter = T.colorjitter.RandomColorJitter(jitter_prob=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    blur = T.gaussian_blur.GaussianBlur(blur_prob=0.5)
    pipelines = {"image": [SimpleRGBImageDecoder(), *ops, jitter, blur, T.ops.ToTensor()], "label": None}
    assert next(iter(Loader(square, 8, pipelines=pipelines)))[0].shape == (8, 24, 24, 3)


def test_ffcvs_orders_are_options_and_its_reader_reads_a_file(square):
    assert (Random, Sequential, QuasiRandom) == (
        OrderOption.RANDOM,
        OrderOption.SEQUENTIAL,
        OrderOption.QUASI_RANDOM,
    )
    reader = Reader(square)
    assert (reader.num_samples, reader.field_names) == (20, ["image", "label"])
    assert list(reader.handlers) == ["image", "label"] and reader.values("label", [3]).tolist() == [3]
