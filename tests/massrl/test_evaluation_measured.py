"""massrl.measure: measures without labels of a checkpoint, beside the same network untrained."""

import json
import shutil

import numpy as np
import pytest
import torch

import massrl
from data_loading import Loader, ViewSet
from data_loading.errors import CheckpointError, ConfigError, UserError
from massrl.cli.measure import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation import measured
from massrl.evaluation.measures import alignment_of_views, lidar, rankme, spread, strategy_distances, uniformity
from massrl.training.pretrain import pretrain

SMALL = {"lidar_views": 4, "alpha_first": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of 16 images without class folders, checkpoint of SimCLR, cache)."""
    tmp = tmp_path_factory.mktemp("measured")
    images = sample_folder(tmp)
    checkpoint = sample_checkpoint(tmp, images)
    flat = tmp / "flat"
    flat.mkdir()
    for path in images.rglob("*.jpg"):
        shutil.copy(path, flat / f"{path.parent.name}_{path.name}")
    return flat, checkpoint, tmp / "cache"


@pytest.fixture(scope="module")
def found(made):
    images, checkpoint, cache = made
    return massrl.measure(checkpoint, images, cache_dir=cache, **SMALL)


def test_images_without_labels_have_all_measures_trained_untrained_and_of_the_embeddings(found):
    assert list(found.values) == ["trained", "random", "embeddings"]
    for of_column in found.values.values():
        assert all(np.isfinite(value) for value in of_column.values())
        assert 1 <= of_column["rankme"] <= 16.01 and 1 <= of_column["lidar"] <= 15.01 and 0 <= of_column["spread"] <= 1
    assert found.values["trained"] != found.values["random"] and found.entropies is None
    assert found.rankme == found.values["trained"]["rankme"] and found.lidar == found.values["trained"]["lidar"]


def test_the_measures_are_those_of_features_computed_by_hand(made, found):
    images, checkpoint, _ = made
    method = massrl.load(checkpoint)
    options = {"size": 16, "num_workers": 1, "order": "sequential"}
    (batch,) = Loader(images, 16, "eval", **options)
    views = ViewSet.from_dict(found.to_dict()["views"])
    assert len(views) == 2
    loader = Loader(images, 16, views, num_workers=1, order="sequential")
    with torch.no_grad():
        h = method.encoder(batch.views[0]).numpy()
        z = method.projector(method.encoder(batch.views[0])).numpy()
        of_views = [method.encoder(view).numpy() for _ in range(2) for (b,) in [list(loader)] for view in b.views]
    x = np.stack(of_views, 1)  # (16, 4, F): two epochs of two views
    assert not np.allclose(x[:, 0], x[:, 2])
    trained, embeddings = found.values["trained"], found.values["embeddings"]
    expected = {"rankme": rankme(h), "uniformity": uniformity(h), "spread": spread(h)}
    expected |= {"lidar": lidar(x), "alignment": alignment_of_views(x)}
    assert {name: trained[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert embeddings["rankme"] == pytest.approx(rankme(z), rel=1e-4)


def test_the_second_call_computes_no_features(made, found, monkeypatch):
    images, checkpoint, cache = made

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(measured.Rendered, "pairs_of_strategies", lambda *_: ([], np.zeros((0, 0))))
    monkeypatch.setattr(measured.Rendered, "features", refuse)
    monkeypatch.setattr("massrl.evaluation.rows.extract_layers", refuse)
    again = massrl.measure(checkpoint, images, cache_dir=cache, **SMALL)
    assert again.values == found.values


@pytest.mark.parametrize(("part", "changed"), [("own_code", lambda _: "other"), ("DECODERS", ("numpy",))])
def test_views_are_computed_again_where_the_code_of_the_method_or_a_decoder_has_changed(
    made, found, monkeypatch, part, changed
):
    images, checkpoint, cache = made
    monkeypatch.setattr(f"massrl.evaluation.rows.{part}", changed)
    count, features = [], measured.Rendered.features
    monkeypatch.setattr(measured.Rendered, "features", lambda *args: count.append(1) or features(*args))
    massrl.measure(checkpoint, images, cache_dir=cache, **SMALL)
    assert len(count) == 4  # trained, untrained, embeddings; the pairs of strategies, which are never kept


def test_pairs_of_strategies_are_of_two_crops_for_each_of_them(made):
    images, checkpoint, cache = made
    views = ViewSet(["simclr", "whole", "simclr"], crops=1, size=16, shared_crops=True)
    of_three = massrl.measure(checkpoint, images, views=views, cache_dir=cache, **SMALL)
    assert of_three.strategies == ["simclr", "whole", "simclr#2"]
    d = of_three.distances
    assert d.shape == (3, 3) and np.allclose(d, d.T)
    assert d[1, 1] == pytest.approx(0, abs=1e-6)  # the whole image, twice
    assert d[0, 0] > 1e-4 and d[0, 1] > 1e-4
    two = ViewSet(["simclr", "whole", "simclr"], crops=2, size=16)
    (batch,) = Loader(images, 16, two, num_workers=1, order="sequential")
    method = massrl.load(checkpoint)
    with torch.no_grad():
        z = torch.stack([method.embed([view])[0] for view in batch.views]).numpy()  # (6, 16, D)
    np.testing.assert_allclose(d, strategy_distances(z.reshape(3, 2, 16, -1)), atol=1e-5)
    assert "pairs of strategies" in repr(of_three) and "<th>simclr#2</th>" in of_three._repr_html_()


def test_targets_over_prototypes_have_entropies_and_dino_is_measured_by_its_target(made, tmp_path):
    images, _, cache = made
    widths = {"hidden_dim": 16, "bottleneck_dim": 16, "out_dim": 8}
    run = pretrain(
        images,
        "DINO",
        out=tmp_path / "run",
        report=False,
        backbone="tiny_resnet",
        backbone_args={"width": 4},
        size=16,
        batch_size=8,
        num_workers=1,
        max_epochs=1,
        accelerator="cpu",
        enable_progress_bar=False,
        cache_dir=str(cache),
        **widths,
    )
    found = massrl.measure(run, images, cache_dir=cache, **SMALL)
    e = found.entropies
    assert 0 < e["target_entropy"] <= e["marginal_entropy"] <= e["log_prototypes"] == pytest.approx(np.log(8))
    assert found.to_dict()["branch"] == "target" and "target network" in repr(found)
    online = massrl.measure(run, images, cache_dir=cache, branch="online", **SMALL)
    assert online.values["trained"] != found.values["trained"]


def test_a_record_names_each_definition_and_all_that_the_figures_depend_on(found, made):
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(record["measures"]) == {"trained", "untrained", "its_embeddings"}
    assert set(record["definitions"]) >= {"rankme", "lidar", "alpha_req", "uniformity", "alignment", "spread"}
    assert record["parameters"]["lidar_views"] == 4 and record["protocol"] == "measures v1"
    assert {"checkpoint_sha256", "data_sha256", "seed", "versions", "git", "views", "layer", "branch"} <= record.keys()
    for words in ("rankme", "untrained", "1e-7", "not centred", "arXiv:2312.04000"):
        assert words in repr(found)


def test_a_collapsed_encoder_has_no_power_law_and_a_diverged_one_is_refused():
    sizes = measured.Sizes(8, 8, 8, 2, 5, 100)
    flat = measured.figures(np.ones((8, 6)), np.ones((8, 2, 6)), sizes)
    assert flat["alpha_req"] is None and flat["r2"] is None and flat["spread"] == pytest.approx(0)
    with pytest.raises(ConfigError, match="hold NaN or infinity"):
        measured.figures(np.full((8, 6), np.nan), np.ones((8, 2, 6)), sizes)


def test_wrong_arguments_are_refused_before_the_work(made, tmp_path):
    images, checkpoint, cache = made
    for options, words in (
        ({"lidar_views": 1}, "lidar_views is 1; it must be from 2 to 1000"),
        ({"lidar_views": 10**9}, "lidar_views is 1000000000"),
        ({"views": ViewSet(["simclr"], crops=0, local=2)}, "has local crops only"),
        ({"views": "simclir"}, "simclr"),
        ({"lidar_images": 0}, "lidar_images is 0"),
        ({"alpha_first": 9, "alpha_last": 9}, "alpha_first is 9 and alpha_last 9"),
        ({"size": 0}, "size is 0"),
        ({"cache_dir": ""}, "cache_dir is ''"),
    ):
        with pytest.raises(UserError, match=words):
            massrl.measure(checkpoint, images, **{"cache_dir": cache, **options})
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        massrl.measure(tmp_path / "none.ckpt", images, cache_dir=cache)


def test_the_command_prints_the_table_and_writes_the_record(made, tmp_path, capsys):
    images, checkpoint, cache = made
    words = ["--checkpoint", str(checkpoint), "--data", str(images), "--cache_dir", str(cache), "--num_workers", "1"]
    assert main([*words, "--lidar_views", "4", "--alpha_first", "1", "--json", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert "rankme" in out and "untrained" in out and "record: " in out
    assert json.loads((tmp_path / "a.json").read_text())["parameters"]["lidar_images"] == 16
    with pytest.raises(ConfigError, match="missing: --checkpoint, --data"):
        main([])


def test_check_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 0
    assert "check passed: nothing was kept" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_of_many_images_evenly_spaced_ones_are_extracted(made, tmp_path, monkeypatch):
    images, checkpoint, _ = made
    monkeypatch.setattr(measured, "MOST_IMAGES", 5)
    found = massrl.measure(checkpoint, images, cache_dir=tmp_path, **SMALL)
    assert found.rows.features["trained"][0].index.tolist() == [0, 3, 7, 11, 15] and found.sizes.images == 5
    assert {len(np.load(file)["x"]) for file in tmp_path.rglob("features.npz")} >= {5}
