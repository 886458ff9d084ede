"""massrl.compare: runs beside each other, paired by seeds and label subsets, and the page about them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind, ttest_rel

import massrl
from data_loading.errors import CheckpointError, ConfigError, SourceError
from massrl import zoo
from massrl.cli.compare import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.comparison import Training, _variants, flat
from massrl.evaluation.table import HEADINGS
from massrl.report.comparison import _where, build
from massrl.runs.folder import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(images, four runs of two steps: a tiny ResNet with seeds 0 and 1, and a wider one with the same seeds)."""
    tmp = tmp_path_factory.mktemp("comparison")
    images = sample_folder(tmp)
    runs = []
    for name, seed in (("a0", 0), ("a1", 1)):
        (tmp / name).mkdir()
        runs.append(sample_checkpoint(tmp / name, images, seed).parent.parent)
    for seed in (0, 1):
        options = {"backbone": "tiny_resnet", "backbone_args": {"width": 6}, "size": 16, "batch_size": 4}
        trainer = {"max_epochs": 1, "limit_train_batches": 2, "enable_progress_bar": False, "num_workers": 1}
        trainer |= {"accelerator": "cpu", "devices": 1}
        out, cache = tmp / f"wide{seed}", str(tmp / "cache")
        runs.append(
            massrl.pretrain(
                images, "SimCLR", out=out, seed=seed, report=False, cache_dir=cache, **options, **trainer
            ).path
        )
    return images, runs


@pytest.fixture(scope="module")
def found(made):
    images, runs = made
    return massrl.compare(runs, images, images, draws=3, k=3, cache_dir=images.parent / "cache")


def test_runs_that_differ_in_seeds_alone_are_one_variant(found):
    assert [[one.seed for one in of] for of in found.variants.values()] == [[0, 1], [0, 1]]
    assert list(found.differing()) == ["model.init_args.backbone_args.width"]
    assert list(found.differing()["model.init_args.backbone_args.width"].values()) == [4, 6]


def test_every_row_is_measured_on_the_same_label_subsets(found):
    shapes = {measure: {x.shape for x in row.values()} for measure, row in found.scores.items()}
    assert shapes["linear_1_per_class"] == {(2, 3), (1, 3)} and shapes["knn"] == {(2, 1), (1, 1)}
    assert list(found.scores) == list(HEADINGS)


def test_the_accuracies_are_those_of_the_commands_for_one_run(found, made):
    images, runs = made
    alone = massrl.knn(runs[1], images, images, k=3, cache_dir=images.parent / "cache")
    name = next(iter(found.variants))
    assert found.scores["knn"][name][1, 0] == alone.accuracy
    few = massrl.linear(runs[1], images, images, labels="one", draws=3, cache_dir=images.parent / "cache")
    np.testing.assert_array_equal(found.scores["linear_1_per_class"][name][1], few.scores["trained"])


def scored(found, **rows):
    """The comparison with made-up accuracies (trainings, subsets) of its two variants, for every measure."""
    a, b = found.variants
    baselines = {base: np.zeros((1, 3)) for base in ("pixels", "random")}
    return replace(found, scores={m: {a: rows["a"], b: rows["b"], **baselines} for m in found.scores})


def test_an_interval_over_trainings_is_students_of_the_paired_seeds(found):
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3)), rng.random((2, 3))
    a, b = found.variants
    gain = scored(found, a=x, b=y).difference("knn", a, b)
    interval = ttest_rel(x.mean(1), y.mean(1)).confidence_interval()
    assert (gain["low"], gain["high"]) == pytest.approx(tuple(interval)) and gain["over"] == "trainings"
    assert gain["mean"] == pytest.approx((x - y).mean()) and gain["draws"] == 2


def test_seeds_are_paired_whatever_the_order_of_the_runs(found):
    a, b = found.variants
    turned = replace(found, variants={a: found.variants[a], b: found.variants[b][::-1]})
    x = np.array([[0.1], [0.5]])
    gain = scored(turned, a=x, b=x[::-1] - 0.1).difference("knn", a, b)
    assert gain["low"] == pytest.approx(0.1) and gain["high"] == pytest.approx(0.1)  # 0.1 for each seed


@pytest.mark.parametrize("seeds", [(5, 6), (0, 7)])
def test_trainings_of_other_seeds_have_welchs_interval_over_all_of_them(found, seeds):
    a, b = found.variants
    other = [replace(one, seed=seed) for one, seed in zip(found.variants[b], seeds, strict=True)]
    x, y = np.array([[0.1, 0.3], [0.5, 0.9]]), np.array([[0.2, 0.3], [0.1, 0.3]])
    turned = scored(replace(found, variants={a: found.variants[a], b: other}), a=x, b=y)
    gain = turned.difference("knn", a, b)
    judged = ttest_ind(x.mean(1), y.mean(1), equal_var=False).confidence_interval()
    assert (gain["low"], gain["high"]) == pytest.approx(tuple(judged)) and gain["over"] == "unpaired trainings"
    assert gain["mean"] == pytest.approx(x.mean() - y.mean()) and gain["draws"] == 4
    assert "4 unpaired trainings" in repr(turned)


