import numpy as np
import pytest
import torch
from torch import nn

from data_loading import DatasetWriter
from data_loading.errors import SourceError
from data_loading.fields import IntField, RGBImageField
from drawn import small
from massrl.evaluation import features
from massrl.evaluation.features import Features, cached, extract, require_labels
from massrl.evaluation.untrained import calibrate, untrained_twin

N = 11


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path, images):
    path = tmp_path / "a.beton"
    fields = {"image": RGBImageField(), "label": IntField()}
    rows = [(image, i % 3) for i, image in enumerate(images)]
    DatasetWriter(path, fields).from_indexed_dataset(rows, progress=False)
    return path


def test_pixels_are_the_images_in_the_files_order_in_0_to_1(file, images):
    found = extract(None, file, 8, batch_size=4, num_workers=2)
    # float32 of value / 255
    np.testing.assert_allclose(found.x, images.transpose(0, 3, 1, 2).reshape(N, -1) / 255, atol=1e-6)
    assert found.y.tolist() == [i % 3 for i in range(N)]
    assert found.index.tolist() == list(range(N))


def test_large_images_are_32_pixels_a_side_as_pixels(file):
    assert extract(None, file, 224, num_workers=1).x.shape == (N, 3 * 32 * 32)


def test_features_are_the_backbones_of_normalised_images(file, images):
    backbone = small("SimCLR").backbone.eval()
    mean, std = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
    found = extract(backbone, file, 8, batch_size=4, num_workers=1, mean=mean, std=std)
    x = (images / 255 - np.array(mean)) / np.array(std)
    with torch.no_grad():
        expected = backbone(torch.from_numpy(x.transpose(0, 3, 1, 2)).float())
    np.testing.assert_allclose(found.x, expected, atol=1e-5)  # float32 through six layers


def test_the_batch_size_and_threads_change_nothing_but_rounding(file):
    backbone = small("SimCLR").backbone
    one, other = (extract(backbone, file, 8, batch_size=b, num_workers=w).x for b, w in ((1, 1), (11, 3)))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_batch_of_more_images_than_there_are_is_not_filled_up(file, monkeypatch):
    made = []
    loader = features.Loader
    monkeypatch.setattr(
        features, "Loader", lambda path, batch, *a, **k: made.append(batch) or loader(path, batch, *a, **k)
    )
    found = extract(None, file, 8, batch_size=1_000_000, num_workers=1)
    assert made[-1] == 256 and np.array_equal(found.x, extract(None, file, 8).x)


def test_rows_can_be_chosen(file):
    found = extract(None, file, 8, num_workers=1, indices=[7, 2])
    assert found.index.tolist() == [7, 2]
    np.testing.assert_array_equal(found.x, extract(None, file, 8, num_workers=1).x[[7, 2]])


def test_extraction_leaves_the_backbone_in_the_mode_and_state_it_had(file):
    backbone = small("SimCLR").backbone.train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    extract(backbone, file, 8, num_workers=1)
    assert all(part.training for part in backbone.modules())
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())


def test_features_come_from_the_cache_while_the_facts_are_equal(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return Features(np.ones((2, 3), np.float32), np.array([0, 1]), np.arange(2))

    first = cached(tmp_path, {"a": 1}, make)
    again = cached(tmp_path, {"a": 1}, make)
    np.testing.assert_array_equal(first.x, again.x)
    assert len(calls) == 1
    cached(tmp_path, {"a": 2}, make)
    cached(None, {"a": 2}, make)
    assert len(calls) == 3


def test_features_are_used_where_the_cache_cannot_be_written_and_a_damaged_file_is_made_again(tmp_path, caplog):
    features = Features(np.ones((2, 3), np.float32), np.zeros(2, np.int64), np.arange(2))
    (tmp_path / "file").write_text("not a folder")
    assert cached(tmp_path / "file", {"a": 1}, lambda: features) is features
    assert "not kept" in caplog.text
    cached(tmp_path, {"a": 1}, lambda: features)
    (stored,) = tmp_path.rglob("features.npz")
    for content in (b"", b"PK\x03\x04", stored.read_bytes()[:100]):
        stored.write_bytes(content)
        np.testing.assert_array_equal(cached(tmp_path, {"a": 1}, lambda: features).x, features.x)


def test_a_file_without_labels_has_no_accuracy():
    features = Features(np.ones((2, 3), np.float32), np.array([-1, -1]), np.arange(2))
    with pytest.raises(SourceError, match="b.beton: images have no labels"):
        require_labels(features, "b.beton")


def test_the_untrained_twin_has_other_weights_drawn_from_its_seed(file):
    backbone = small("SimCLR").backbone
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    a, b, c = (untrained_twin(backbone, file, 8, seed=s, num_workers=1) for s in (1, 1, 2))
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in (backbone, a, b, c)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[3])
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert not a.training


def test_the_untrained_twins_first_batchnorm_holds_the_statistics_of_the_clean_images(file, images):
    twin = untrained_twin(small("SimCLR").backbone, file, 8, num_workers=1, mean=(0, 0, 0), std=(1, 1, 1))
    norm = next(m for m in twin.modules() if isinstance(m, nn.BatchNorm2d))
    conv = next(m for m in twin.modules() if isinstance(m, nn.Conv2d))
    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).float() / 255
    with torch.no_grad():
        h = conv(x)
    torch.testing.assert_close(norm.running_mean, h.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, h.var((0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_calibration_averages_over_batches_and_keeps_the_momentum():
    norm = nn.BatchNorm1d(1, momentum=0.3)
    count = calibrate(norm, [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [8.0]]), torch.tensor([[9.0]])])
    assert count == 2  # one image alone has no variance
    assert norm.running_mean.item() == pytest.approx((1 + 6) / 2)
    assert norm.running_var.item() == pytest.approx((2 + 8) / 2)
    assert norm.momentum == 0.3
    assert norm.training
