"""What the report says in words: the verdict, the meaning of the figures, the next commands."""

from __future__ import annotations

from html import escape

from massrl.evaluation.table import BASELINES, HEADINGS
from massrl.report import html
from massrl.report.content import Run

MEANING = {
    "linear_1_per_class": "A linear classifier on the frozen features sees <b>one labelled image of each class</b>. "
    "This asks how well the classes were sorted before anybody named them.",
    "linear_10pct": "The same with the labels of one image in ten.",
    "linear_all": "The same with every label: how much about the class a straight cut can read from the features.",
    "knn": "No classifier at all: a test image takes the class of the training images that are most alike "
    "to the encoder.",
    "rank": "How many directions the features really use (RankMe). 1 means collapse: every image looks the same to the "
    "encoder. More is better within one kind of encoder.",
    "alignment": "Mean squared distance, on the unit sphere, of two views of one image: 0 when the views cannot be "
    "told apart, 2 for unrelated directions. Lower is better only while the rank stays high.",
}
VIEWS = "Each row is an image; each column a view as the encoder sees it, named by its strategy and crop."
POINTS = 0.01


def verdict(run: Run) -> str:
    """One to three sentences, as HTML: what came out, and against what."""
    if run.accuracies:
        return _accuracies(run)
    if run.metrics.get("rank") is not None:
        return _label_free(run)
    names = " and ".join(escape(t.method) for t in run.trainings.values())
    return (
        f"{names or 'This run'} has been trained; it has not been measured yet. The loss alone does not say what an "
        "encoder is worth: run <code>massrl knn</code> or <code>massrl linear</code> on labelled images (below)."
    )


def _accuracies(run: Run) -> str:
    measure, row = next(iter(run.accuracies.items()))
    methods = [name for name in row if name not in BASELINES]
    if not methods:
        return ""
    best = max(methods, key=lambda name: row[name]["mean"])
    where = {"knn": "By its nearest neighbours", "linear_1_per_class": "With one label a class"}
    start = where.get(measure, f"With {HEADINGS[measure].partition(', ')[2]}")
    title = escape(run.titles.get(best, best))
    share = f"<b>{100 * row[best]['mean']:.1f} %</b> of the test images"
    text = f"{start}, the frozen features of <b>{title}</b> name {share} rightly"
    gains = [_against(row[best]["mean"] - row[base]["mean"], words) for base, words in _bases(row)]
    text += f": {' and '.join(gains)}. " if gains else ". "
    return text + _others(run, measure, best, methods) + _worse(run, best)


def _bases(row: dict) -> list[tuple[str, str]]:
    words = {"pixels": "raw pixels", "random": "the same network with random weights"}
    return [(base, words[base]) for base in BASELINES if base in row]


def _against(gain: float, words: str) -> str:
    if abs(gain) < POINTS / 20:
        return f"as many as {words}"
    return f"<b>{abs(100 * gain):.1f} points {'more' if gain > 0 else 'less'}</b> than {words}"


def _others(run: Run, measure: str, best: str, methods: list[str]) -> str:
    row = run.accuracies[measure]
    rest = [f"{escape(run.titles.get(n, n))} {100 * row[n]['mean']:.1f} %" for n in methods if n != best]
    return f"Beside it: {', '.join(rest)}. " if rest else ""


def _worse(run: Run, best: str) -> str:
    """Measures at which the best method is below a baseline: said, not hidden."""
    found = []
    for measure, row in run.accuracies.items():
        below = [words for base, words in _bases(row) if best in row and row[best]["mean"] < row[base]["mean"]]
        if below:
            found.append(f"{escape(HEADINGS[measure])} (below {' and '.join(below)})")
    return f"It is worse at {'; '.join(found)}." if found else "It is above both in every column of the table."


def _label_free(run: Run) -> str:
    rank, before = run.metrics["rank"], run.evaluation.get("untrained") or {}
    name = escape(next((t.method for t in run.trainings.values()), "the method"))
    text = f"Without labels there is no accuracy. The features of <b>{name}</b> use about <b>{rank:.1f} directions</b>"
    text += f" (with random weights: {before['rank']:.1f}). " if "rank" in before else ". "
    if rank < 2:
        return text + "That is a <b>collapse</b>: every image looks the same to this encoder. Do not use it."
    return text + "Look at the neighbours below: do the trained ones show the same kind of thing as the query?"


def commands(run: Run) -> list[str]:
    """What to run next, as HTML."""
    first = next(iter(run.trainings.values()), None)
    if first is None:
        return []
    checkpoint = str(first.checkpoint)
    return [
        html.paragraph("Measure the encoder on labelled images of yours (.beton files or a folder of class folders):"),
        html.commands(
            f"massrl linear --checkpoint {checkpoint} --train TRAIN --test TEST --labels 10pct",
            f"massrl knn --checkpoint {checkpoint} --train TRAIN --test TEST",
        ),
        html.paragraph("Train on: the same settings, more epochs:"),
        html.commands(f"massrl pretrain --ckpt_path {checkpoint} --trainer.max_epochs {2 * (first.epochs or 50)}"),
        html.paragraph("Use the encoder in Python:"),
        html.commands(
            "import massrl", f'encoder = massrl.load("{checkpoint}").encoder      # images (B, 3, H, W) -> (B, F)'
        ),
    ]
