"""Transfer: an encoder's frozen features on several data sets, each by its own metric, beside scikit-learn."""

import json
import logging
import re
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.linear_model import LogisticRegression as Judge
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve
from torchmetrics.functional.classification import multiclass_calibration_error

import massrl
from data_loading.errors import CheckpointError, ConfigError, SourceError, UnknownName
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.held_out import held_out
from massrl.evaluation.rows import feature_rows
from massrl.evaluation.transfer import transfer as module
from massrl.evaluation.transfer.metrics import average_precision_11, calibration_error, top1
from massrl.evaluation.transfer.protocol import STRENGTHS, TransferProbe
from massrl.evaluation.transfer.sets import read_sets

COLOURS = {"blue": (30, 30, 200), "green": (30, 200, 30), "red": (200, 30, 30)}


def clouds(n=150, test=90, width=8, classes=3, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n + test)
    x = rng.normal(size=(classes, width))[y] + spread * rng.normal(size=(n + test, width))
    return x[:n], y[:n], x[n:], y[n:]


def several(n=120, test=80, width=8, classes=3, seed=0):
    """Features, and which of three classes each image shows: 1, 0, and in one of twenty -1, unknown."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + test, width))
    y = (x @ rng.normal(size=(width, classes)) + rng.normal(size=(n + test, classes)) > 0.5).astype(np.int8)
    y[rng.random(y.shape) < 0.05] = -1
    return x[:n], y[:n], x[n:], y[n:]


# ---- the metrics ----


def test_the_mean_per_class_is_scikit_learns_balanced_accuracy_also_where_a_class_has_no_test_image():
    rng = np.random.default_rng(0)
    y, predicted = rng.choice([0, 1, 3, 7], 200), rng.integers(0, 8, 200)
    predicted[:120] = y[:120]
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        judged = balanced_accuracy_score(y, predicted)
    assert top1(predicted, y, "mean_per_class") == pytest.approx(judged, abs=1e-7)
    assert top1(predicted, y, "accuracy") == np.mean(predicted == y)


@pytest.mark.parametrize("ties", [False, True])
def test_the_11_point_average_precision_is_its_definition_on_scikit_learns_curve(ties):
    rng = np.random.default_rng(1)
    positive = rng.random(60) < 0.3
    scores = rng.normal(size=60) + positive
    if ties:
        scores = np.round(scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    exact = [Fraction(round(r * positive.sum()), int(positive.sum())) for r in recall]
    levels = [max(p for p, r in zip(precision, exact, strict=True) if r >= Fraction(t, 10)) for t in range(11)]
    # scikit-learn's curve ends at recall 0 with precision 1, which no threshold has
    levels[0] = max(precision[:-1])
    assert average_precision_11(scores, positive) == pytest.approx(np.mean(levels), abs=1e-12)


def test_known_average_precisions():
    assert average_precision_11(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])) == 1.0
    # one positive, last of four: precision 1/4 at every recall
    assert average_precision_11(np.array([3.0, 2.0, 1.0, 0.0]), np.array([False, False, False, True])) == 0.25
    # found first and third: precision 1 for recalls up to .5 (six of eleven), 2/3 for the other five
    found = average_precision_11(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    assert found == pytest.approx((6 + 5 * 2 / 3) / 11)
    # recall 3/10 counts as .3
    scores = -np.arange(20.0)
    positive = np.isin(np.arange(20), [0, 1, 2, 13, 14, 15, 16, 17, 18, 19])
    assert average_precision_11(scores, positive) == pytest.approx((4 * 1 + 7 * 10 / 20) / 11)


def test_a_mean_per_class_of_one_class_is_its_accuracy():
    assert top1(np.array([5, 5, 2]), np.array([5, 5, 5]), "mean_per_class") == pytest.approx(2 / 3)


def test_the_calibration_error_is_torchmetrics_and_known_by_construction():
    right = np.arange(100) < 60
    assert calibration_error(np.full(100, 0.8), right) == pytest.approx(0.2)
    assert calibration_error(np.ones(10), np.arange(10) < 7) == pytest.approx(0.3)  # a confidence of 1 has a bin
    rng = np.random.default_rng(0)
    probabilities, y = rng.dirichlet(np.ones(4), 500), rng.integers(0, 4, 500)
    judged = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(y), 4, n_bins=15, norm="l1")
    found = calibration_error(probabilities.max(1), probabilities.argmax(1) == y)
    assert found == pytest.approx(float(judged), abs=1e-6)


# ---- the protocol ----


def test_the_45_strengths_are_the_authors():
    assert len(STRENGTHS) == 45
    np.testing.assert_allclose(1 / np.array(STRENGTHS[::-1]), np.logspace(-6, 5, 45), rtol=1e-4)


@pytest.mark.parametrize("metric", ["accuracy", "mean_per_class"])
def test_c_is_chosen_on_a_held_out_fifth_by_the_metric_and_the_result_is_scikit_learns(metric):
    x, y, test_x, test_y = clouds()
    probe = TransferProbe(C=(1e-3, 1e-2, 1e-1, 1.0), tol=1e-8)
    found = probe.choose(x, y, test_x, test_y, metric)
    kept, held = held_out(y, 0.2, 0)
    assert len(held) == pytest.approx(30, abs=2)

    def judge(rows, C, on, truth):
        return top1(Judge(C=C, tol=1e-9, max_iter=5000).fit(x[rows], y[rows]).predict(on), truth, metric)

    tried = {f"C {C:g}": judge(kept, C, x[held], y[held]) for C in probe.C}
    assert found.tried == pytest.approx(tried)
    C = max(probe.C, key=lambda one: tried[f"C {one:g}"])
    assert found.setting == {"C": C}
    assert found.accuracy == pytest.approx(judge(slice(None), C, test_x, test_y))
    fitted = Judge(C=C, tol=1e-9, max_iter=5000).fit(x, y).predict_proba(test_x)
    expected = calibration_error(fitted.max(1), np.unique(y)[fitted.argmax(1)] == test_y)
    assert found.calibration == pytest.approx(expected, abs=1e-4) and found.stopped == []


def test_labels_need_not_be_contiguous():
    x, y, test_x, test_y = clouds()
    plain = TransferProbe(C=(1.0, 10.0)).choose(x, y, test_x, test_y, "mean_per_class")
    gaps = np.array([3, 70, 1_000_000])
    found = TransferProbe(C=(1.0, 10.0)).choose(x, gaps[y], test_x, gaps[test_y], "mean_per_class")
    assert found == plain


def test_validation_images_choose_c_in_place_of_a_fifth():
    x, y, test_x, test_y = clouds()
    probe = TransferProbe(C=(1e-4, 1e-2, 1.0))
    found = probe.choose(x, y, test_x, test_y, "accuracy", validation=50)
    for C, score in zip(probe.C, found.tried.values(), strict=True):
        judge = Judge(C=C, tol=1e-9, max_iter=5000).fit(x[:100], y[:100])
        assert score == pytest.approx(judge.score(x[100:], y[100:]))


def test_of_images_with_several_classes_each_class_has_a_regression_and_unknown_labels_are_left_out():
    x, y, test_x, test_y = several()
    probe = TransferProbe(C=(1e-2, 1.0), tol=1e-9)
    found = probe.choose(x, y, test_x, test_y, "map11")
    kept, held = held_out(np.zeros(len(y), np.int64), 0.2, 0)

    def judge(rows, C, on, truth):
        precisions = []
        for k in range(3):
            known, test_known = rows[y[rows, k] >= 0], truth[:, k] >= 0
            fitted = Judge(C=C, tol=1e-10, max_iter=5000).fit(x[known], y[known, k])
            precisions.append(average_precision_11(fitted.decision_function(on[test_known]), truth[test_known, k] == 1))
        return np.mean(precisions)

    tried = {C: judge(kept, C, x[held], y[held]) for C in probe.C}
    assert list(found.tried.values()) == pytest.approx(list(tried.values()), abs=1e-6)
    C = max(tried, key=tried.get)
    assert found.setting == {"C": C} and found.calibration is None
    assert found.accuracy == pytest.approx(judge(np.arange(len(y)), C, test_x, test_y), abs=1e-6)
    test_y[test_y < 0] = 1  # an unknown label would change the result, were it not left out
    assert probe.choose(x, y, test_x, test_y, "map11").accuracy != pytest.approx(found.accuracy, abs=1e-6)


def test_what_no_classifier_can_be_fitted_to_is_refused():
    x, y, test_x, test_y = clouds()
    probe = TransferProbe(C=(1.0,))
    with pytest.raises(ConfigError, match="one class"):
        probe.choose(x, np.zeros_like(y), test_x, test_y, "accuracy")
    with pytest.raises(ConfigError, match="NaN"):
        probe.choose(np.where(x > 2, np.nan, x), y, test_x, test_y, "accuracy")
    x, y, test_x, test_y = several()
    y[:, 1] = 0
    with pytest.raises(ConfigError, match="none of the 96 training images shows dog"):
        probe.choose(x, y, test_x, test_y, "map11", names=["cat", "dog", "cow"])
    for wrong in ({"C": (0.0,)}, {"C": ()}, {"tol": -1.0}, {"max_iter": 0}, {"share": 1.0}):
        with pytest.raises(ConfigError, match="above 0|empty"):
            TransferProbe(**wrong)


def test_a_fit_that_has_not_converged_is_said(caplog):
    x, y, test_x, test_y = clouds()
    with caplog.at_level(logging.WARNING):
        found = TransferProbe(C=(1e5,), max_iter=2).choose(x, y, test_x, test_y, "accuracy")
    assert "has not converged" in caplog.text and found.stopped == [1e5]


# ---- the command and the function ----


def coloured(folder, seed, images=10):
    """Images of three classes, each a colour with noise."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(images):
            save(folder / name / f"{name}_{i:02}.png", np.array(colour), rng)
    return folder


