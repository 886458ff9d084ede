"""Segmentation: the metric against a plain count, known answers, and pretrained against random weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

import massrl
from data_loading.errors import CheckpointError, ConfigError, SourceError, UnknownName, UserError
from massrl.backbones import build
from massrl.cli.dense import NETWORK
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint
from massrl.dense.masks import IGNORED
from massrl.dense.recipes import Segment
from massrl.dense.segment import LinearHead, Segmenter, _Crop, slide
from massrl.dense.shapes import COLOURS, write_scenes

MEAN = STD = (0.5, 0.5, 0.5)
QUICK = {"size": 32, "num_workers": 0, "accelerator": "cpu", "devices": 1, "progress": False}


def segmenter(classes: int = 3, **settings) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(build("tiny_resnet", width=4), classes, Segment(**{"size": 32, **settings}), MEAN, STD)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Training and test scenes whose shapes have a colour each, and a checkpoint after two steps on them."""
    home = tmp_path_factory.mktemp("scenes")
    train, test = (write_scenes(home / part, n, seed, 32, True) for part, n, seed in (("a", 24, 0), ("b", 8, 1)))
    return train, test, sample_checkpoint(home, train / "images", **NETWORK)


def inputs(train, test):
    return train / "images", train / "masks", test / "images", test / "masks"


# ---- the metric


def test_the_figures_are_those_of_a_plain_count_over_all_pixels():
    rng = np.random.default_rng(0)
    module = segmenter(classes=4)
    truth = rng.integers(0, 3, (5, 6, 7))  # class 3 is never there
    found = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 3, truth.shape))
    truth[0, :3] = IGNORED
    for t, f in zip(truth, found, strict=True):
        module.metrics.update(torch.from_numpy(f)[None], torch.from_numpy(t)[None])
    module.on_test_epoch_end()
    kept = truth != IGNORED
    table = confusion_matrix(truth[kept], found[kept], labels=range(4)).astype(np.float64)
    both = np.diag(table)
    with np.errstate(invalid="ignore"):
        iou = both / (table.sum(0) + table.sum(1) - both)
    assert module.figures["miou"] == pytest.approx(np.nanmean(iou))
    assert module.figures["accuracy"] == pytest.approx(both.sum() / table.sum())
    assert list(module.per_class.values()) == pytest.approx(list(iou), nan_ok=True)


# ---- windows


@pytest.mark.parametrize(("height", "width", "stride"), [(8, 8, 5), (8, 19, 5), (8, 18, 5), (21, 13, 3)])
def test_windows_of_what_looks_at_one_pixel_give_what_the_whole_image_gives(height, width, stride):
    image = torch.randn(3, height, width)
    found = slide(lambda windows: windows[:, :2] ** 2, image, 8, stride)
    torch.testing.assert_close(found, image[:2] ** 2)


def test_each_pixel_is_the_mean_of_its_windows():
    found = slide(lambda windows: torch.arange(len(windows))[:, None, None, None].expand(-1, 1, 4, 4).float(),
                  torch.zeros(3, 4, 7), 4, 2)  # fmt: skip
    # windows begin at 0, 2 and 3
    assert found[0, 0].tolist() == [0, 0, 0.5, 1, 1.5, 1.5, 2]


def test_an_image_is_segmented_in_its_own_size():
    assert segmenter().segmented(torch.zeros(3, 50, 37, dtype=torch.uint8)).shape == (50, 37)
    assert segmenter().segmented(torch.zeros(3, 5, 9, dtype=torch.uint8)).shape == (5, 9)


# ---- what is trained


def test_the_head_is_dropout_norm_and_one_convolution_which_begins_near_zero():
    head = LinearHead(8, 5, 0.1)
    assert [type(part).__name__ for part in head] == ["Dropout2d", "BatchNorm2d", "Conv2d"]
    assert head[2].weight.shape == (5, 8, 1, 1) and head[2].bias.abs().max() == 0
    assert head[2].weight.std() < 0.02


