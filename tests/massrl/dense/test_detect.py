"""Detection: the detector's parts, average precision with known answers, and what is refused."""

import dataclasses
import importlib.util
import math
import pickle
from functools import partial

import pytest
import torch

import massrl
from data_loading.errors import ConfigError, SourceError, UnknownName
from massrl.backbones import build
from massrl.cli.dense import NETWORK
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint
from massrl.dense import detect as module
from massrl.dense.coco import read_coco
from massrl.dense.detect import Detector, Pyramid, _flipped, _per_class, _read, average_precision, faster_rcnn
from massrl.dense.recipes import DetectFrozen, DetectMoCo
from massrl.dense.shapes import SHAPES, write_scenes

MEAN = STD = (0.5, 0.5, 0.5)
QUICK = {"size": 64, "fpn_channels": 16, "num_workers": 0, "accelerator": "cpu", "devices": 1, "progress": False}
needs_metric = pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("pycocotools", "faster_coco_eval")),
    reason="no COCO metric installed: pip install massrl[detection]",
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    home = tmp_path_factory.mktemp("scenes")
    train, test = (write_scenes(home / part, n, seed, 64, True) for part, n, seed in (("a", 16, 0), ("b", 6, 1)))
    return train, test, sample_checkpoint(home, train / "images", **NETWORK)


def inputs(train, test):
    return train / "images", train / "instances.json", test / "images", test / "instances.json"


# ---- the detector


def test_a_resnets_detector_has_the_anchors_and_levels_of_torchvisions_own():
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    ours = faster_rcnn(build("resnet50"), 90, DetectFrozen(), MEAN, STD)
    theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    assert ours.rpn.anchor_generator.sizes == theirs.rpn.anchor_generator.sizes
    assert ours.rpn.anchor_generator.aspect_ratios == theirs.rpn.anchor_generator.aspect_ratios
    assert ours.roi_heads.box_roi_pool.featmap_names == theirs.roi_heads.box_roi_pool.featmap_names
    assert [p.shape for p in ours.backbone.fpn.parameters()] == [p.shape for p in theirs.backbone.fpn.parameters()]
    assert [p.shape for p in ours.roi_heads.parameters()] == [p.shape for p in theirs.roi_heads.parameters()]
    assert [p.shape for p in ours.rpn.parameters()] == [p.shape for p in theirs.rpn.parameters()]


def test_a_resnets_pyramid_gives_what_torchvisions_gives_with_the_same_weights():
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    torch.manual_seed(0)
    backbone = build("resnet18").eval()
    ours = Pyramid(backbone, 16, 0, "frozen").eval()
    layers = {f"layer{i}": str(i - 1) for i in range(1, 5)}
    theirs = BackboneWithFPN(backbone, layers, [64, 128, 256, 512], 16, LastLevelMaxPool()).eval()
    theirs.fpn.load_state_dict(ours.fpn.state_dict())
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found, expected = ours(x), theirs(x)
    assert list(found) == list(expected) == ["0", "1", "2", "3", "pool"]
    for level, value in expected.items():
        torch.testing.assert_close(found[level], value)


def test_frozen_groups_and_norms_stay_as_they_are_in_training():
    pyramid = Pyramid(build("resnet18"), 16, 4, "frozen").train()
    assert not any(p.requires_grad for group in pyramid.stages.groups[:4] for p in group.parameters())
    trained = {name for name, p in pyramid.stages.groups[4].named_parameters() if p.requires_grad}
    assert trained and all("conv" in name or "downsample.0" in name for name in trained)
    assert not any(part.training for part in pyramid.stages.modules() if isinstance(part, torch.nn.BatchNorm2d))
    free = Pyramid(build("resnet18"), 16, 0, "trained").train()
    assert all(p.requires_grad for p in free.parameters())
    assert all(part.training for part in free.modules())
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in free.fpn.modules())
    with pytest.raises(ConfigError, match="frozen is 6; the backbone has 5 groups, stem included"):
        Pyramid(build("resnet18"), 16, 6, "frozen")


