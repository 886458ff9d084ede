"""The sections of the report, made from the files of a run folder."""

from __future__ import annotations

import json
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_loading.errors import UserError
from massrl.callbacks import MACHINE
from massrl.callbacks.throughput import WAITS
from massrl.evaluation.table import BASELINES, HEADINGS, percent
from massrl.report import markup, plots, shared, style
from massrl.report.content import Contents, read
from massrl.report.figures import views_of_run
from massrl.report.markup import Html
from massrl.report.words import MEANING, VIEWS, commands, verdict
from massrl.runs.evaluations import labels_used
from massrl.runs.folder import REPORT, Run
from massrl.runs.folder import VIEWS as FIRST_VIEWS


def build(path: Path) -> Path:
    """Write path/report.html and return its path.

    Plots the losses and accuracies, and renders the pictures of views that are missing.
    """
    contents = read(path)
    notes = _figures(contents)
    views = partial(_views, notes=notes)
    sections = (_accuracy, _records, _label_free, _training, _health, _pace, views, _map, _neighbours, _next, _record)
    parts = [_head(contents), markup.section("", markup.paragraph(verdict(contents)), kind="verdict")]
    if contents.left_out:
        lines = [markup.paragraph(escape(line), "bad") for line in contents.left_out]
        parts.append(markup.section("Left out of this report", *lines))
    parts += [section(contents) for section in sections]
    target = path / REPORT
    text = markup.page(f"{path.resolve().name}: report of a massrl run", "\n".join(filter(None, parts)))
    return markup.write(target, text)


def _figures(contents: Contents) -> list[str]:
    """Save the plots and the pictures of views -> one note for each picture that could not be made."""
    figures, notes = contents.path / "figures", []
    logged = {name: run.columns for name, run in contents.runs.items()}
    curves = {contents.titles[name]: of for name, of in logged.items() if np.isfinite(of.get("loss", [])).any()}
    if curves:
        style.save(figures / "loss.png", lambda: plots.loss_curve(curves))
    if contents.accuracies:
        style.save(figures / "accuracy.png", lambda: plots.accuracy_bars(contents.accuracies, contents.titles))
    for name, run in contents.runs.items():
        target = figures / f"views_{name}.png"
        if target.exists() or not run.checkpoint.exists() or not run.data:
            continue
        try:
            views_of_run(run.path, run.data_file(), target)
        except UserError as error:  # for example because the data were moved
            notes.append(f"The views of {run.method} could not be rendered: {error}")
    return notes


def _head(contents: Contents) -> str:
    chips = []
    for run in contents.runs.values():
        words = [run.method, run.backbone, f"{run.epochs} epochs" if run.epochs else ""]
        chips.append(", ".join(word for word in words if word))
    data = next((t.data for t in contents.runs.values() if t.data), "")
    chips += [f"data: {data}"] if data else []
    total = sum((contents.metrics.get("seconds") or {}).values())
    chips += [f"{total / 60:.1f} minutes in all"] if total else []
    started = next((t.environment.get("started") for t in contents.runs.values() if t.environment.get("started")), "")
    items = "".join(f"<li>{escape(chip)}</li>" for chip in chips)
    when = f"Started {escape(started.replace('T', ' ').replace('+00:00', ' UTC'))}. " if started else ""
    return (
        f"<header><h1>{escape(contents.path.resolve().name)}</h1>\n"
        f'<p class="muted">{when}An encoder trained without labels, by massrl.</p>\n'
        f'<ul class="chips">{items}</ul></header>'
    )