def test_the_backbone_stays_as_it_is_in_training_mode_too():
    module = segmenter().train()
    before = {name: value.clone() for name, value in module.features.state_dict().items()}
    assert not any(part.training for part in module.features.modules()) and module.head.training
    batch = (
        torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8),
        torch.randint(0, 3, (4, 32, 32), dtype=torch.uint8),
    )
    module.log = lambda *args, **kwargs: None
    module.training_step(batch, 0).backward()
    assert all(torch.equal(value, before[name]) for name, value in module.features.state_dict().items())
    assert all(p.grad is None for p in module.features.parameters())
    assert all(p.grad is not None for p in module.head.parameters())


def test_the_loss_is_the_mean_over_pixels_with_a_class_and_zero_without_any():
    module = segmenter().eval()
    module.log = lambda *args, **kwargs: None
    images = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    masks = torch.randint(0, 3, (2, 32, 32), dtype=torch.uint8)
    masks[0, :7] = IGNORED
    logits = torch.nn.functional.interpolate(module(images), size=(32, 32), mode="bilinear")
    p, labels = logits.double().softmax(1).tolist(), masks.tolist()
    sums = [-math.log(p[b][labels[b][i][j]][i][j]) for b in range(2) for i in range(32) for j in range(32)
            if labels[b][i][j] != IGNORED]  # fmt: skip
    assert module.training_step((images, masks), 0).item() == pytest.approx(sum(sums) / len(sums), rel=1e-4)
    assert module.training_step((images, torch.full_like(masks, IGNORED)), 0).item() == 0


def test_image_and_mask_are_cropped_together_and_padding_is_ignored():
    crop = _Crop(Segment(size=32, scale=(0.5, 2.0)))
    torch.manual_seed(0)
    mask = torch.zeros(40, 30, dtype=torch.uint8)
    mask[:20] = 1
    image = torch.where(mask.bool(), 250, 5).to(torch.uint8).expand(3, -1, -1)
    padded = 0
    for _ in range(30):
        cropped, labels = crop(image, mask)
        assert cropped.shape == (3, 32, 32) and labels.shape == (32, 32) and cropped.dtype == torch.uint8
        padded += int((labels == IGNORED).any())
        bright = cropped.float().mean(0) > 100
        known = labels != IGNORED
        assert (bright == (labels == 1))[known].float().mean() > 0.9  # all but the pixels at the edge, which are blends
    assert 0 < padded < 30


# ---- from end to end