@pytest.mark.parametrize("changed", [{"norm": "frozen"}, {"frozen": 2}])
def test_an_untrained_backbone_with_norms_that_do_not_learn_is_calibrated(monkeypatch, changed):
    class Calibrated(Exception):
        pass

    def stop(*_):
        raise Calibrated

    monkeypatch.setattr(module, "calibrated", stop)
    boxes = type("Boxes", (), {"with_boxes": lambda self: []})()
    of = type("Of", (), {"untrained": lambda self, seed: build("resnet18"), "mean": MEAN, "std": STD})()
    protocol = dataclasses.replace(DetectMoCo(), **{"norm": "trained", "frozen": 0, **changed})
    with pytest.raises(Calibrated):
        module._measured(module.UNTRAINED, of, protocol, boxes, [], None, 0, 0)


def test_boxes_are_mirrored_with_their_image_and_crowds_are_left_out():
    image = torch.zeros(3, 8, 20, dtype=torch.uint8)
    image[:, 2:5, 1:4] = 255
    target = {"boxes": torch.tensor([[1.0, 2, 4, 5], [0, 0, 9, 9]]), "iscrowd": torch.tensor([0, 1])}
    seen = set()
    torch.manual_seed(0)
    for _ in range(20):
        changed, kept = _flipped(image, target)
        ((x1, y1, x2, y2),) = kept["boxes"].int().tolist()
        assert type(kept["boxes"]) is type(changed) is torch.Tensor
        assert (changed[:, y1:y2, x1:x2] == 255).all() and changed.sum() == image.sum()
        seen.add(x1)
    assert seen == {1, 16}


# ---- average precision


@needs_metric
def test_average_precision_has_known_answers():
    """Two images of one class: one box found exactly, one found with an IoU of .6, and one wrong box between them.

    By score: right, wrong, right (only at thresholds .5, .55 and .6). Precision at recall up to .5 is 1, beyond 2/3
    where the second counts: 51 of 101 recall points at 1, 50 at 2/3.
    """
    metric = average_precision()
    truth = [{"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.tensor([1])} for _ in range(2)]
    found = [
        {"boxes": torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]]), "scores": torch.tensor([0.9, 0.8])},
        {"boxes": torch.tensor([[0.0, 0, 10, 6]]), "scores": torch.tensor([0.7])},
    ]
    metric.update([{**one, "labels": torch.ones(len(one["boxes"]), dtype=torch.int64)} for one in found], truth)
    result = metric.compute()
    half, both = 51 / 101, (51 + 50 * 2 / 3) / 101
    assert float(result["map_50"]) == pytest.approx(both, abs=1e-6)
    assert float(result["map_75"]) == pytest.approx(half, abs=1e-6)
    assert float(result["map"]) in (
        pytest.approx((3 * both + 7 * half) / 10),
        pytest.approx((2 * both + 8 * half) / 10),
    )


@needs_metric
def test_the_precision_of_each_class_is_torchmetrics_own():
    from torchmetrics.detection import MeanAveragePrecision

    generator = torch.Generator().manual_seed(0)
    ours = average_precision()
    theirs = MeanAveragePrecision(class_metrics=True, backend=ours._coco_backend.backend)
    for _ in range(6):
        corners = 40 * torch.rand(5, 2, generator=generator)
        boxes = torch.cat([corners, corners + 20], 1)
        labels = torch.randint(1, 4, (5,), generator=generator)
        moved = {"boxes": boxes + 4 * torch.rand(5, 4, generator=generator), "labels": labels.roll(1),
                 "scores": torch.rand(5, generator=generator)}  # fmt: skip
        moved["labels"][:3] = labels[:3]
        for metric in (ours, theirs):
            metric.update([moved], [{"boxes": boxes, "labels": labels}])
    found, expected = ours.compute(), theirs.compute()
    assert _per_class(found["precision"]) == pytest.approx(expected["map_per_class"].tolist(), abs=1e-6)
    assert sum(_per_class(found["precision"])) / 3 == pytest.approx(float(found["map"]), abs=1e-6)