def _accuracy(contents: Contents) -> str:
    if not contents.accuracies:
        return ""
    measures = list(contents.accuracies)
    titles = {**BASELINES, **contents.titles}
    names = list(dict.fromkeys(name for row in contents.accuracies.values() for name in row))
    best = {m: max(entry["mean"] for entry in row.values()) for m, row in contents.accuracies.items()}
    accuracies = contents.accuracies
    rows = [[titles.get(n, n), *(_cell(accuracies[m].get(n), best[m]) for m in measures)] for n in names]
    draws = max(entry["draws"] for row in contents.accuracies.values() for entry in row.values())
    note = "Test accuracy in per cent; the encoders are frozen."
    if draws > 1:
        note += f" ± is the standard deviation over {draws} random label subsets, equal in every row."
    return markup.section(
        "Accuracy of the features",
        markup.table(["", *(HEADINGS[m] for m in measures)], rows),
        markup.paragraph(note, "muted"),
        markup.picture(
            contents.path / "figures" / "accuracy.png",
            "The accuracies of the table; whiskers are the standard deviation over label subsets.",
            "Bar chart of the accuracies",
        ),
        _paired(contents, titles),
        "<h2 style='margin-top:24px'>What the columns mean</h2>"
        + markup.definitions([(HEADINGS[m], Html(MEANING[m])) for m in measures]),
        _protocols(contents),
    )


def _protocols(contents: Contents) -> str:
    """The cards of the protocols; "" for evaluations of massrl 0.2 and before, which have their parameters alone."""
    cards = contents.evaluation.get("protocols")
    if not isinstance(cards, list):
        return ""
    return "<h2 style='margin-top:24px'>How it was measured</h2>" + shared.protocol_cards(cards)


RECORDED = {  # rows of a record -> head of the column
    "accuracy": "trained",
    "untrained": "untrained",
    "random": "untrained",
    "pixels": "raw pixels",
    "probe": "linear probe",
    "scratch": "from random weights",
    "without_flagged": "trained, without flagged images",
}


def _records(contents: Contents) -> str:
    """The records of evaluations, each with the number of its protocol card."""
    every = [(name, record) for name, records in contents.records.items() for record in records]
    if not every:
        return ""
    heads = [head for head in dict.fromkeys(RECORDED.values()) if any(head in _recorded(one) for _, one in every)]
    current = {name: contents.checkpoint_sha256(name) for name in contents.runs}
    cards: list[dict[str, Any]] = []
    rows = []
    for name, record in every:
        card = {key: record[key] for key in ("source", "selection", "parameters")}
        card["protocol"] = record["protocol"]
        if card not in cards:
            cards.append(card)
        title = f"{escape(contents.titles[name])}: " if len(contents.runs) > 1 else ""
        words = [f"{title}<b>{cards.index(card) + 1}</b>. {escape(record['protocol'])}", *_circumstances(record)]
        if current[name] != record["checkpoint_sha256"]:
            gone = "whose checkpoint is gone" if current[name] is None else "of an earlier checkpoint of this run"
            words.append(f"<b>{gone}</b>")
        cells = _recorded(record)
        rows.append([Html(", ".join(words)), *(cells.get(head, "") for head in heads)])
    note = "Test accuracy in per cent, by massrl knn, linear, semi or finetune; ± is the deviation over label subsets."
    numbered = [{**card, "protocol": f"{i}. {card['protocol']}"} for i, card in enumerate(cards, 1)]
    return markup.section(
        "Evaluations of this run",
        markup.table(["", *heads], rows),
        markup.paragraph(note, "muted"),
        "<h2 style='margin-top:24px'>How they were measured</h2>" + shared.protocol_cards(numbered),
    )


def _circumstances(record: dict[str, Any]) -> list[str]:
    """What must be known beside the protocol of a record, as HTML."""
    words = [f"labels: {escape(labels_used(record))}", f"test: {escape(_of(record))}"]
    words += [f"layer: {escape(str(record['layer']))}"] if record.get("layer") not in (None, "backbone") else []
    words += [f"{escape(record['branch'])} network"] if record.get("branch") == "target" else []
    words += [f"<b>optimistic: {escape(record['selection'])}</b>"] if record.get("optimistic") else []
    return words + [f"<b>{escape(one)}</b>" for one in record.get("warnings") or []]


def _recorded(record: dict[str, Any]) -> dict[str, str]:
    """Head of a column -> cell, of the rows that a record has."""
    return {head: percent(record[row]) for row, head in RECORDED.items() if isinstance(record.get(row), dict)}


