"""The texts of the report: the verdict, what each measure means, and the next commands."""

from __future__ import annotations

from html import escape

from massrl.evaluation.table import BASELINES, HEADINGS
from massrl.report import markup
from massrl.report.content import Contents

MEANING = {
    "linear_1_per_class": "Accuracy of a linear classifier trained on the frozen features of <b>one labelled image per "
    "class</b>. It measures how well the features separate the classes before any label is used.",
    "linear_10pct": "Accuracy of a linear classifier trained with the labels of 10 % of the training images.",
    "linear_all": "Accuracy of a linear classifier trained with all labels. It measures how much information about the "
    "class is linearly readable from the features.",
    "knn": "Accuracy without a trained classifier: a test image gets the class of the training images with the most "
    "similar features.",
    "rank": "Effective rank (RankMe): the number of directions that the features use. 1 means collapse: every image "
    "has the same features. Higher is better when encoders of one architecture are compared.",
    "alignment": "Mean squared distance of the normalised features of two views of an image: 0 for equal features, 2 "
    "for unrelated ones. Lower is better, as long as the rank is high.",
}
VIEWS = "Each row is an image; each column is a view of it as the encoder sees it, named by its strategy and crop."
POINT = 0.01  # a percentage point of accuracy


def verdict(contents: Contents) -> str:
    """The result of a run in one to three sentences, as HTML: accuracies and differences to the baselines."""
    if contents.accuracies:
        return _accuracies(contents)
    if contents.metrics.get("rank") is not None:
        return _label_free(contents)
    names = " and ".join(escape(t.method) for t in contents.runs.values())
    if any(contents.records.values()):
        return f"{names or 'This run'} has been trained; what it was evaluated by stands below."
    return (
        f"{names or 'This run'} has been trained but not evaluated. The loss does not measure the quality of an "
        "encoder: run <code>massrl knn</code> or <code>massrl linear</code> on labelled images (commands below)."
    )


def _accuracies(contents: Contents) -> str:
    """The verdict from the first measure of the run, for the best method."""
    measure, row = next(iter(contents.accuracies.items()))
    methods = [name for name in row if name not in BASELINES]
    if not methods:
        return ""
    best = max(methods, key=lambda name: row[name]["mean"])
    where = {"knn": "By nearest neighbours", "linear_1_per_class": "With one label per class"}
    start = where.get(measure, f"With {HEADINGS[measure].partition(', ')[2]}")
    title = escape(contents.titles.get(best, best))
    share = f"<b>{100 * row[best]['mean']:.1f} %</b> of the test images"
    text = f"{start}, the frozen features of <b>{title}</b> classify {share} correctly"
    gains = [_against(row[best]["mean"] - row[base]["mean"], words) for base, words in _bases(row)]
    text += f": {' and '.join(gains)}. " if gains else ". "
    return text + _others(contents, measure, best, methods) + _worse(contents, best)


def _bases(row: dict) -> list[tuple[str, str]]:
    """(row name, description) of the baselines that were measured."""
    words = {"pixels": "raw pixels", "random": "the same network with random weights"}
    return [(base, words[base]) for base in BASELINES if base in row]


def _against(gain: float, words: str) -> str:
    """A difference of accuracies (in 0..1) as text, in percentage points."""
    if abs(gain) < POINT / 20:
        return f"as many as {words}"
    return f"<b>{abs(100 * gain):.1f} points {'more' if gain > 0 else 'less'}</b> than {words}"


def _others(contents: Contents, measure: str, best: str, methods: list[str]) -> str:
    """Accuracies of the methods other than the best."""
    row = contents.accuracies[measure]
    rest = [f"{escape(contents.titles.get(n, n))} {100 * row[n]['mean']:.1f} %" for n in methods if n != best]
    return f"Other methods: {', '.join(rest)}. " if rest else ""


def _worse(contents: Contents, best: str) -> str:
    """The measures in which the best method is below a baseline, or the statement that there are none."""
    worse = []
    for measure, row in contents.accuracies.items():
        below = [words for base, words in _bases(row) if best in row and row[best]["mean"] < row[base]["mean"]]
        if below:
            worse.append(f"{escape(HEADINGS[measure])} (below {' and '.join(below)})")
    if worse:
        return f"It is worse in: {'; '.join(worse)}."
    return "It is at least as good as the baselines in every column of the table."


def _label_free(contents: Contents) -> str:
    """The verdict on a run that was evaluated without labels."""
    rank, before = contents.metrics["rank"], contents.evaluation.get("untrained") or {}
    name = escape(next((t.method for t in contents.runs.values()), "the method"))
    text = "Accuracy needs labels, and these images have none. "
    text += f"The features of <b>{name}</b> use about <b>{rank:.1f} directions</b>"
    text += f" (with random weights: {before['rank']:.1f}). " if "rank" in before else ". "
    if rank < 2:
        return text + "This is a <b>collapse</b>: all images have nearly the same features. Do not use this encoder."
    return (
        text + "Check the nearest neighbours below: do the trained encoder's show the same kind of object as the query?"
    )


def commands(contents: Contents) -> list[str]:
    """Commands to run next, as pieces of HTML; [] when the folder has no training."""
    first = next(iter(contents.runs.values()), None)
    if first is None:
        return []
    checkpoint = str(first.checkpoint)
    return [
        markup.paragraph(
            "Evaluate the encoder on labelled images of your own (.beton files, or a folder with one folder per class):"
        ),
        markup.commands(
            f"massrl linear --checkpoint {checkpoint} --train TRAIN --test TEST --labels 10pct",
            f"massrl knn --checkpoint {checkpoint} --train TRAIN --test TEST",
        ),
        markup.paragraph("Continue the training for more epochs:"),
        markup.commands(f"massrl pretrain --ckpt_path {checkpoint} --trainer.max_epochs {2 * (first.epochs or 50)}"),
        markup.paragraph("Use the encoder in Python:"),
        markup.commands(
            "import massrl", f'encoder = massrl.load("{checkpoint}").encoder      # images (B, 3, H, W) -> (B, F)'
        ),
    ]
