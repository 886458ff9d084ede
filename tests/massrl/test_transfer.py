"""Transfer: an encoder's frozen features on several data sets, each by its own metric, beside scikit-learn."""

import json
import logging
import shutil
from fractions import Fraction

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.linear_model import LogisticRegression as Judge
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve

import massrl
from data_loading.errors import ConfigError, SourceError, UnknownName, UserError
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.held_out import held_out
from massrl.evaluation.rows import feature_rows
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


def test_a_calibration_error_known_by_construction():
    probabilities = np.tile([0.8, 0.2], (100, 1))
    y = np.zeros(100, np.int64)
    y[:40] = 1  # said 80 %, right 60 %
    assert calibration_error(probabilities, y) == pytest.approx(0.2, abs=1e-6)


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
    assert 0 < found.calibration < 0.5


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
    C = found.setting["C"]
    precisions = []
    for k in range(3):
        known, test_known = y[:, k] >= 0, test_y[:, k] >= 0
        judge = Judge(C=C, tol=1e-10, max_iter=5000).fit(x[known], y[known, k])
        precisions.append(average_precision_11(judge.decision_function(test_x[test_known]), test_y[test_known, k] == 1))
    assert found.accuracy == pytest.approx(np.mean(precisions), abs=1e-6)
    assert found.calibration is None
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
    with pytest.raises(ConfigError, match="class 1.*positive"):
        probe.choose(x, y, test_x, test_y, "map11")
    with pytest.raises(ConfigError, match="above 0"):
        TransferProbe(C=(0.0,))


def test_a_fit_that_has_not_converged_is_said(caplog):
    x, y, test_x, test_y = clouds()
    with caplog.at_level(logging.WARNING):
        TransferProbe(C=(1e5,), max_iter=2).choose(x, y, test_x, test_y, "accuracy")
    assert "has not converged" in caplog.text


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
    listed = call(made, {"s": {**entry, "train": ["train-0.beton", "val-0.beton"], "val": None}}, root=tmp_path)
    assert listed.sets["s"].images == {"train": 60, "val": 0, "test": 30}


def test_training_images_as_test_images_are_said_loudly(made):
    found = call(made, {"same": {"train": "colours/train", "test": "colours/train"}})
    assert "WARNING: same" in repr(found) and found.to_dict()["sets"]["same"]["warnings"]


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ({"trian": "a", "test": "b"}, ConfigError, "Did you mean 'train'"),
        ({"train": "a"}, ConfigError, "test missing"),
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
    for text in ("a: [", "- a", "3", ""):
        (tmp_path / "sets.yaml").write_text(text)
        with pytest.raises(ConfigError, match="sets.yaml"):
            read_sets(tmp_path / "sets.yaml")
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
    (tmp_path / "test" / "red").rename(tmp_path / "test" / "rot")
    with pytest.raises(UserError, match="other class folders"):
        call(made, {"s": {"train": str(made["folder"] / "colours/train"), "test": str(tmp_path / "test")}})


def test_check_runs_the_whole_way_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["transfer", "--check"]) == 0
    assert "check passed" in capsys.readouterr().out and not list(tmp_path.iterdir())