def _of(record: dict[str, Any]) -> str:
    """The test images of a record: the last two parts of their path."""
    test = record["split"]["test"]
    return ", ".join("/".join(Path(one).parts[-2:]) for one in ([test] if isinstance(test, str) else test))


def _cell(entry: dict | None, best: float) -> str:
    if entry is None:
        return ""
    std = f" <small>± {100 * entry['std']:.1f}</small>" if entry["std"] is not None else ""
    return Html(f"<td{' class=best' if entry['mean'] == best else ''}>{100 * entry['mean']:.1f}{std}</td>")


def _paired(contents: Contents, titles: dict[str, str]) -> str:
    rows = []
    for measure, methods in contents.paired.items():
        for name, bases in methods.items():
            for base, gain in bases.items():
                if gain["std"] is None:
                    interval, won = "", ""
                else:
                    interval = f"{100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
                    won = f"{gain['won']} of {gain['draws']}"
                sure = gain["std"] is not None and gain["low"] * gain["high"] > 0
                tone = ("good" if gain["mean"] > 0 else "bad") if sure else "muted"
                words = f"{titles.get(name, name)} over {titles.get(base, base)}"
                number = Html(f'<td class="{tone}">{100 * gain["mean"]:+.1f}</td>')
                rows.append([words, HEADINGS.get(measure, measure), number, interval, won])
    if not rows:
        return ""
    head = ["Difference on equal label subsets", "", "points", "95 % interval", "subsets won"]
    note = (
        "The interval is that of the mean over label subsets; it does not cover other test images or training runs. "
        "Grey: the interval contains 0, or there is none."
    )
    body = markup.table(head, rows) + markup.paragraph(note, "muted")
    return f"<details><summary>Paired differences over label subsets</summary>\n{body}</details>"


def _label_free(contents: Contents) -> str:
    if contents.metrics.get("rank") is None:
        return ""
    before = contents.evaluation.get("untrained") or {}
    rows = [
        [
            words,
            Html(f"<td class=best>{contents.metrics[key]:.{digits}f}</td>"),
            f"{before[key]:.{digits}f}" if key in before else "",
        ]
        for key, words, digits in (("rank", "effective rank", 1), ("alignment", "alignment of two views", 3))
        if contents.metrics.get(key) is not None
    ]
    pairs = [(words, Html(MEANING[key])) for key, words in (("rank", "effective rank"), ("alignment", "alignment"))]
    return markup.section(
        "Measures without labels", markup.table(["", "trained", "untrained"], rows), markup.definitions(pairs)
    )


def _training(contents: Contents) -> str:
    words = (
        "The loss at each logged step (pale) and its running mean. Losses of different methods have different scales: "
        "compare the table, not the curves. Online accuracies are measured during training, on detached features of "
        "augmented training images; they indicate the final accuracies, but do not equal them."
    )
    seconds = contents.metrics.get("seconds") or {}
    cells = markup.table(list(seconds), [[f"{v:.1f} s" for v in seconds.values()]]) if seconds else ""
    alarms = [(run.method, (run.metrics.get("training") or {}).get("alarm")) for run in contents.runs.values()]
    return markup.section(
        "Training",
        *(markup.paragraph(f"<b>{escape(name)}: {escape(text)}</b>", "bad") for name, text in alarms if text),
        markup.picture(contents.path / "figures" / "loss.png", words, "Loss and online accuracy over epochs"),
        f"<h2 style='margin-top:24px'>Time spent</h2>{cells}" if cells else "",
    )


def _health(contents: Contents) -> str:
    curves = {contents.titles[name]: run.columns for name, run in contents.runs.items()}
    return shared.health(curves, contents.path / "figures" / "health.png")