def test_checkpoints_that_do_not_say_their_settings_are_told_apart_by_their_arguments(made, tmp_path):
    images, runs = made
    files = []
    for number, tau in enumerate((0.1, 0.5, 0.5)):
        content = torch.load(Run(runs[0]).checkpoint, weights_only=True)
        content["massrl"].pop("config")
        content["hyper_parameters"]["init_args"]["tau"] = tau
        files.append(tmp_path / f"{number}.ckpt")
        torch.save(content, files[-1])
    options = {"draws": 2, "k": 3, "cache_dir": images.parent / "cache"}
    found = massrl.compare(files, images, images, **options)
    assert [len(of) for of in found.variants.values()] == [1, 2] and "model.init_args.tau" in found.differing()
    assert [name.rpartition(", ")[2] for name in found.variants] == ["0", "1"]


def test_one_training_each_leaves_an_interval_over_label_subsets(found):
    a, b = found.variants
    alone = replace(found, variants={name: of[:1] for name, of in found.variants.items()})
    x, y = np.array([[0.2, 0.4, 0.9]]), np.array([[0.1, 0.2, 0.6]])
    gain = scored(alone, a=x, b=y).difference("linear_1_per_class", a, b)
    interval = ttest_rel(x[0], y[0]).confidence_interval()
    assert (gain["low"], gain["high"]) == pytest.approx(tuple(interval)) and gain["over"] == "label subsets"
    single = scored(alone, a=x[:, :1], b=y[:, :1]).difference("linear_1_per_class", a, b)
    assert single["over"] is None and single["mean"] == pytest.approx(0.1)


def test_settings_are_flat_and_two_equal_seeds_are_refused(tmp_path):
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "d": [2]}
    one = Training(
        tmp_path / "x" / "checkpoints" / "last.ckpt", "BYOL", 0, {"data.seed": 0, "a": 1}, 1, 2, None, "online"
    )
    with pytest.raises(ConfigError, match="two runs of BYOL have the seed 0"):
        _variants([one, replace(one, path=Path("y/checkpoints/last.ckpt"))])
    named = _variants([one, replace(one, path=Path("y/checkpoints/last.ckpt"), settings={"a": 2})])
    assert list(named) == ["BYOL, x", "BYOL, y"]


def test_the_table_and_the_record_say_what_was_compared(found):
    text = repr(found)
    assert "2 trainings, seeds 0, 1" in text and "width" in text and "raw pixels" in text
    record = json.loads(json.dumps(found.to_dict()))
    assert len(record["checkpoint_sha256"]) == 4
    assert {one["branch"] for of in record["trainings"].values() for one in of} == {"online"}
    assert "same content" in record["warnings"][0] and text.startswith("WARNING: ")  # one set twice
    assert {card["protocol"].split()[0] for card in record["protocols"]} == {"linear", "knn"}
    assert "<table>" in found._repr_html_()


def test_the_page_is_one_file_with_every_section(found, tmp_path):
    page = build(found, tmp_path / "compare.html").read_text()
    for heading in ("Accuracy of the features", "Paired differences", "Settings that differ", "Per class"):
        assert f"<h2>{heading}</h2>" in page
    assert "Confusion of" in page and "bars" in page and "discs" in page
    assert "http://" not in page and "https://" not in page.replace("https://www.w3.org", "")
    assert [p.name for p in tmp_path.iterdir()] == ["compare.html"]


def test_the_command_prints_the_table_and_writes_both_files(made, tmp_path, capsys):
    images, runs = made
    words = [*map(str, runs[:2]), "--train", str(images), "--test", str(images), "--draws", "2", "--k", "3"]
    files = ["--json", str(tmp_path / "a.json"), "--report", str(tmp_path / "a.html")]
    assert main([*words, *files, "--cache_dir", str(images.parent / "cache")]) == 0
    assert "SimCLR (2 trainings" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["trainings"] and (tmp_path / "a.html").exists()


def test_check_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_zoos_checkpoints_have_their_names_and_runs_their_folders(made):
    assert _where(zoo.path("zoo:cifar10-simclr")) == "zoo:cifar10-simclr"
    run = made[1][0]
    assert _where(Run(run).checkpoint) == str(run)


def test_one_run_stands_beside_pixels_and_the_untrained_network(made, tmp_path):
    images, runs = made
    found = massrl.compare(runs[:1], images, images, draws=2, k=3, cache_dir=tmp_path)
    text = build(found, tmp_path / "a.html").read_text()
    assert len(found.variants) == 1 and "raw pixels" in text and "Confusion of" in text
    assert "same settings" not in text and "1 variants" not in text


def test_what_does_not_fit_is_refused_in_one_line(made, tmp_path):
    images, runs = made
    common = {"train": images, "test": images, "cache_dir": tmp_path}
    with pytest.raises(ConfigError, match="runs are none; name one or more"):
        massrl.compare([], **common)
    with pytest.raises(ConfigError, match="name one or more, and each once"):
        massrl.compare([runs[0], runs[0]], **common)
    with pytest.raises(CheckpointError, match="nowhere"):
        massrl.compare([runs[0], tmp_path / "nowhere"], **common)
    with pytest.raises(ConfigError, match="k is 17, and there are 16 training images"):
        massrl.compare(runs[:2], k=17, train=images, test=images, cache_dir=images.parent / "cache")
    with pytest.raises(ConfigError, match="draws is 0"):
        massrl.compare(runs, draws=0, **common)
    flat_folder = tmp_path / "flat"
    flat_folder.mkdir()
    for file in (images / "bars").iterdir():
        (flat_folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(SourceError, match="no labels"):
        massrl.compare(runs[:2], train=flat_folder, test=images, cache_dir=tmp_path)
    with pytest.raises(ConfigError, match="missing: RUN, --train, --test"):
        main([])
