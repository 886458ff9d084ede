import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from data_loading import Batch
from data_loading.errors import ConfigError
from massrl.cli import report as command
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.knn import KNN
from massrl.report import build, plots, style
from massrl.report.content import read
from massrl.report.figures import some_of_each
from massrl.runs.folder import read_csv
from massrl.runs.record import write_json

MEASURES = ("linear_1_per_class", "linear_10pct", "linear_all", "knn")


def accuracies(**means):
    """Accuracies of `means` (row -> mean) at every measure."""
    return {
        m: {name: {"mean": mean, "std": 0.02 if "all" not in m else None, "draws": 20} for name, mean in means.items()}
        for m in MEASURES
    }


def training(path, method, values=(3.0, 2.0, 1.0)):
    path.mkdir(parents=True)
    rows = [f"{i},{i * 10 + 9},{value},{0.1 * i if i else ''}" for i, value in enumerate(values)]
    (path / "metrics.csv").write_text("\n".join(["epoch,step,loss,knn", *rows]) + "\n")
    config = (
        f"model: {{class_path: massrl.methods.{method}, init_args: {{backbone: tiny_resnet}}}}\ndata: {{train: gone}}\n"
    )
    (path / "config.yaml").write_text(config)


def make_quickstart(folder):
    run = folder / "quickstart"
    training(run / "massrl", "massrl.MASSRL")
    training(run / "simclr", "simclr.SimCLR")
    found = accuracies(pixels=0.6, random=0.4, massrl=0.85, simclr=0.9)
    write_json(run / "metrics.json", {**found, "seconds": {"write": 0.1, "massrl": 60.0, "simclr": 59.0}})
    gain = {"mean": 0.25, "std": 0.02, "low": 0.24, "high": 0.26, "won": 20, "draws": 20}
    write_json(run / "evaluation.json", {"paired": {"linear_1_per_class": {"simclr": {"pixels": gain}}}})
    return run


@pytest.fixture
def quickstart(tmp_path):
    return make_quickstart(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The run folder of a quickstart with its page; drawing takes a second, so tests that only read share it."""
    run = make_quickstart(tmp_path_factory.mktemp("built"))
    build(run)
    return run


class Page(HTMLParser):
    """Collects tags, the addresses that a browser would fetch, and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.addresses, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "srcset", "href", "data")]
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(run):
    build(run)
    return parsed(run)


def parsed(run):
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert not page.open
    return page


