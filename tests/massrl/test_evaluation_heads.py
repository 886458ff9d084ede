import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_loading.errors import ConfigError
from massrl.evaluation.heads import INITIAL_STD, RATES, Head, Heads, LinearHeads, accuracies, batches, train
from massrl.evaluation.held_out import held_out

SETS = {"last1": ["a"], "last1, avg": ["a", "b"]}
GRID = [Head(name, rate, decay) for name in SETS for rate in (1e-2, 0.5, 4.0) for decay in (0.0, 1e-2)]


def clouds(n=200, test=80, classes=4, seed=0):
    """Two layers, of which the second tells the classes apart better."""
    draw = np.random.default_rng(seed)
    y = np.arange(n + test) % classes
    x = {
        name: (draw.normal(size=(classes, width))[y] + spread * draw.normal(size=(n + test, width))).astype(np.float32)
        for name, width, spread in (("a", 6, 3.0), ("b", 5, 1.0))
    }
    return (*(({k: v[rows] for k, v in x.items()}, y[rows]) for rows in (slice(0, n), slice(n, None))),)


def one_by_one(x, y, head, iterations, batch_size, seed=0):
    """The head alone, by torch's own layer, optimiser and schedule."""
    features = torch.from_numpy(np.concatenate([x[layer] for layer in SETS[head.features]], 1))
    layer = torch.nn.Linear(features.shape[1], int(y.max()) + 1)
    start = Heads([head], int(y.max()) + 1, features.shape[1], seed)
    layer.load_state_dict({"weight": start.weight[0], "bias": start.bias[0]})
    rate = head.rate * batch_size / 256
    optimiser = torch.optim.SGD(layer.parameters(), rate, momentum=0.9, weight_decay=head.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations, eta_min=0)
    for rows in batches(len(y), batch_size, iterations, seed):
        optimiser.zero_grad()
        F.cross_entropy(layer(features[rows]), torch.from_numpy(y[rows])).backward()
        optimiser.step()
        schedule.step()
    return layer


def test_all_heads_at_once_are_the_heads_one_by_one_by_torchs_optimiser():
    (x, y), _ = clouds()
    groups = train(x, y, SETS, GRID, iterations=60, batch_size=32, seed=3)
    assert [head for group in groups for head in group.heads] == GRID
    for group in groups:
        for head, weight, bias in zip(group.heads, group.weight, group.bias, strict=True):
            alone = one_by_one(x, y, head, 60, 32, seed=3)
            # float32, sums in another order, over 60 steps
            torch.testing.assert_close(weight, alone.weight.data, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(bias, alone.bias.data, atol=1e-4, rtol=1e-4)


def test_a_head_does_not_depend_on_the_others_of_the_grid():
    (x, y), _ = clouds()
    groups = train(x, y, SETS, GRID, iterations=20, batch_size=32)
    (alone,) = train(x, y, SETS, [GRID[3]], iterations=20, batch_size=32)
    torch.testing.assert_close(alone.weight[0], groups[0].weight[3], atol=1e-5, rtol=1e-5)


def test_one_step_by_hand():
    x = torch.tensor([[1.0, 2.0]])
    heads = Heads([Head("a", 0.5, 0.0)], 2, 2)
    start, p = heads.weight.clone(), heads.logits(x).softmax(2)[0, 0]
    heads.step(x, torch.tensor([1]), share=0.25, momentum=0.9)
    error = torch.stack([p[0], p[1] - 1])  # the gradient of the logits; the step is 0.25 * 0.5 of it
    torch.testing.assert_close(heads.weight[0], start[0] - 0.125 * error[:, None] * x)
    torch.testing.assert_close(heads.bias[0], -0.125 * error)


def test_heads_start_from_small_weights_of_the_seed_and_no_bias():
    heads = Heads(GRID, 100, 50, seed=1)
    assert heads.weight.std().item() == pytest.approx(INITIAL_STD, rel=0.05) and not heads.bias.any()
    assert torch.equal(heads.weight[0], heads.weight[-1])
    assert not torch.equal(heads.weight, Heads(GRID, 100, 50, seed=2).weight)


def test_batches_are_orders_of_all_rows_one_after_the_other():
    rows = np.concatenate(list(batches(10, 4, 5, seed=0)))
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10)) and list(rows[:10]) != list(rows[10:])
    assert [len(one) for one in batches(3, 8, 2, seed=0)] == [8, 8]  # more than there are rows


def test_accuracies_are_those_of_each_head_and_a_diverged_head_has_none():
    (x, y), (test_x, test_y) = clouds()
    groups = train(x, y, SETS, GRID, iterations=60, batch_size=32)
    groups[0].weight[1] = math.nan
    found = accuracies(groups, test_x, test_y, np.arange(4), SETS)
    assert found[GRID[1]] == 0.0
    features = torch.from_numpy(np.concatenate([test_x["a"], test_x["b"]], 1))
    expected = (features @ groups[1].weight[2].T + groups[1].bias[2]).argmax(1).numpy() == test_y
    assert found[groups[1].heads[2]] == expected.mean()