PACE = {  # columns of metrics.csv -> (title, what it says)
    "lr": ("learning rate", "of the optimiser step"),
    "ema": ("momentum of the target", "share of itself that the target network keeps in a step"),
    "images_per_s": ("images per second", "of all processes, loading and training together, smoothed"),
    "data_wait": (
        "waiting for data",
        "share of the time in which training waits for its next batch",
    ),
    "memory_gib": (
        "memory, GiB",
        "on a GPU the most that torch has allocated so far, else the process's resident memory",
    ),
}


def _pace(contents: Contents) -> str:
    """Learning rate, momentum, speed and memory over the training; "" where no run has logged any."""
    curves = {contents.titles[name]: run.columns for name, run in contents.runs.items()}
    logged = [name for name in PACE if any(np.isfinite(of.get(name, np.nan)).any() for of in curves.values())]
    if not logged:
        return ""
    path, titles = contents.path / "figures" / "pace.png", {name: PACE[name][0] for name in logged}
    style.save(path, lambda: plots.health_curves(curves, titles, {"data_wait": WAITS}, MACHINE))
    words = "Rates of the schedule, and what the machine did. Above the dotted line data are the bottleneck."
    said = [(run.method, (run.metrics.get("training") or {}).get("advice")) for run in contents.runs.values()]
    return markup.section(
        "Pace",
        *(markup.paragraph(f"<b>{escape(name)}: {escape(str(text))}</b>", "bad") for name, text in said if text),
        markup.picture(path, words, "Rates and speed over epochs"),
        markup.definitions([PACE[name] for name in logged]),
    )


def _views(contents: Contents, notes: list[str]) -> str:
    pictures, batches = [], []
    for name, run in contents.runs.items():
        caption = f"<b>{escape(run.method)}</b>"
        pictures.append(
            markup.picture(contents.path / "figures" / f"views_{name}.png", caption, f"Views of {run.method}")
        )
        words = f"<b>{escape(run.method)}</b>: the first batch of the training, as the network got it"
        batches.append(markup.picture(run.path / FIRST_VIEWS, words, f"The first batch of {run.method}"))
    return markup.section(
        "The views it trained on",
        markup.side_by_side(pictures),
        markup.paragraph(VIEWS if any(pictures) else "", "muted"),
        markup.side_by_side(batches),
        *(markup.paragraph(escape(n), "muted") for n in notes),
    )


def _map(contents: Contents) -> str:
    words = (
        "Each point is a test image; t-SNE places images with similar features near each other. Colours are the true "
        "classes, if there are labels; the encoder was trained without them. Distances between clusters mean little."
    )
    return markup.section(
        "A map of the features", markup.picture(contents.path / "figures" / "feature_map.png", words, "t-SNE map")
    )


def _neighbours(contents: Contents) -> str:
    words = (
        "The training images nearest to some randomly sampled test images, nearest first. If there are labels, a "
        "green frame marks an image of the query's class, a red frame one of another class."
    )
    return markup.section(
        "Nearest neighbours", markup.picture(contents.path / "figures" / "neighbours.png", words, "Nearest neighbours")
    )


def _next(contents: Contents) -> str:
    kept = [
        (t.method, Html(f"<code>{escape(str(t.checkpoint))}</code>"))
        for t in contents.runs.values()
        if t.checkpoint.exists()
    ]
    return markup.section("Checkpoints and next commands", markup.definitions(kept), *commands(contents))


def _record(contents: Contents) -> str:
    parts = [markup.details(f"Settings of {t.method} (config.yaml)", _yaml(t)) for t in contents.runs.values()]
    first = next(iter(contents.runs.values()), None)
    if first and first.environment:
        parts.append(markup.details("Environment", json.dumps(first.environment, indent=2)))
    rest = {k: v for k, v in contents.evaluation.items() if k != "paired"}
    parts.append(
        markup.details(
            "Evaluation: protocols, hashes, split, seeds, versions", json.dumps(rest, indent=2) if rest else ""
        )
    )
    parts.append(markup.details("metrics.json", json.dumps(contents.metrics, indent=2) if contents.metrics else ""))
    return markup.section("Settings and environment", *parts)


def _yaml(run: Run) -> str:
    return yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True) if run.config else ""
