"""The page of a comparison: runs side by side, with what differs in their settings, per class, and neighbours."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from massrl.evaluation.comparison import Comparison
from massrl.evaluation.table import BASELINES, HEADINGS
from massrl.report import markup, plots, shared, style
from massrl.report.figures import NEAR, QUERIES, class_names, neighbour_pictures
from massrl.report.markup import Html
from massrl.runs.folder import LOG, read_csv
from massrl.zoo import FOLDER, PREFIX

MOST_CLASSES = 20  # in a confusion matrix; of more classes only the accuracies are shown


def build(found: Comparison, path: Path) -> Path:
    """Write the page, one self-contained HTML file, and return its path."""
    with tempfile.TemporaryDirectory() as temporary:
        figures = Path(temporary)
        sections = [
            _head(found),
            _accuracy(found, figures),
            _differences(found),
            _settings(found),
            _classes(found),
            _neighbours(found, figures),
            _training(found, figures),
            _record(found),
        ]
        return markup.write(path, markup.page("Comparison of massrl runs", "\n".join(filter(None, sections))))


def _head(found: Comparison) -> str:
    count = sum(map(len, found.variants.values()))
    train, test = found.rows.features["pixels"]
    chips = [] if count == 1 else [f"{count} runs", f"{len(found.variants)} variants"]
    chips += [
        f"{len(train)} training images",
        f"{len(test)} test images",
    ]
    items = "".join(f"<li>{escape(chip)}</li>" for chip in chips)
    loud = "".join(f'<p class="bad"><b>{escape(one)}</b></p>' for one in found.warnings)
    return (
        f'<header><h1>{escape(" against ".join(found.variants))}</h1>\n<p class="muted">Frozen encoders on the same '
        f'images and the same label subsets.</p>\n<ul class="chips">{items}</ul>{loud}</header>'
    )


def _table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = cells
    return markup.table(head, rows)


def _accuracy(found: Comparison, figures: Path) -> str:
    metrics = found.to_dict()["accuracies"]
    bars = style.save(figures / "accuracy.png", lambda: plots.accuracy_bars(metrics))
    draws = max(x.shape[1] for x in found.scores["linear_1_per_class"].values())
    note = (
        f"± is the standard deviation over trainings where a variant has several, else over {draws} label subsets. The "
        "untrained network is the first run's, with random weights."
    )
    caption = "The accuracies of the table; whiskers are the standard deviation."
    return markup.section(
        "Accuracy of the features",
        _table(found.cells()),
        markup.paragraph(note, "muted"),
        markup.picture(bars, caption, "Bar chart of the accuracies"),
    )


def _differences(found: Comparison) -> str:
    rows = []
    for a, b in found.pairs():
        for measure in found.scores:
            gain = found.difference(measure, a, b)
            sure = gain["over"] is not None and gain["low"] * gain["high"] > 0
            tone = ("good" if gain["mean"] > 0 else "bad") if sure else "muted"
            interval = f"{100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}" if gain["over"] else ""
            over = f"{gain['draws']} {gain['over']}" if gain["over"] else ""
            number = Html(f'<td class="{tone}">{100 * gain["mean"]:+.1f}</td>')
            rows.append([f"{a} over {BASELINES.get(b, b)}", HEADINGS[measure], number, interval, over])
    note = (
        "Differences are paired: equal label subsets, and equal seeds of the trainings, unless these are said to be "
        "unpaired. An interval over label subsets says nothing about other trainings; no interval covers other test "
        "images. Grey: the interval contains 0, or there is none."
    )
    head = ["Difference", "", "points", "95 % interval", "over"]
    return markup.section("Paired differences", markup.table(head, rows), markup.paragraph(note, "muted"))


def _settings(found: Comparison) -> str:
    if len(found.variants) == 1:
        return ""
    cells = found.setting_cells()
    if len(cells) == 1:
        return markup.section("Settings", markup.paragraph("The variants have the same settings."))
    return markup.section("Settings that differ", _table(cells))


def _classes(found: Comparison) -> str:
    """Accuracy of each class by kNN, and where its images go."""
    truth = found.rows.features["pixels"][1].y
    labels = np.unique(truth)
    names = class_names(found.rows.files["train"]) or []
    titles = [names[c] if c < len(names) else str(c) for c in labels.tolist()]
    head = ["class", "images", *found.variants]
    rows = []
    for label, title in zip(labels, titles, strict=True):
        mine = truth == label
        share = [f"{100 * (found.predicted[name][mine] == label).mean():.1f}" for name in found.variants]
        rows.append([title, str(int(mine.sum())), *share])
    knn = found.protocols[-1]
    note = (
        f"Share of the test images of each class that {escape(knn.title)} classifies correctly, by the first training."
    )
    parts = [markup.table(head, rows), markup.paragraph(note, "muted")]
    if len(labels) <= MOST_CLASSES:
        parts += [_confusion(name, truth, found.predicted[name], labels, titles) for name in found.variants]
    return markup.section("Per class", *parts)


def _confusion(name: str, truth: np.ndarray, predicted: np.ndarray, labels: np.ndarray, titles: Sequence[str]) -> str:
    """The confusion matrix in per cent of each true class, as a table whose cells are shaded."""
    rows = []
    for label, title in zip(labels, titles, strict=True):
        mine = predicted[truth == label]
        shares = [float((mine == other).mean()) for other in labels]
        rows.append([title, *(_shaded(share, label == other) for share, other in zip(shares, labels, strict=True))])
    words = f"Confusion of {escape(name)}: rows are true classes, columns what kNN says, per cent of the row"
    body = markup.table(["", *titles], rows)
    return f"<details><summary>{words}</summary>\n{body}</details>"


def _shaded(share: float, right: bool) -> str:
    colour = "--good" if right else "--bad"
    ground = f"color-mix(in srgb, var({colour}) {round(45 * share)}%, transparent)"
    return Html(f'<td style="background: {ground}">{100 * share:.0f}</td>') if share else ""


def _neighbours(found: Comparison, figures: Path) -> str:
    files = found.rows.files
    rows = {name: found.rows.features[of[0].row] for name, of in found.variants.items()}
    picture = neighbour_pictures(rows, files["train"], files["test"], figures / "neighbours.png")
    words = (
        f"The {NEAR} training images nearest to {QUERIES} random test images, nearest first; green: of the same class."
    )
    return markup.section("Nearest neighbours", markup.picture(picture, words, "Nearest neighbours"))


def _training(found: Comparison, figures: Path) -> str:
    """Curves, and what each training cost."""
    curves = {}
    for name, of in found.variants.items():
        columns = read_csv(of[0].path.parent.parent / LOG)
        if np.isfinite(columns.get("loss", np.zeros(0))).any():
            curves[name] = columns
    picture = style.save(figures / "loss.png", lambda: plots.loss_curve(curves)) if curves else figures / "none.png"
    rows = [["run", "seed", "epochs", "steps", "minutes"]]
    for of in found.variants.values():
        for one in of:
            minutes = "" if one.seconds is None else f"{one.seconds / 60:.1f}"
            seed = "unknown" if one.seed is None else str(one.seed)
            rows.append([_where(one.path), seed, str(one.epochs), str(one.steps), minutes])
    words = "Of the first training of each variant. Losses of different methods have different scales."
    cost = markup.section("Training and cost", _table(rows), markup.picture(picture, words, "Loss over epochs"))
    return cost + shared.health(curves, figures / "health.png")


def _where(checkpoint: Path) -> str:
    """The folder of a run, or the name of a checkpoint of the zoo."""
    return f"{PREFIX}{checkpoint.stem}" if checkpoint.parent == FOLDER else str(checkpoint.parent.parent)


def _record(found: Comparison) -> str:
    cards = shared.protocol_cards([protocol.card() for protocol in found.protocols])
    settings = [
        markup.details(f"Settings of {name}", "\n".join(f"{key}: {value}" for key, value in of[0].settings.items()))
        for name, of in found.variants.items()
    ]
    record = markup.details("Hashes, seeds, versions", json.dumps(found.to_dict(), indent=2))
    return markup.section("Protocols and settings", cards, *settings, record)