def test_the_page_is_well_formed_and_asks_no_other_address(built):
    found = parsed(built)
    assert found.addresses
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    html = (built / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(|<script|<link", html)


def test_the_verdict_names_the_winner_and_the_gain_over_both_baselines(built):
    text = parsed(built).text
    assert "features of SimCLR classify 90.0 % of the test images correctly" in text
    assert "30.0 points more than raw pixels" in text
    assert "50.0 points more than the same network with random weights" in text
    assert "Other methods: MASSRL 85.0 %" in text


def test_a_method_below_a_baseline_is_said_to_be(quickstart):
    found = accuracies(pixels=0.6, random=0.4, massrl=0.5)
    write_json(quickstart / "metrics.json", found)
    text = page(quickstart).text
    assert "10.0 points less than raw pixels" in text
    assert "It is worse in: linear, 1 label/class (below raw pixels)" in text


def test_the_table_holds_mean_and_deviation_and_one_draw_has_none(built):
    text = parsed(built).text
    assert "60.0 ± 2.0" in text
    assert "+25.0 +24.0 to +26.0 20 of 20" in text
    rows = re.search(r"SimCLR</td>.*?</tr>", (built / "report.html").read_text()).group()
    assert rows.count("±") == 3  # of four measures one has a single draw


def test_the_measures_of_collapse_have_a_panel_each_and_a_run_without_them_has_no_section(tmp_path):
    run = tmp_path / "run"
    training(run, "simclr.SimCLR")
    assert "Health of the training" not in page(run).text
    (run / "metrics.csv").write_text("epoch,step,loss,h_rank,z_spread\n0,9,3,5.5,\n1,19,2,6,0.9\n2,29,1,,0.8\n")
    text = page(run).text
    assert "Health of the training" in text and "rank of features" in text and "spread of embeddings" in text
    assert "rank of embeddings" not in text  # not logged
    assert (run / "figures" / "health.png").exists() and (run / "figures" / "health_dark.png").exists()


def test_rates_and_speed_have_a_panel_each_and_the_advice_is_told(tmp_path):
    run = tmp_path / "run"
    training(run, "simclr.SimCLR")
    (run / "metrics.csv").write_text("epoch,step,loss,lr,data_wait\n0,9,3,0.1,\n1,19,2,0.2,0.4\n2,29,1,0.1,0.5\n")
    write_json(run / "metrics.json", {"training": {"advice": "data are the <bottleneck>"}})
    text = page(run).text
    assert "learning rate" in text and "waiting for data" in text and "momentum of the target" not in text
    assert "data are the <bottleneck>" in text and (run / "figures" / "pace.png").exists()


def test_a_panel_of_health_plots_what_was_logged_and_where_the_alarm_sounds():
    columns = {"epoch": np.array([0.0, 1.0]), "step": np.array([9.0, 19.0]), "z_rank": np.array([3.0, np.nan])}
    figure = plots.health_curves({"a": columns, "b": columns}, {"z_rank": "rank", "x": "none"}, {"z_rank": 2.0})
    lines = figure.axes[0].get_lines()
    assert [line.get_xydata().tolist() for line in lines[:2]] == [[[1.0, 3.0]], [[1.0, 3.0]]]
    assert set(lines[4].get_ydata()) == {2.0} and len(lines) == 5
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_protocols_have_their_source_and_how_they_choose_and_those_of_old_evaluations_are_left_out(quickstart):
    evaluation = json.loads((quickstart / "evaluation.json").read_text())
    write_json(quickstart / "evaluation.json", {**evaluation, "protocols": {"knn v1": {"k": 20}}})
    assert "How it was measured" not in page(quickstart).text
    cards = [{**KNN().card(), "selection": "optimistic: <chosen>"}]
    write_json(quickstart / "evaluation.json", {**evaluation, "protocols": cards})
    text = page(quickstart).text
    assert "How it was measured" in text and KNN().title in text and KNN.source in text
    assert "optimistic: <chosen>" in text and "k 20" in text


def test_a_plain_run_says_that_it_is_not_measured_and_where_the_checkpoint_is(tmp_path):
    checkpoint = sample_checkpoint(tmp_path, sample_folder(tmp_path))
    run = checkpoint.parents[1]
    text = page(run).text
    assert "SimCLR has been trained but not evaluated" in text
    assert f"massrl knn --checkpoint {checkpoint}" in text
    assert "tiny_resnet" in text
    assert (run / "figures" / "loss.png").exists()
    assert (run / "figures" / "views_simclr.png").exists()


def evaluate(words, run, images, folder):
    """Call a command of `massrl` on a run, with the images as train and test."""
    given = {"checkpoint": run, "train": images, "test": images, "cache_dir": folder / "cache", "num_workers": 1}
    options = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    assert main([*words.split(), *options]) == 0


def test_evaluations_of_a_run_are_kept_and_shown_with_their_cards(tmp_path, capsys):
    images = sample_folder(tmp_path)
    checkpoint = sample_checkpoint(tmp_path, images)
    run = checkpoint.parents[1]
    calls = ("knn --k 3", "knn --k 5", "linear --labels one --draws 2", "linear --C 9", "knn --k 1,3 --select test")
    for words in calls:
        evaluate(words, run if "knn" in words else checkpoint, images, tmp_path)
        assert "kept for massrl report: " in capsys.readouterr().out
    records = [json.loads(path.read_text()) for path in sorted((run / "evaluations").iterdir())]
    assert [one["protocol"] for one in records] == ["knn-grid v1", "knn v2", "knn v2", "linear v2", "linear v2"]
    text = page(run).text
    assert "SimCLR has been trained; what it was evaluated by stands below" in text
    assert all(f"{100 * one['accuracy']['mean']:.1f}" in text for one in records) and "labels: one" in text
    assert "5. linear v2" in text and "C 9.0" in text and "C 1.0" in text  # a card for each setting
    assert "optimistic: chosen on the test images" in text and "same content: this is an accuracy on training" in text
    assert KNN.source in text and "of an earlier checkpoint" not in text
    evaluate("knn --k 3", run, images, tmp_path)
    assert len(list((run / "evaluations").iterdir())) == len(calls)

    torch.save({**torch.load(checkpoint, weights_only=True), "more": 1}, checkpoint)  # as after going on
    assert "of an earlier checkpoint of this run" in page(run).text


def test_what_is_no_record_of_an_evaluation_is_left_out_of_the_report(tmp_path, caplog):
    run = sample_checkpoint(tmp_path, sample_folder(tmp_path)).parents[1]
    (run / "evaluations").mkdir()
    (run / "evaluations" / "list.json").write_text("[]")
    (run / "evaluations" / "torn.json").write_text('{"accuracy": ')
    (run / "evaluations" / "other.json").write_text('{"accuracy": 0.5}')
    assert "has been trained but not evaluated" in page(run).text
    for name in ("list", "torn", "other"):
        assert f"{name}.json" in caplog.text


def test_an_evaluation_that_cannot_be_kept_is_a_warning(tmp_path, caplog):
    images = sample_folder(tmp_path)
    run = sample_checkpoint(tmp_path, images).parents[1]
    (run / "evaluations").touch()
    evaluate(f"knn --k 3 --json {tmp_path / 'a.json'}", run, images, tmp_path)
    assert "this evaluation is not kept for the report" in caplog.text and (tmp_path / "a.json").exists()


def test_checks_and_the_zoo_keep_no_evaluation(tmp_path, monkeypatch):
    images = sample_folder(tmp_path)
    run = sample_checkpoint(tmp_path, images).parents[1]
    monkeypatch.chdir(run)
    evaluate("knn --k 3", "zoo:cifar10-simclr", images, tmp_path)
    evaluate("knn --k 3 --check", run, images, tmp_path)
    assert not (run / "evaluations").exists()


def test_a_run_without_labels_shows_rank_and_alignment(tmp_path):
    training(tmp_path / "massrl", "massrl.MASSRL")
    write_json(tmp_path / "metrics.json", {"rank": 41.25, "alignment": 0.31, "seconds": {"massrl": 3.0}})
    write_json(tmp_path / "evaluation.json", {"untrained": {"rank": 12.5, "alignment": 0.2}})
    text = page(tmp_path).text
    assert "about 41.2 directions (with random weights: 12.5)" in text
    assert "0.310" in text
    assert "raw pixels" not in text


def test_collapse_is_called_collapse(tmp_path):
    training(tmp_path / "massrl", "massrl.MASSRL")
    write_json(tmp_path / "metrics.json", {"rank": 1.02, "alignment": 0.0})
    assert "This is a collapse" in page(tmp_path).text


def test_words_of_the_run_cannot_become_markup(tmp_path):
    run = tmp_path / "a<b>&"
    training(run, "massrl.MASSRL")
    (run / "config.yaml").write_text("model: {class_path: '<script>alert(1)</script>'}\n")
    build(run)
    assert "<script" not in (run / "report.html").read_text()


def test_building_again_gives_the_same_page_and_leaves_nothing_beside_it(built):
    first = (built / "report.html").read_bytes()
    build(built)
    assert (built / "report.html").read_bytes() == first
    assert not [p for p in built.rglob(".*")]


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_that_is_no_run_is_refused(tmp_path, make):
    run = tmp_path / "empty"
    if make:
        run.mkdir()
    with pytest.raises(ConfigError, match="empty: (no such run folder|not a run folder)"):
        build(run)


def test_a_log_whose_last_row_is_torn_is_plotted_without_it(tmp_path, caplog):
    training(tmp_path / "massrl", "massrl.MASSRL")
    (tmp_path / "massrl" / "metrics.csv").write_text("epoch,step,loss\n0,9,1.\n1,19,0.5\n2,")
    found = read(tmp_path)
    assert found.left_out == [] and "its last row is torn" in caplog.text
    assert found.runs["massrl"].columns["loss"].tolist() == [1.0, 0.5] and found.runs["massrl"].epochs == 2


NESTED = '{"a":' * 3000 + "1" + "}" * 3000
DAMAGES = [
    *(
        (name, content)
        for name in ("metrics.json", "evaluation.json", "environment.json")
        for content in (b"{", b"[1]", b"3", b"\xff\xfe\x00", b"\0", NESTED.encode())
    ),
    ("metrics.json", b'{"knn": 5}'),
    ("metrics.json", b'{"knn": {"massrl": {"mean": "high", "std": null, "draws": 1}}}'),
    ("metrics.json", b'{"knn": {"massrl": {"mean": 0.5}}}'),
    ("metrics.json", b'{"seconds": [1, 2]}'),
    ("metrics.json", b'{"rank": "full"}'),
    ("metrics.json", b'{"training": 3}'),
    ("evaluation.json", b'{"paired": {"knn": {"massrl": {"pixels": {"mean": 1}}}}}'),
    ("evaluation.json", b'{"protocols": [1]}'),
    ("evaluation.json", b'{"untrained": {"rank": "low"}}'),
    ("environment.json", b'{"started": 3}'),
    *(
        ("config.yaml", content)
        for content in (b"a: [", b"[1]", b"\xff\xfe", b"model: 3", b"data: {views: 3}", b"a: 1\na: 2")
    ),
    ("config.yaml", b"model: {class_path: BYOL, init_args: [1]}"),
    *(("metrics.csv", content) for content in (b"\xff\xfe\x81", b"epoch,loss\n0,x\n1,2\n", b"\0\0\0\n\0\n\0")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGES, ids=lambda part: str(part)[:40])
def test_a_damaged_file_counts_as_missing_and_is_named_in_one_line(tmp_path, name, content, caplog):
    training(tmp_path / "run", "massrl.MASSRL")
    (tmp_path / "run" / name).write_bytes(content)
    found = read(tmp_path / "run")
    assert len(found.left_out) == 1 and found.left_out[0].startswith(f"{tmp_path / 'run' / name}: ")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{found.left_out[0]}; it is left out of the report"] and "\n" not in lines[0]
    as_missing = {"config.yaml": "config", "environment.json": "environment", "metrics.csv": "columns"}.get(
        name, "metrics"
    )
    run = next(iter(found.runs.values()))
    assert (found.evaluation if name == "evaluation.json" else getattr(run, as_missing)) == {}


def test_a_page_is_made_of_what_is_whole_and_says_what_is_not(tmp_path, capsys):
    training(tmp_path / "run", "massrl.MASSRL")
    (tmp_path / "run" / "metrics.json").write_bytes(b"\xff")
    (tmp_path / "run" / "config.yaml").write_text("[1]")
    assert command.main([str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("run/metrics.json: not valid JSON") == page.count("run/config.yaml: holds a list") == 1
    assert "Loss and online accuracy over epochs" in page  # metrics.csv is whole


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"accuracy": {"mean": "x", "std": null}}', b"\xff"])
def test_a_damaged_record_of_an_evaluation_is_left_out(tmp_path, content, caplog):
    training(tmp_path / "run", "massrl.MASSRL")
    (tmp_path / "run" / "evaluations").mkdir()
    (tmp_path / "run" / "evaluations" / "knn.json").write_bytes(content)
    assert "Evaluations of this run" not in build(tmp_path / "run").read_text(encoding="utf-8")
    assert "evaluations/knn.json" in caplog.text


def test_the_command_prints_the_path_of_the_page(quickstart, capsys):
    assert command.main([str(quickstart)]) == 0
    assert capsys.readouterr().out.strip() == str(quickstart / "report.html")


def test_the_check_of_the_command_leaves_nothing(tmp_path, capsys):
    assert command.main(["--check"]) == 0
    assert "check passed" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_columns_without_a_value_are_nan(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,step,loss\n0,1,\n0,2,3.5\n")
    np.testing.assert_array_equal(read_csv(tmp_path / "m.csv")["loss"], [np.nan, 3.5])


def test_a_figure_is_saved_in_a_light_and_a_dark_theme(tmp_path):
    def draw():
        figure = style.new_figure(2, 1)
        figure.subplots()
        return figure

    path = style.save(tmp_path / "a.png", draw)
    from PIL import Image

    corner = {p.name: Image.open(p).convert("RGB").getpixel((0, 0)) for p in (path, style.dark(path))}
    assert corner == {"a.png": (255, 255, 255), "a_dark.png": (0x1A, 0x1D, 0x23)}


def test_a_file_that_drawing_misses_is_not_told_as_one_that_cannot_be_written(tmp_path):
    def draw():
        raise FileNotFoundError("DejaVuSans.ttf")

    with pytest.raises(FileNotFoundError, match=r"DejaVuSans\.ttf"):
        style.save(tmp_path / "a.png", draw)
    assert list(tmp_path.iterdir()) == []


def test_the_running_mean_of_a_constant_is_the_constant():
    np.testing.assert_allclose(plots._smooth(np.full(100, 2.5)), 2.5)


def test_the_epoch_axis_ends_at_the_number_of_epochs():
    columns = {"epoch": np.array([0.0, 0, 1, 1]), "step": np.array([4.0, 9, 14, 19]), "loss": np.ones(4)}
    np.testing.assert_allclose(plots._known(columns, "loss")[0], [0.5, 1, 1.5, 2])


def test_a_run_that_ends_within_an_epoch_ends_there_on_the_axis():
    columns = {"epoch": np.array([0.0, 0, 1]), "step": np.array([4.0, 9, 14]), "loss": np.ones(3)}
    np.testing.assert_allclose(plots._known(columns, "loss")[0], [0.5, 1, 1.5])


def test_a_map_of_equal_features_is_one_point():
    assert not plots.tsne(np.ones((8, 40), np.float32)).any()


def test_a_difference_whose_interval_contains_0_is_neither_good_nor_bad(quickstart):
    gain = {"mean": 0.25, "std": 0.02, "low": -0.1, "high": 0.6, "won": 11, "draws": 20}
    write_json(quickstart / "evaluation.json", {"paired": {"knn": {"simclr": {"pixels": gain}}}})
    build(quickstart)
    assert '<td class="muted">+25.0</td>' in (quickstart / "report.html").read_text()


def test_the_grid_of_views_undoes_the_normalisation():
    image = torch.tensor([0.2, 0.5, 0.8])[:, None, None].expand(3, 4, 4)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    view = (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    figure = plots.views_grid(Batch.from_views([view[None], view[None]]), mean, std)
    shown = [np.asarray(drawn.get_array()) for drawn in figure.axes[0].images]
    assert len(shown) == 2
    np.testing.assert_allclose(shown[0], image.permute(1, 2, 0), atol=1e-6)


def test_neighbours_are_framed_by_whether_they_are_right():
    draw = np.random.default_rng(0)
    queries = draw.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    images = draw.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    right = np.array([[True, False, True], [False, False, False]])
    figure = plots.neighbours(queries, {"raw pixels": images}, {"raw pixels": right})
    frames = [style_of for patch in figure.axes[0].patches for style_of in [patch.get_edgecolor()]]
    from matplotlib.colors import to_rgba

    assert frames.count(to_rgba(style.RIGHT)) == 2
    assert frames.count(to_rgba(style.WRONG)) == 4
    assert not plots.neighbours(queries, {"raw pixels": images}).axes[0].patches


def test_the_map_takes_few_points_no_labels_and_many_classes():
    draw = np.random.default_rng(0)
    xy = plots.tsne(draw.normal(size=(5, 3)).astype(np.float32))
    assert xy.shape == (5, 2)
    assert np.isfinite(xy).all()
    for y in (None, np.full(5, -1), np.arange(5)):
        assert isinstance(plots.feature_map({"a": xy}, y), Figure)
    many = draw.normal(size=(60, 2))
    assert isinstance(plots.feature_map({"a": many, "b": many}, np.arange(60) % 30), Figure)


def test_queries_are_of_as_many_classes_as_there_are():
    y = np.array([0] * 50 + [1] * 3 + [2])
    rows = some_of_each(y, 5)
    assert len(set(rows)) == 5
    assert set(y[rows]) == {0, 1, 2}
    assert some_of_each(np.full(4, -1), 8).tolist() != []


def test_numbers_on_the_page_are_those_of_metrics_json(built):
    metrics = json.loads((built / "metrics.json").read_text())
    text = parsed(built).text
    for row in (metrics[m] for m in MEASURES):
        assert all(f"{100 * entry['mean']:.1f}" in text for entry in row.values())


# Hostile content: what a run folder holds can come from somebody else.

POISON = "<script>alert(1)</script>$x^$\x1b[31m\udcff"


def leaves(value, at=()):
    """Each number and text in JSON content with its place, a tuple of keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [(at, value)] if inner is None else [place for key, part in inner for place in leaves(part, (*at, key))]


def replaced(value, at, by):
    """A copy of JSON content in which the leaf at a place is another."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = by
    return copy


RECORD = {
    **KNN().card(), "accuracy": {"mean": 0.5, "std": 0.1}, "pixels": {"mean": 0.4, "std": None}, "layer": "layer4",
    "checkpoint_sha256": "0", "split": {"test": ["a/b", "c"]}, "warnings": ["look"], "branch": "target",
    "labels": "all", "optimistic": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run folder with every file that the report reads, and their JSON contents."""
    run = make_quickstart(tmp_path_factory.mktemp("hostile"))
    evaluation = json.loads((run / "evaluation.json").read_text())
    write_json(run / "evaluation.json", {**evaluation, "protocols": [KNN().card()], "untrained": {"rank": 3.0}})
    metrics = json.loads((run / "metrics.json").read_text())
    write_json(run / "metrics.json", {**metrics, "rank": 5.0, "alignment": 0.5})
    write_json(run / "simclr/metrics.json", {"training": {"alarm": "collapse", "loss": 3.0}, "seconds": {"fit": 2.0}})
    write_json(run / "simclr/environment.json", {"started": "2026-01-01T00:00:00", "command": "massrl"})
    (run / "simclr/evaluations").mkdir()
    write_json(run / "simclr/evaluations/knn.json", RECORD)
    return run


FILES = ("metrics.json", "evaluation.json", "simclr/metrics.json", "simclr/environment.json",
         "simclr/evaluations/knn.json")  # fmt: skip


def is_shown(at, value):
    """Whether the page shows a value as it is: texts, and the two numbers that are not computed with."""
    return isinstance(value, str) or at[-1] in ("won", "draws") and "paired" in at


@pytest.mark.parametrize("name", FILES)
def test_no_value_of_a_run_folder_becomes_markup(hostile, monkeypatch, name):
    monkeypatch.setattr(style, "save", lambda path, _: path)  # figures hold no markup, and take a second each
    content = json.loads((hostile / name).read_text())
    places = [at for at, value in leaves(content) if is_shown(at, value)]
    try:
        for at in places:
            write_json(hostile / name, replaced(content, at, POISON))
            build(hostile)
            html = (hostile / "report.html").read_text()
            assert "<script" not in html and "\x1b" not in html, at
    finally:
        write_json(hostile / name, content)
    assert len(places) >= {"metrics.json": 0, "simclr/metrics.json": 1, "simclr/environment.json": 2}.get(name, 4)


def test_no_name_of_a_run_folder_becomes_markup(tmp_path):
    run = make_quickstart(tmp_path)
    name = "<script>$x^$"  # the dollars would be mathematics in a plot, and wrong ones
    for file in ("metrics.json", "evaluation.json"):
        (run / file).write_text((run / file).read_text().replace('"simclr"', json.dumps(name)))
    (run / "simclr").rename(run / name)
    (run / name / "metrics.csv").write_text(f"epoch,step,loss,pair/{name}/b,h_rank\n0,9,3,0.5,2\n1,19,2,0.5,3\n")
    found = page(run)
    assert name in found.text and "<script" not in (run / "report.html").read_text()