def quarters(folder: Path, count: int, seed: int) -> Path:
    """Images of 64 pixels whose quarters are red, green or blue, which are the classes."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        mask = np.kron(rng.integers(0, 3, (2, 2)), np.ones((32, 32), int)).astype(np.uint8)
        image = COLOURS[mask] + 10 * rng.standard_normal((64, 64, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def test_colours_are_segmented_from_features_that_keep_them(scenes, tmp_path):
    train, test = quarters(tmp_path / "train", 12, 0), quarters(tmp_path / "test", 6, 1)
    options = {**QUICK, "size": 64, "steps": 60, "batch_size": 4, "lr": 0.05, "untrained": False}
    checkpoint = sample_checkpoint(tmp_path, train / "images", width=16)
    found = massrl.segment(checkpoint, *inputs(train, test), **options)
    assert found.miou > 0.9, found
    assert 0.9 < found.figures["trained"]["accuracy"] <= 1 and found.untrained is None
    assert min(found.per_class["trained"].values()) > 0.85 and list(found.per_class["trained"]) == ["0", "1", "2"]


def test_the_result_says_what_it_depends_on_and_is_the_same_again(scenes):
    train, test, checkpoint = scenes
    options = {"steps": 3, "batch_size": 4, **QUICK}
    state = torch.get_rng_state()
    found = massrl.segment(checkpoint, *inputs(train, test), **options)
    assert torch.equal(state, torch.get_rng_state()), "torch's random state outside is as it was"
    again = massrl.segment(checkpoint, *inputs(train, test), **{**options, "num_workers": 2})
    assert found.figures == again.figures, "the number of workers changes nothing"
    other = massrl.segment(checkpoint, *inputs(train, test), **{**options, "seed": 1})
    assert found.figures != other.figures
    record = found.to_dict()
    assert record["protocol"] == "segment-dinov3 v1" and "DINOv3" in record["source"]
    assert (
        record["parameters"]["steps"] == 3
        and record["branch"] == "online"
        and record["parameters"]["lr"] == pytest.approx(2.5e-4)
    )
    assert record["trained"]["miou"] == found.miou and record["random"]["miou"] == found.untrained
    assert record["train_images"] == 24 and record["test_images"] == 8 and len(record["checkpoint_sha256"]) == 64
    lines = repr(found).splitlines()
    assert lines[0].startswith(
        "segment-dinov3 v1 (3 steps of 4 images), 24 training and 8 test images, 4 classes, online network"
    )
    assert any(line.startswith("SimCLR, trained") and f"{100 * found.miou:.1f}" in line for line in lines)
    assert any(line.startswith("untrained network") for line in lines) and found._repr_html_().count("<tr>") == 3


def test_training_images_as_test_images_are_said_loudly(scenes):
    train, _, checkpoint = scenes
    found = massrl.segment(checkpoint, *inputs(train, train), steps=2, batch_size=2, untrained=False, **QUICK)
    assert repr(found).startswith("WARNING: the training and test images have the same content")
    assert found.to_dict()["warnings"] and "WARNING" in found._repr_html_()


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"settings": "dinov4"}, UnknownName, "no settings named 'dinov4'. Did you mean 'dinov3'"),
        ({"steps": 0}, ConfigError, "steps is 0"),
        ({"size": -3}, ConfigError, "size is -3"),
        ({"classes": 1}, ConfigError, "classes is 1"),
        ({"classes": 2}, SourceError, "has the label 3, and classes are 0 to 1"),
        ({"seed": -1}, ConfigError, "seed is -1"),
        ({"devices": 0}, ConfigError, "devices|Trainer"),
        ({"precision": "17"}, ConfigError, "17"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(scenes, options, error, line):
    train, test, checkpoint = scenes
    with pytest.raises(error, match=line) as caught:
        massrl.segment(checkpoint, *inputs(train, test), **{"steps": 2, "batch_size": 2, **QUICK, **options})
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_and_a_damaged_test_mask_are_refused_before_the_training(scenes, tmp_path):
    train, test, checkpoint = scenes
    with pytest.raises(CheckpointError, match="nowhere"):
        massrl.segment(tmp_path / "nowhere", *inputs(train, test), **QUICK)
    bad = write_scenes(tmp_path / "bad", 3, 0, 32)
    (bad / "masks" / "0001.png").write_bytes((bad / "masks" / "0001.png").read_bytes()[:60])
    with pytest.raises(UserError, match="0001.png: cannot be decoded"):
        massrl.segment(checkpoint, *inputs(train, bad), **QUICK)


def test_a_damaged_training_image_ends_the_command_with_one_line(scenes, tmp_path, capsys):
    _, test, checkpoint = scenes
    bad = write_scenes(tmp_path / "bad", 3, 0, 32)
    path = bad / "images" / "0002.png"
    path.write_bytes(path.read_bytes()[:200])
    words = ["--checkpoint", str(checkpoint), "--train", str(bad / "images"), "--train_masks", str(bad / "masks")]
    words += ["--test", str(test / "images"), "--test_masks", str(test / "masks"), "--size", "32", "--steps", "4"]
    assert main(["segment", *words, "--batch_size", "4", "--accelerator", "cpu", "--devices", "1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("massrl segment: error: ") and "0002.png: cannot be decoded" in said


def test_check_runs_the_whole_way_on_generated_images_and_leaves_nothing(tmp_path, capsys):
    assert main(["segment", "--check"]) == 0
    said = capsys.readouterr().out
    assert "check: train: 4 generated images" in said and "mIoU" in said and "check passed" in said
    assert list(tmp_path.iterdir()) == []
