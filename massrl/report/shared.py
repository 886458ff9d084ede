"""Sections that the report of a run and the page of a comparison share: health of the trainings, protocol cards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from massrl.callbacks.health import MIN_RANK, MIN_SPREAD, PAIR
from massrl.report import markup, plots, style

HEALTH = {  # columns of metrics.csv -> (title, what it says)
    "h_rank": (
        "rank of features",
        "effective rank (RankMe) of the features of a batch: the number of directions that they use",
    ),
    "h_alpha": (
        "decay of the spectrum",
        "alpha-ReQ: the variances of the features of a batch fall as j^-alpha over directions; near 1 is good, and far "
        "above it a few directions have everything. Valid only where R^2, the next panel, is near 1",
    ),
    "h_alpha_r2": ("fit of the decay", "R^2 of that power law"),
    "z_rank": ("rank of embeddings", "effective rank of the projector's outputs; below 2 they lie near one line"),
    "z_lidar": (
        "LiDAR of embeddings",
        "number of directions that tell images apart, each measured by how far apart two views of an image are in it; "
        "at most 127, one less than the images measured",
    ),
    "z_spread": (
        "spread of embeddings",
        "standard deviation of a channel of unit-length embeddings times the root of their number: 1 is even, near 0 "
        "all images have nearly the same embedding",
    ),
    "z_uniformity": (
        "uniformity",
        "log of the mean of exp(-2 d^2) over pairs of images, d their distance at unit length: -4 is even, 0 is "
        "collapse",
    ),
    "z_alignment": ("alignment", "mean d^2 of two views of an image at unit length: 0 for equal ones, 2 for unrelated"),
    "target_entropy": ("entropy of targets", "mean entropy of the target distribution of one image"),
    "marginal_entropy": (
        "entropy of their mean",
        "entropy of the mean target; equal to the one before when all images have the same target, which is collapse",
    ),
}
LEAST = {"z_rank": MIN_RANK, "z_spread": MIN_SPREAD}


def health(runs: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> str:
    """The section with the measures of collapse over the training; "" where no run has logged any.

    runs: name -> columns of metrics.csv.  path: where the picture is written.
    """
    logged = [name for name in HEALTH if any(np.isfinite(of.get(name, np.nan)).any() for of in runs.values())]
    if not logged:
        return ""
    titles = {name: HEALTH[name][0] for name in logged}
    style.save(path, lambda: plots.health_curves(runs, titles, LEAST))
    words = (
        "Measured on batches of augmented images while the encoder trained. A dotted line is the alarm's limit, unless "
        "another one was set; the rank has none for methods that train with labels. Figures of different methods have "
        "different scales."
    )
    return markup.section(
        "Health of the training",
        markup.picture(path, words, "Measures of collapse over epochs"),
        *(_pairs(name, of) for name, of in runs.items()),
        "<h2 style='margin-top:24px'>What the measures are</h2>"
        + markup.definitions([HEALTH[name] for name in logged]),
    )


def _pairs(run: str, columns: Mapping[str, np.ndarray]) -> str:
    """The distances of views of each two strategies, the mean of the last tenth; "" where none were logged."""
    found = {}
    for name, values in columns.items():
        known = values[np.isfinite(values)]
        if name.startswith(PAIR.partition("{")[0]) and len(known):
            found[tuple(name.split("/")[1:])] = known[-max(1, len(known) // 10) :].mean()
    if not found:
        return ""
    strategies = list(dict.fromkeys(name for pair in found for name in pair))
    rows = [
        [a, *("" if (v := found.get((a, b), found.get((b, a)))) is None else f"{v:.3f}" for b in strategies)]
        for a in strategies
    ]
    words = (
        "Mean squared distance of an image's views under two strategies, at unit length, over the last tenth of the "
        "measurements; the larger, the harder."
    )
    head = [f"pairs of strategies, {run}", *strategies]
    return markup.table(head, rows) + markup.paragraph(words, "muted")


def protocol_cards(cards: Sequence[Mapping[str, Any]]) -> str:
    """What the figures of a page mean: each protocol with its source, selection and parameters."""
    return markup.definitions([(card["protocol"], _card(card)) for card in cards])


def _card(card: Mapping[str, Any]) -> str:
    parameters = ", ".join(f"{name} {json.dumps(value)}" for name, value in card["parameters"].items())
    return f"{card['source']}. Selection: {card['selection']}. Parameters: {parameters}"
