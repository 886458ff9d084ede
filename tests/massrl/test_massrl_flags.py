"""docs/massrl_flags.md: every flag on its right side is one that the command takes, and its YAML is what it says."""

import re
import shlex

import pytest
import yaml

from commands import ROOT, parse
from data_loading.views import view_sets

PAGE = (ROOT / "docs" / "massrl_flags.md").read_text()
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `") or line.startswith("| seed")]
OURS = [words for _, right in ROWS for words in re.findall(r"`([^`]+)`", right)]


def test_the_table_is_read_whole():
    assert len(ROWS) == len([line for line in PAGE.splitlines() if line.startswith("| ")]) - 1  # less its head
    assert len([words for words in OURS if words.startswith("--")]) > 40


@pytest.mark.parametrize("words", [words for words in OURS if words.startswith("--")])
def test_a_flag_of_the_right_side_is_taken(words, monkeypatch):
    parse(["pretrain", "--data.train", "train.beton", *shlex.split(words)], monkeypatch)


@pytest.mark.parametrize("words", ["--model.hidden_layer 2", "--model.ema high", "--trainer.callbacks+=OnlineKNNN"])
def test_a_flag_that_is_none_would_be_found_out(words, monkeypatch, capsys):
    with pytest.raises(pytest.fail.Exception, match="refused"):
        parse(["pretrain", "--data.train", "train.beton", *shlex.split(words)], monkeypatch)


@pytest.mark.parametrize("words", [words for words in OURS if words.startswith("massrl ")])
def test_a_command_of_the_right_side_is_one(words, monkeypatch):
    command = shlex.split(words)[1:]
    if command == ["data", "write"] or len(command) == 1:  # only named
        command = [*command, "--help"]
    parse(command, monkeypatch)


def test_the_views_written_out_are_those_of_the_preset():
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    config = yaml.safe_load(text)
    assert config["model"]["init_args"] == {"preset": "pytorch"}
    ours, preset = view_sets.get(config["data"]["views"], 224), view_sets.get("massrl_pytorch", 224)
    assert [v for v in ours.views] == [v for v in preset.views] and ours.interpolation == preset.interpolation
    for view in range(len(preset)):
        a, b = ([repr(op) for op in s.programs(view)[0]] for s in (ours, preset))
        assert a == b
    assert list(ours.crop_rule(0).scale) == list(preset.crop_rule(0).scale)