def test_a_test_image_of_a_class_without_training_images_is_never_right():
    (x, y), (test_x, test_y) = clouds(classes=3)
    groups = train(x, y, SETS, GRID, iterations=30, batch_size=32)
    assert max(accuracies(groups, test_x, np.full_like(test_y, 7), np.arange(3), SETS).values()) == 0


def test_the_grid_is_the_authors_52_heads():
    sets = {"1 block, cls": ["a"], "1 block, cls + avgpool": ["a"], "4 blocks, cls": ["b"], "4, both": ["b"]}
    grid = LinearHeads().grid(sets)
    assert len(grid) == len(set(grid)) == 52 and {head.rate for head in grid} == set(RATES)
    assert (LinearHeads().iterations, LinearHeads().batch_size) == (12_500, 128)


def test_the_head_is_chosen_on_held_out_images_and_trained_again_on_all():
    (x, y), (test_x, test_y) = clouds()
    protocol = LinearHeads(rates=(1e-3, 0.5, 4.0), iterations=80, batch_size=32)
    found = protocol.choose(x, y, test_x, test_y, SETS)
    kept, held = held_out(y)
    groups = train({k: v[kept] for k, v in x.items()}, y[kept], SETS, protocol.grid(SETS), iterations=80, batch_size=32)
    scores = accuracies(groups, {k: v[held] for k, v in x.items()}, y[held], np.arange(4), SETS)
    head = max(scores, key=scores.get)
    assert found.setting == {"features": head.features, "rate": head.rate}
    assert list(found.tried.values()) == list(scores.values())
    again = train(x, y, SETS, [head], iterations=80, batch_size=32)
    assert found.accuracy == accuracies(again, test_x, test_y, np.arange(4), SETS)[head] > 0.5


def test_labels_of_the_test_images_do_not_change_the_choice():
    (x, y), (test_x, test_y) = clouds()
    protocol = LinearHeads(iterations=30, batch_size=32)
    one, other = protocol.choose(x, y, test_x, test_y, SETS), protocol.choose(x, y, test_x, (test_y + 1) % 4, SETS)
    assert (one.setting, one.tried) == (other.setting, other.tried) and one.accuracy != other.accuracy


def test_the_authors_choice_on_test_is_the_best_of_all_and_says_that_it_is_optimistic():
    (x, y), (test_x, test_y) = clouds()
    protocol = LinearHeads(selection="test", iterations=30, batch_size=32)
    found = protocol.choose(x, y, test_x, test_y, SETS)
    assert found.accuracy == max(found.tried.values()) and protocol.optimistic and len(found.tried) == 26


def test_features_on_disk_are_read_batch_by_batch(tmp_path):
    (x, y), (test_x, test_y) = clouds()
    protocol = LinearHeads(rates=(0.5,), iterations=10, batch_size=32)
    expected = protocol.choose(x, y, test_x, test_y)
    for name, values in x.items():
        np.save(tmp_path / f"{name}.npy", values)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in x}
    assert protocol.choose(mapped, y, test_x, test_y) == expected


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"rates": ()}, "rates are none"),
        ({"rates": (0.0,)}, "rates are 0.0; give numbers above 0"),
        ({"weight_decays": (-1.0,)}, "weight_decays are -1.0; give 0 or more"),
        ({"weight_decays": (0.0, 0.0)}, "weight_decays are 0.0, 0.0; give each once"),
        ({"weight_decays": 1e-4}, "weight_decays is 0.0001; give several numbers"),
        ({"iterations": 0}, "iterations is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"selection": "fixed"}, "chooses on held-out or test"),
    ],
)
def test_parameters_without_sense_are_refused(wrong, line):
    with pytest.raises(ConfigError, match=line):
        LinearHeads(**wrong)


def test_what_cannot_be_trained_is_refused_in_one_line():
    (x, y), (test_x, test_y) = clouds()
    protocol = LinearHeads(iterations=5)
    with pytest.raises(ConfigError, match="all 200 training images are of one class"):
        protocol.choose(x, np.zeros_like(y), test_x, test_y)
    with pytest.raises(ConfigError, match="train features have 6 dimensions, test features have 5"):
        protocol.choose({"a": x["a"]}, y, {"a": test_x["a"][:, :5]}, test_y)
    test_x["a"][0, 0] = np.inf
    with pytest.raises(ConfigError, match="test features hold NaN or infinity"):
        protocol.choose(x, y, test_x, test_y)
