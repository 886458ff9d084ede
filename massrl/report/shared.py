"""Sections that the report of a run and the page of a comparison share: health of the trainings, protocol cards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from massrl.callbacks.health import MIN_RANK, MIN_SPREAD
from massrl.report import markup, plots, style

HEALTH = {  # columns of metrics.csv -> (title, what it says)
    "h_rank": (
        "rank of features",
        "effective rank (RankMe) of the features of a batch: the number of directions that they use",
    ),
    "z_rank": ("rank of embeddings", "effective rank of the projector's outputs; below 2 they lie near one line"),
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
        "<h2 style='margin-top:24px'>What the measures are</h2>"
        + markup.definitions([HEALTH[name] for name in logged]),
    )


def protocol_cards(cards: Sequence[Mapping[str, Any]]) -> str:
    """What the figures of a page mean: each protocol with its source, selection and parameters."""
    return markup.definitions([(card["protocol"], escape(_card(card))) for card in cards])


def _card(card: Mapping[str, Any]) -> str:
    parameters = ", ".join(f"{name} {json.dumps(value)}" for name, value in card["parameters"].items())
    return f"{card['source']}. Selection: {card['selection']}. Parameters: {parameters}"