@needs_metric
def test_a_detector_that_finds_each_box_has_an_average_precision_of_one():
    torch.manual_seed(0)
    one = Detector(build("tiny_resnet", width=4, stages=2), SHAPES, DetectMoCo(fpn_channels=16).of_size(64), MEAN, STD)
    targets = [{"boxes": torch.tensor([[3.0, 4, 30, 40]]), "labels": torch.tensor([2]), "iscrowd": torch.tensor([0]),
                "area": torch.tensor([972.0])}]  # fmt: skip
    one.forward = lambda images: [{**targets[0], "scores": torch.tensor([0.8])}]
    one.test_step(([torch.zeros(3, 64, 64)], targets), 0)
    one.on_test_epoch_end()
    assert one.figures["ap"] == pytest.approx(1) and math.isnan(one.figures["ap_large"])
    assert one.per_class["square"] == pytest.approx(1) and math.isnan(one.per_class["circle"])


# ---- from end to end


@needs_metric
def test_the_result_says_what_it_depends_on(scenes):
    train, test, checkpoint = scenes
    found = massrl.detect(checkpoint, *inputs(train, test), steps=2, batch_size=2, untrained=True, **QUICK)
    record = found.to_dict()
    assert record["protocol"] == "detect-moco v1" and record["parameters"]["sizes"] == (64,)
    assert record["trained"]["ap"] == found.ap and 0 <= found.ap <= 1
    assert record["random"]["ap"] == found.untrained
    assert record["classes"] == list(SHAPES) and record["train_images"] == 16 and record["test_images"] == 6
    assert len(record["train_json_sha256"]) == 64
    assert "AP50" in repr(found) and "untrained network" in repr(found)
    assert record["warnings"] == [] and "WARNING" not in repr(found)


def test_workers_of_any_start_method_can_read_the_chosen_images(scenes):
    train, _, _ = scenes
    boxes = read_coco(inputs(train, train)[1], train / "images", "train")
    read = pickle.loads(pickle.dumps(partial(_read, boxes, boxes.with_boxes())))
    assert torch.equal(read(1)[0], boxes.read(boxes.with_boxes()[1])[0])


@needs_metric
def test_training_images_as_test_images_are_said_loudly(scenes):
    train, _, checkpoint = scenes
    found = massrl.detect(checkpoint, *inputs(train, train), steps=2, batch_size=2, untrained=False, **QUICK)
    assert repr(found).startswith("WARNING: the training and test images have the same content")


@needs_metric
@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"settings": "moko"}, UnknownName, "no settings named 'moko'"),
        ({"frozen": 9}, ConfigError, "frozen is 9"),
        ({"size": 0}, ConfigError, "size is 0"),
        ({"batch_size": 0}, ConfigError, "batch_size is 0"),
        ({"lr": 1e20, "steps": 8}, ConfigError, "the loss is .* lower lr"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(scenes, options, error, line):
    train, test, checkpoint = scenes
    with pytest.raises(error, match=line) as caught:
        massrl.detect(checkpoint, *inputs(train, test), **{"steps": 2, "batch_size": 2, **QUICK, **options})
    assert "\n" not in str(caught.value)


@needs_metric
def test_other_categories_in_the_test_are_refused(scenes, tmp_path):
    train, test, checkpoint = scenes
    other = tmp_path / "other.json"
    other.write_text((test / "instances.json").read_text().replace('"triangle"', '"star"'))
    with pytest.raises(SourceError, match="have other categories: star, triangle"):
        massrl.detect(checkpoint, *inputs(train, test)[:3], other, **QUICK)


def test_without_a_coco_metric_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install massrl\[detection\]"):
        average_precision()


@needs_metric
def test_check_runs_the_whole_way_on_generated_images_and_leaves_nothing(tmp_path, capsys):
    assert main(["detect", "--check"]) == 0
    said = capsys.readouterr().out
    assert "check: train: 4 generated images" in said and "AP50" in said and "check passed" in said
    assert list(tmp_path.iterdir()) == []
