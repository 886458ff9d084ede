"""`massrl list`: every name of a registry, each with a line and its module, as text and as JSON."""

import json
from importlib import import_module

import pytest

from data_loading.errors import ConfigError
from massrl.cli import list as command


@pytest.mark.parametrize("kind", command.KINDS)
def test_json_is_a_list_of_names_with_a_line_and_a_module_that_is_there(kind, capsys):
    assert command.main([kind, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries
    for entry in entries:
        assert list(entry)[:3] == ["name", "summary", "module"]
        assert entry["summary"].strip() and "\n" not in entry["summary"]
        import_module(entry["module"])


@pytest.mark.parametrize("kind", command.KINDS)
def test_text_has_a_line_per_name(kind, capsys):
    command.main([kind])
    text = capsys.readouterr().out
    command.main([kind, "--json"])
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert [line.split()[0] for line in text.splitlines()] == names


def test_methods_are_named_by_class():
    names = {entry["name"] for entry in command.methods()}
    assert {"MASSRL", "SimCLR", "BYOL"} <= names


def test_without_a_kind_the_kinds_are_named():
    with pytest.raises(ConfigError, match="methods, strategies, ops, views, backbones, protocols, recipes"):
        command.main([])


def test_a_protocol_says_its_version_its_source_and_how_its_settings_are_chosen():
    entries = {entry["name"]: entry for entry in command.protocols()}
    assert entries["linear"]["version"] and entries["knn"]["source"]
    assert all(entry["selection"] and entry["parameters"] for entry in entries.values())
    assert entries["knn"]["parameters"] == {"k": 20, "tau": 0.07, "distance": "cosine"}
    for entry in entries.values():  # nobody who reads the list overlooks it
        assert ("optimistic" in entry["selection"]) == ("optimistic" in entry["summary"])
