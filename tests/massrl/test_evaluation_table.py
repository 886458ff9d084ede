import json

import numpy as np
import pytest
from scipy import stats

from data_loading.errors import SourceError
from massrl.evaluation.features import Features
from massrl.evaluation.knn import KNN
from massrl.evaluation.linear import Linear
from massrl.evaluation.subsets import draw
from massrl.evaluation.table import compare, difference, format_table, summary
from massrl.runs.folder import save_metrics

MEASURES = ("linear_1_per_class", "linear_10pct", "linear_all", "knn")


def row(noise, seed=0, n=90, test=60, classes=3):
    generator = np.random.default_rng(seed)
    y = np.arange(n + test) % classes
    x = (np.eye(classes)[y] + noise * generator.normal(size=(n + test, classes))).astype(np.float32)
    index = np.arange(n + test)
    return Features(x[:n], y[:n], index[:n]), Features(x[n:], y[n:], index[n:])


@pytest.fixture(scope="module")
def rows():
    return {"pixels": row(0.6, 1), "random": row(0.9, 2), "massrl": row(0.3, 3)}


@pytest.fixture(scope="module")
def result(rows):
    return compare(rows, draws=4, seed=7)


def test_every_measure_has_every_row_with_mean_std_and_draws(result):
    for measure in MEASURES:
        assert list(result[measure]) == ["pixels", "random", "massrl"]
        for entry in result[measure].values():
            assert set(entry) == {"mean", "std", "draws"}
            assert 0 <= entry["mean"] <= 1
    assert result["linear_10pct"]["massrl"]["draws"] == 4
    assert result["knn"]["massrl"]["draws"] == 1


def test_one_draw_has_no_deviation(result):
    assert result["linear_all"]["massrl"]["std"] is None
    assert result["knn"]["massrl"]["std"] is None
    assert result["paired"]["knn"]["massrl"]["pixels"]["std"] is None


def test_all_rows_see_the_same_draws(rows, result):
    for name, (train, test) in rows.items():
        subsets = [draw(train.y, "10pct", 7, i) for i in range(4)]
        scores = Linear().accuracies(train.x, train.y, test.x, test.y, subsets)
        assert result["linear_10pct"][name]["mean"] == pytest.approx(np.mean(scores))
        assert result["linear_10pct"][name]["std"] == pytest.approx(np.std(scores, ddof=1))


def test_equal_rows_differ_by_exactly_nothing(rows):
    result = compare({"pixels": rows["massrl"], "massrl": rows["massrl"]}, draws=3)
    gain = result["paired"]["linear_1_per_class"]["massrl"]["pixels"]
    assert (gain["mean"], gain["std"], gain["won"]) == (0, 0, 0)


def test_the_protocols_are_those_that_were_asked_for(rows):
    result = compare(rows, knn=KNN(5, 0.1), linear=Linear(C=3.0), draws=2)
    cards = {card["protocol"]: card for card in result["protocols"]}
    assert cards["knn v2"]["parameters"] == {"k": 5, "tau": 0.1, "distance": "cosine"}
    assert cards["linear v2"]["parameters"]["C"] == 3.0 and cards["linear v2"]["selection"]


def test_the_interval_of_a_paired_difference_is_scipys():
    a, b = np.array([0.9, 0.8, 0.85, 0.7]), np.array([0.5, 0.6, 0.55, 0.72])
    gain = difference(a, b)
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (gain["low"], gain["high"]) == (pytest.approx(low), pytest.approx(high))
    assert gain["won"] == 3


def test_a_summary_by_hand():
    assert summary(np.array([0.5, 0.7])) == {"mean": 0.6, "std": pytest.approx(np.sqrt(0.02)), "draws": 2}
    assert summary(np.array([0.5])) == {"mean": 0.5, "std": None, "draws": 1}


def test_rows_of_other_images_are_refused(rows):
    train, test = rows["massrl"]
    with pytest.raises(ValueError, match="differ in their test images"):
        compare({**rows, "massrl": (train, test[::-1])}, draws=1)


def test_rows_without_labels_are_refused(rows):
    train, test = rows["massrl"]
    bare = Features(test.x, np.full_like(test.y, -1), test.index)
    with pytest.raises(SourceError, match="no labels"):
        compare({"massrl": (train, bare)}, draws=1)


def test_the_text_has_a_line_for_each_row_and_percent_with_deviation(result):
    lines = format_table(result, {"massrl": "MASSRL"}).splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == ["raw pixels", "untrained network", "MASSRL"]
    entry = result["linear_10pct"]["massrl"]
    assert f"{100 * entry['mean']:.1f} ± {100 * entry['std']:.1f}" in lines[4]


def test_metrics_json_holds_the_accuracies_and_seconds_alone_and_evaluation_json_the_rest(tmp_path, result):
    save_metrics(tmp_path, {**result, "seconds": {"write": 0.1, "massrl": 2.0}}, train_sha256="ab", split="digits")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == [*MEASURES, "seconds"]
    assert metrics["linear_all"]["pixels"] == {**result["linear_all"]["pixels"], "std": None}
    rest = json.loads((tmp_path / "evaluation.json").read_text())
    assert set(rest) == {"paired", "protocols", "train_sha256", "split", "versions", "git"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "metrics.json"]
