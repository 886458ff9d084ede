"""The linear protocols of the literature, on a checkpoint: `massrl linear --protocol NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_loading.errors import ConfigError
from massrl.evaluation.classify import BODY
from massrl.evaluation.classify.result import Classified
from massrl.evaluation.classify.running import Given, bodies, facts, named, settle
from massrl.evaluation.classify.training import Training

HELD_OUT = 0.1  # of the training images, for protocols that choose the rate


def linear_by(
    protocol: str | Training, given: Given, untrained: bool = False, changed: Mapping[str, Any] | None = None
) -> Classified:
    """Train a head on the frozen encoder of a checkpoint by a named protocol.

    untrained: the same on the network with random weights, beside it.  changed: settings that are not the protocol's.
    """
    start = named("linear", protocol)
    for name in BODY:
        if (changed or {}).get(name) is not None:
            raise ConfigError(f"{name} is of fine-tuning; {start.title} keeps the encoder frozen: leave it out")
    start.changed(changed or {})  # a wrong setting is refused before files are read
    inputs = given.read()
    rows = np.arange(len(inputs.labels["train"]))
    baseline, used = settle(start, changed or {}, inputs, len(rows))
    job = given.job(inputs, used)
    made = bodies(inputs, used, given, ["trained", *["random"] * untrained])
    fits = {row: [job.fit(body, rows, HELD_OUT)] for row, body in made.items()}
    return Classified(
        protocol=used,
        baseline=baseline,
        method=type(inputs.method).__name__,
        fits=fits,
        labels="all",
        images={"train": len(rows), "test": len(inputs.labels["test"])},
        facts=facts(inputs, given),
    )