def save(path, colour, rng):
    pixels = colour + rng.integers(-25, 26, (16, 16, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def voc_folder(root, images=24):
    """A folder in VOC's form: images with a blue, a green, both or no half, and lists for train, val and test."""
    rng = np.random.default_rng(5)
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        lines = {"blue": [], "green": []}
        for i in range(images):
            name, shows = f"{number}{i:05}", {"blue": i % 2, "green": i // 2 % 2}
            pixels = rng.integers(90, 140, (16, 16, 3))
            for half, (colour, shown) in enumerate(shows.items()):
                if shown:
                    pixels[:, 8 * half : 8 * half + 8] = COLOURS[colour]
            Image.fromarray(pixels.astype(np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
            for colour, shown in shows.items():
                lines[colour].append(f"{name} {' 1' if shown else '-1'}")
        lines["blue"][0] = f"{number}00000  0"
        for colour, those in lines.items():
            (root / "ImageSets" / "Main" / f"{colour}_{split}.txt").write_text("\n".join(those) + "\n")
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two data sets of class folders, one in VOC's form, a list of them, and a checkpoint of two steps."""
    folder = tmp_path_factory.mktemp("transfer")
    for seed, part in enumerate(("train", "val", "test")):
        coloured(folder / "colours" / part, seed)
    voc_folder(folder / "voc")
    sets = {
        "plain": {"train": "colours/train", "test": "colours/test"},
        "with_val": {
            "train": "colours/train",
            "val": "colours/val",
            "test": "colours/test",
            "metric": "mean_per_class",
        },
        "voc": {"voc": "voc", "train": "train", "val": "val", "test": "test", "metric": "map11"},
    }
    (folder / "sets.yaml").write_text(yaml.safe_dump(sets, sort_keys=False))
    return {"folder": folder, "sets": sets, "checkpoint": sample_checkpoint(folder, sample_folder(folder))}


def call(made, sets, **options):
    folder = made["folder"]
    keywords = {"root": folder, "num_workers": 1, "cache_dir": folder / "cache", **options}
    return massrl.transfer(made["checkpoint"], sets, **keywords)


def test_every_set_has_its_metric_and_the_table_the_json_and_the_means_agree(made, tmp_path, capsys):
    words = ["--checkpoint", str(made["checkpoint"]), "--sets", str(made["folder"] / "sets.yaml")]
    words += ["--root", str(made["folder"]), "--cache_dir", str(made["folder"] / "cache"), "--num_workers", "1"]
    assert main(["transfer", *words, "--json", str(tmp_path / "record.json")]) == 0
    shown = capsys.readouterr().out
    record = json.loads((tmp_path / "record.json").read_text())
    assert list(record["sets"]) == ["plain", "with_val", "voc"] and record["protocol"] == "transfer v1"
    assert record["selection"] == "chosen on a held-out part of the training images" and not record["optimistic"]
    assert [one["metric"] for one in record["sets"].values()] == ["accuracy", "mean_per_class", "map11"]
    assert record["sets"]["with_val"]["images"] == {"train": 30, "val": 30, "test": 30}
    assert record["sets"]["voc"]["images"] == {"train": 24, "val": 24, "test": 24}
    assert all(len(one["scores"]["trained"]["tried"]) == 45 for one in record["sets"].values())
    for row, key in (("trained", "accuracy"), ("random", "untrained"), ("pixels", "pixels")):
        values = [one["scores"][row]["value"] for one in record["sets"].values()]
        assert record[key]["mean"] == pytest.approx(np.mean(values))
        for value in values:
            assert f"{100 * value:.1f}" in shown
    assert record["sets"]["plain"]["scores"]["pixels"]["value"] == 1.0  # colours are told apart by pixels
    assert record["sets"]["voc"]["scores"]["pixels"]["value"] > 0.95
    assert "11-point mAP" in shown and "mean per class" in shown


def test_a_set_alone_gives_what_it_gives_among_others_and_its_features_are_those_of_its_images(made):
    found = call(made, made["folder"] / "sets.yaml", only=["with_val", "voc"])
    alone = call(made, {"with_val": made["sets"]["with_val"]})
    assert alone.to_dict()["sets"]["with_val"] == found.to_dict()["sets"]["with_val"]
    assert alone.accuracy == found.sets["with_val"].scores["trained"].accuracy
    # the same by hand, from the features of train and val one after the other
    folder, cache = made["folder"], made["folder"] / "cache"
    of = {part: feature_rows({"t": made["checkpoint"]}, folder / "colours" / part, folder / "colours/test",
                             num_workers=1, cache_dir=cache).features["t"] for part in ("train", "val")}  # fmt: skip
    x, y = (np.concatenate([getattr(of[part][0], name) for part in of]) for name in ("x", "y"))
    test = of["train"][1]
    by_hand = TransferProbe().choose(x, y, test.x, test.y, "mean_per_class", validation=30)
    assert by_hand.accuracy == alone.accuracy and by_hand.setting == alone.sets["with_val"].scores["trained"].setting
    assert "with_val" in repr(alone) and "<table>" in alone._repr_html_()


def test_beton_files_and_their_patterns_take_the_place_of_folders(made, tmp_path):
    for part in ("train", "val", "test"):
        main(["data", "write", str(made["folder"] / "colours" / part), str(tmp_path / f"{part}-0.beton")])
    entry = {**made["sets"]["with_val"], **{part: f"{part}-0.beton" for part in ("train", "val", "test")}}
    of_folders = call(made, {"s": made["sets"]["with_val"]})
    of_files = call(made, {"s": entry}, root=tmp_path)
    assert of_files.accuracy == of_folders.accuracy
    pattern = call(made, {"s": {**entry, "train": "train-*.beton"}}, root=tmp_path)
    assert pattern.accuracy == of_folders.accuracy
    listed = call(made, {"s": {**entry, "train": ["train-0.beton", "val-0.beton"], "val": None}}, root=tmp_path)
    assert listed.sets["s"].images == {"train": 60, "val": 0, "test": 30}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train": "train", "test": "train"}, "training and test images .* accuracy on training images"),
        ({"train": "train", "val": "val", "test": "train"}, "training and test images"),
        ({"train": "train", "val": "test", "test": "test"}, "validation and test images .* chosen on test images"),
        ({"train": "train", "val": "train", "test": "test"}, "training and validation .* chosen on training images"),
        ({"train": "test", "test": "train"}, "swapped"),
    ],
)
def test_parts_with_the_same_images_are_said_loudly(made, parts, words):
    found = call(made, {"same": {part: f"colours/{folder}" for part, folder in parts.items()}})
    assert re.search(f"WARNING: same: .*{words}", repr(found))
    assert re.search(words, found.to_dict()["sets"]["same"]["warnings"][0])


@pytest.mark.parametrize(
    ("parts", "words"),
    [({"train": "train", "test": "train"}, "24 of the 24 test images are also training"),
     ({"train": "trainval", "val": "val", "test": "test"}, "24 of the 24 validation images are also training")],
)  # fmt: skip
def test_parts_of_voc_that_share_images_are_said_loudly(made, tmp_path, parts, words):
    shutil.copytree(made["folder"] / "voc", tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    for name in ("blue", "green"):
        (lists / f"{name}_trainval.txt").write_text(
            (lists / f"{name}_train.txt").read_text() + (lists / f"{name}_val.txt").read_text()
        )
    found = call(made, {"voc": {"voc": str(tmp_path / "voc"), "metric": "map11", **parts}})
    assert words in found.to_dict()["sets"]["voc"]["warnings"][0]


def test_changed_labels_of_voc_change_the_record(made, tmp_path):
    shutil.copytree(made["folder"] / "voc", tmp_path / "voc")
    entry = {"v": {**made["sets"]["voc"], "voc": str(tmp_path / "voc")}}
    first = call(made, entry).to_dict()["sets"]["v"]["labels_sha256"]
    file = tmp_path / "voc" / "ImageSets" / "Main" / "green_train.txt"
    file.write_text(file.read_text().replace(" 1", "-1", 1))
    assert call(made, entry).to_dict()["sets"]["v"]["labels_sha256"] != first


def test_a_checkpoint_that_is_replaced_between_two_sets_is_an_error(made, tmp_path, monkeypatch):
    checkpoint = tmp_path / "c.ckpt"
    shutil.copy(made["checkpoint"], checkpoint)
    other = massrl.load(made["checkpoint"])
    real, done = module._on_set, []

    def on_set(*args):
        found = real(*args)
        done.append(found)
        content = torch.load(made["checkpoint"], weights_only=True)
        content["state_dict"] = {k: v + 1 if v.is_floating_point() else v for k, v in other.state_dict().items()}
        torch.save(content, checkpoint)
        return found

    monkeypatch.setattr(module, "_on_set", on_set)
    sets = {name: made["sets"]["plain"] for name in ("a", "b")}
    with pytest.raises(CheckpointError, match="was replaced during the evaluation"):
        massrl.transfer(checkpoint, sets, root=made["folder"], num_workers=1, cache_dir=made["folder"] / "cache")
    assert len(done) == 2


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ({"trian": "a", "test": "b"}, ConfigError, "Did you mean 'train'"),
        ({"train": "a"}, ConfigError, "test missing"),
        ({"train": "a", "test": "b", "val": ""}, ConfigError, "'' names no file"),
        ({"train": "a", "test": "b", "val": []}, ConfigError, "names no file"),
        ({"train": np.zeros(2), "test": "b"}, ConfigError, "names no file"),
        ({"train": "~/nowhere_at_all", "test": "colours/test"}, SourceError, "wrong: .*/nowhere_at_all"),
        ({"voc": "voc", "train": ["train", "val"], "test": "test", "metric": "map11"}, ConfigError, "name one split"),
        ({"train": "a", "test": "b", "metric": "map"}, ConfigError, "map11"),
        ({"train": "a", "test": "b", "metric": "map11"}, ConfigError, "go together"),
        ({"train": "a", "test": 3}, ConfigError, "3 names no file"),
        ("a", ConfigError, "needs train, test"),
        ({"train": "nowhere", "test": "colours/test"}, SourceError, "nowhere"),
        ({"voc": "voc", "train": "trian", "test": "test", "metric": "map11"}, SourceError, "CLASS_trian.txt"),
        ({"voc": "nowhere", "train": "train", "test": "test", "metric": "map11"}, SourceError, "VOCdevkit"),
    ],
)
def test_entries_that_do_not_fit_are_refused_in_one_line(made, entry, kind, words):
    with pytest.raises(kind, match="(?s)" + words.replace("'", ".")) as refused:
        call(made, {"wrong": entry})
    assert "\n" not in str(refused.value)


def test_lists_that_do_not_fit_are_refused(made, tmp_path, capsys):
    with pytest.raises(UnknownName, match="plain"):
        call(made, made["sets"], only=["plian"])
    twice = "a: {train: x, test: y}\na: {train: x, test: z}"
    for text in ("a: [", "- a", "3", "", "2007: {train: x, test: y}", "a: 2020-02-31", "[" * 3000, twice, "[1]: 2"):
        (tmp_path / "sets.yaml").write_text(text)
        with pytest.raises(ConfigError, match="sets.yaml") as refused:
            read_sets(tmp_path / "sets.yaml")
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="quotes"):
        read_sets({2007: {"train": "x", "test": "y"}})
    for wrong in (3, [["a"]], ","):
        with pytest.raises(ConfigError, match="only"):
            read_sets(made["sets"], only=wrong)
    assert [one.name for one in read_sets(made["sets"], only="voc, plain,")] == ["plain", "voc"]
    for wrong, words in ((dict(root=3), "root is 3"), (dict(given="a\0b"), "null")):
        with pytest.raises(ConfigError, match=words):
            read_sets(**{"given": made["sets"], **wrong})
    with pytest.raises(ConfigError, match="No such file"):
        read_sets(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="names no data set"):
        read_sets({})
    with pytest.raises(ConfigError, match="sets is 3"):
        read_sets(3)
    with pytest.raises(ConfigError, match="batch_size"):
        call(made, made["sets"], batch_size=0)
    assert main(["transfer", "--checkpoint", "x"]) == 2
    assert "missing: --sets" in capsys.readouterr().err


def test_voc_lists_that_do_not_fit_are_refused(made, tmp_path):
    root = tmp_path / "voc"
    shutil.copytree(made["folder"] / "voc", root)
    lists = root / "ImageSets" / "Main"
    entry = {"v": {**made["sets"]["voc"], "voc": str(root)}}
    original = (lists / "green_train.txt").read_text()
    for wrong, words in (
        (original.replace("-1", "2", 1), "line 1 is no image name"),
        ("", "no line"),
        ("".join(original.splitlines(True)[1:]), "lists other images"),
        (original + original.splitlines(True)[0], "names the image 000000 twice"),
    ):
        (lists / "green_train.txt").write_text(wrong)
        with pytest.raises(SourceError, match=words):
            call(made, entry)
    (lists / "green_train.txt").write_text(original)
    (root / "JPEGImages" / "000003.jpg").unlink()
    with pytest.raises(SourceError, match="no image of 1 of the 24 names.*000003"):
        call(made, entry)


def test_other_class_folders_are_refused(made, tmp_path):
    coloured(tmp_path / "test", 3)
    (tmp_path / "test" / "red").rename(tmp_path / "test" / "aaa")
    train = str(made["folder"] / "colours/train")
    with pytest.raises(SourceError, match="other class folders"):
        call(made, {"s": {"train": train, "test": str(tmp_path / "test")}})
    main(["data", "write", train, str(tmp_path / "part-0.beton")])
    with pytest.raises(SourceError, match="other class folders"):
        call(made, {"s": {"train": str(tmp_path / "part-*.beton"), "test": str(tmp_path / "test")}})


@pytest.mark.parametrize("part", ["val", "test"])
def test_images_of_a_class_that_no_training_image_is_of_are_refused(made, tmp_path, part):
    for name in ("train", "val", "test"):
        shutil.copytree(made["folder"] / "colours" / name, tmp_path / name)
    (tmp_path / "train" / "red").rename(tmp_path / "gone")
    for name in ("train", "val", "test"):
        main(["data", "write", str(tmp_path / name), str(tmp_path / f"{name}.beton")])
        (tmp_path / f"{name}.index.json").unlink()
    entry = {"train": "train.beton", part: f"{part}.beton", "test": f"{part}.beton"}
    with pytest.raises(SourceError, match="s: .*has images of class 2, which no image of"):
        call(made, {"s": entry}, root=tmp_path)


def test_what_cannot_be_fitted_is_said_before_the_first_set_takes_its_time(made, tmp_path):
    coloured(tmp_path / "one", 0, images=1)
    sets = {"plain": made["sets"]["plain"], "few": {"train": str(tmp_path / "one"), "test": "colours/test"}}
    with pytest.raises(ConfigError, match="few: .*no class has two images.*give val"):
        call(made, sets, cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("features.npz"))


def test_check_runs_the_whole_way_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["transfer", "--check"]) == 0
    said = capsys.readouterr().out
    assert "check passed" in said and "checkpoint: a tiny ResNet" in said and not list(tmp_path.iterdir())
