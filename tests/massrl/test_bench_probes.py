import json

import numpy as np
import pytest

from data_loading.errors import ConfigError
from massrl.bench import probes
from massrl.cli.bench import main

SMALL = {"sizes": [(120, 8)], "queries": 20, "strengths": (0.01, 1.0), "rates": (0.01, 0.1), "iterations": 10}


def test_the_results_that_are_timed_are_the_same_results():
    rows = probes.measure(**SMALL)
    assert [row.of for row in rows] == ["classes", "classes", "probabilities", "weights"]
    assert [row.difference for row in rows[:2]] == [0, 0]
    assert rows[2].difference < 1e-3 and rows[3].difference < 1e-5
    assert all(row.ours > 0 and row.others > 0 for row in rows)
    assert probes.table(rows).count("\n") == 1 + len(rows)
    assert len(json.loads(json.dumps(probes.as_json(rows)))) == 4


def test_generated_features_are_never_negative_and_tell_classes_apart():
    x, y = probes.generated(300, 20)
    assert (x >= 0).all() and x.dtype == np.float32 and len(set(y)) == probes.CLASSES
    means = np.stack([x[y == c].mean(0) for c in range(probes.CLASSES)])
    nearest = np.square(x[:, None] - means).sum(2).argmin(1)
    assert (nearest == y).mean() > 0.3  # chance: 0.1


def test_no_steps_are_refused():
    with pytest.raises(ConfigError, match="--iterations is 0"):
        main(["probes", "--iterations", "0"])
