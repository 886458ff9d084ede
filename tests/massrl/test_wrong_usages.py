"""Wrong usages of every command are one line and exit code 2, or accepted: no traceback, no hang, no file left.

`wrong_usages` makes them, about ten thousand: each option of each command with each of some thirty odd values.
"""

import random
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from massrl.cli import bench, data
from massrl.cli.main import COMMANDS
from wrong_usages import VALID, Usage, end_of, material, usage, usages

EACH = 120  # usages of each command in the long test; of pretrain, which has most options, PRETRAIN
PRETRAIN = 800
QUICK = 12  # of each command, of which the quick test takes those with a value of PLAIN
PLAIN = ("", "nan", "a\0b", "a\nb", "{", "folder", "-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 16 images, a run on them, and odd files; every usage leaves it as it was."""
    path = tmp_path_factory.mktemp("usages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        material(path)
    return path


def sampled(most) -> list[Usage]:
    """A random choice, the same in each run, of at most `most(command)` usages of each command."""
    found = []
    for command, group in groupby(sorted(usages(), key=lambda usage: usage.command), key=lambda usage: usage.command):
        every = list(group)
        found += random.Random(str(command)).sample(every, min(most(command), len(every)))
    return found


def run(chosen: list[Usage], folder: Path, monkeypatch) -> None:
    """Run usages in the folder; fails with a line for each that ends as none should. Prints the counts."""
    monkeypatch.chdir(folder)
    ends = [(usage, end_of(usage, folder)) for usage in chosen]
    counts = Counter("fault" if end.fault else {0: "accepted", 2: "refused"}[end.code] for _, end in ends)
    slowest = max(ends, key=lambda pair: pair[1].seconds)
    print(f"\n{len(ends)} usages: {dict(counts)}; slowest {slowest[1].seconds:.1f} s: {slowest[0]}")
    faults = [f"{usage}: {end.fault}\n    {end.line}" for usage, end in ends if end.fault]
    assert not faults, "\n".join(faults)
    assert counts["refused"] > counts["accepted"]


def test_every_command_and_action_has_a_valid_usage():
    actions = {"data": data.ACTIONS, "bench": bench.ACTIONS}
    expected = {
        (command, *([action] if action else [])) for command in COMMANDS for action in actions.get(command, [""])
    }
    assert set(VALID) == expected


def test_the_valid_usages_are_accepted(folder, monkeypatch):
    """Else each wrong one would be refused for another reason."""
    monkeypatch.chdir(folder)
    for command in (("knn",), ("features",), ("export",), ("report",), ("data", "info"), ("pretrain",)):
        end = end_of(usage(command), folder)
        assert (end.code, end.fault) == (0, ""), end


@pytest.mark.parametrize(
    ("command", "name", "value", "line"),
    [
        ("pretrain", "trainer.accelerator", "tpu", "trainer: "),
        ("pretrain", "trainer.devices", "-2", "`devices` selected with `CPUAccelerator` should be an int > 0"),
        ("pretrain", "trainer.strategy", "ddpp", "invalid strategy name: `strategy='ddpp'`"),
        ("pretrain", "trainer.num_nodes", "0", "trainer.num_nodes is 0; it must be at least 1"),
        ("pretrain", "trainer.accumulate_grad_batches", "-1", "trainer.accumulate_grad_batches is -1"),
        ("pretrain", "trainer.gradient_clip_val", "-1", "trainer.gradient_clip_val is -1; it must be at least 0"),
        (
            "pretrain",
            "trainer.limit_train_batches",
            "0",
            "--trainer.limit_train_batches is 0: nothing would be trained",
        ),
        ("pretrain", "trainer.max_epochs", "0", "--trainer.max_epochs is 0; set it to 1 or more"),
        ("pretrain", "trainer.default_root_dir", "x", "--run names the folder of results"),
        ("pretrain", "trainer.callbacks", "nowhere.Callback", "No module named 'nowhere'"),
        ("pretrain", "seed_everything", "-1", "--seed_everything is -1; it must be an integer from 0 to 4294967295"),
        ("pretrain", "seed_everything", str(2**40), "--seed_everything is 1099511627776"),
        ("pretrain", "ckpt_path", "", "--ckpt_path is ''"),
        ("pretrain", "run", "", "--run is ''"),
        ("pretrain", "run", "a\nb", "--run: 'a\\nb' has a line break"),
        ("pretrain", "data.train", "", "--data.train is ''"),
        ("pretrain", "data.views", "{crops: 0}", "a view set needs strategies beside crops"),
        ("pretrain", "data.num_workers", "100000", "num_workers is 100000; it must be an integer from 0 to 1,024"),
        ("pretrain", "data.size", "0", "size is 0; it must be an integer from 1 to 4096"),
        ("pretrain", "model.hidden_dim", "0", "hidden_dim is 0; it must be an integer from 1 to 1,048,576"),
        ("pretrain", "model.hidden_dim", "-1", "hidden_dim is -1; it must be an integer from 1"),
        ("pretrain", "model.optim.base_lr", "0", "optim.base_lr is 0, which would train nothing"),
        ("pretrain", "model.optim.warmup_epochs", "1e12", "optim.warmup_epochs is 1e+12; it must be at most 100,000"),
        ("pretrain", "config", "binary.yaml", "binary.yaml: is not UTF-8 text"),
        ("pretrain", "config", "list.yaml", "list.yaml: holds a list, where settings are needed"),
        (
            "pretrain",
            "config",
            "twice.yaml",
            "twice.yaml: not valid YAML: line 2, and before in line 1: the key 'seed'",
        ),
        ("knn", "seed", str(2**70), "seed is 1180591620717411303424"),
        ("knn", "k", str(10**9), "k is 1000000000, and there are 16 training images"),
        ("knn", "json", "", "--json is ''"),
        ("knn", "cache_dir", "", "--cache_dir is ''"),
        ("knn", "train", "a\0b", "has a NUL byte"),
        ("data write", "smart_threshold", "-1", "smart_threshold is -1; it must be at least 0 bytes"),
        ("data write", "num_workers", "-1", "num_workers is -1; it must be an integer from 0"),
        ("data show", "out", "", "--out is ''"),
        ("data replay", "config", "list.yaml", "list.yaml: holds a list, where a run's settings are needed"),
        ("data bench", "batch_size", "1000000", "batch_size is 1000000; it must be an integer from 1 to 16,384"),
    ],
)
def test_what_was_a_traceback_a_hang_or_accepted_is_refused_by_its_name(
    folder, monkeypatch, command, name, value, line
):
    monkeypatch.chdir(folder)
    end = end_of(usage(tuple(command.split()), name, value), folder)
    assert (end.code, end.fault) == (2, "") and line in end.line


def test_some_wrong_usages_of_each_command_are_one_line(folder, monkeypatch):
    chosen = [one for one in sampled(lambda command: QUICK) if one.value in PLAIN]
    run(chosen, folder, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("group", sorted({command[0] for command in VALID}))
def test_wrong_usages_are_one_line_and_leave_nothing(folder, monkeypatch, group):
    chosen = [
        one for one in sampled(lambda command: PRETRAIN if group == "pretrain" else EACH) if one.command[0] == group
    ]
    run(chosen, folder, monkeypatch)
