"""YAML that people write is read within bounds, and refused in one line that names the file and the line."""

import time

import pytest
import yaml

from data_loading.config import yaml_text
from data_loading.errors import ConfigError


def bomb(levels: int) -> str:
    """A list of ten anchors to a list of ten anchors to ...: 10^levels values in a few hundred characters."""
    lines = ["- &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


def test_what_yaml_says_is_what_is_read(tmp_path):
    text = "a: &x {b: 1, c: [2.5, null, true]}\nd: *x\ne:\n  <<: *x\n  b: 2\n"
    (tmp_path / "a.yaml").write_text(text)
    assert yaml_text.read_mapping(tmp_path / "a.yaml") == yaml.safe_load(text)
    (tmp_path / "a.yaml").write_text("")
    assert yaml_text.read_mapping(tmp_path / "a.yaml") == {}
    (tmp_path / "a.yaml").write_bytes("﻿ä: ö".encode())  # with the mark that some editors of Windows write
    assert yaml_text.read_mapping(tmp_path / "a.yaml") == {"ä": "ö"}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: 2\na: 3", "not valid YAML: line 3, and before in line 1: the key 'a' is there twice; keep one"),
        (b"data: {size: 1, size: 2}", "not valid YAML: line 1: the key 'size' is there twice; keep one"),
        (b"x: [{a: 1,\n a: 2}]", "not valid YAML: line 2, and before in line 1: the key 'a' is there twice; keep one"),
        (b"a: [1", "not valid YAML: while parsing a flow sequence"),
        (b"a: &x [*x]", "not valid YAML: line 1: an anchor within itself"),
        (b"a: *x", "not valid YAML: found undefined alias"),
        (b"[1]: 2", "not valid YAML: line 1: a key that is a list or a mapping"),
        (b"a: 2020-02-31", "not valid YAML: day is out of range for month"),
        (b"a: !!python/object:os.system x", "not valid YAML: could not determine a constructor"),
        (b"[" * 3000, "not valid YAML: while increasing flow level exceeded maximum nesting depth"),
        (b"{a: " * 100_000, "not valid YAML: line 1: more than 50 values within each other"),
        (b"\xff\xfea", "is not UTF-8 text (byte 0); name a YAML file of settings"),
        (b"a: \0", "not valid YAML: "),
        (b"[1, 2]", "holds a list, where settings are needed: write keys, as name: value"),
        (b"word", "holds a text, where settings are needed: write keys, as name: value"),
        (b"3", "holds one value, 3, where settings are needed: write keys, as name: value"),
        (b"#" * (yaml_text.MOST_BYTES + 1), "is larger than 4 MiB; name a YAML file of settings"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_file_that_is_not_taken_is_one_line_with_its_name(tmp_path, content, line):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        yaml_text.read_mapping(path)
    assert str(refused.value).startswith(f"{path}: {line}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["none.yaml", "folder", "a\0b", "a" * 300])
def test_a_path_that_cannot_be_read_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="name a YAML file of settings"):
        yaml_text.read(f"{tmp_path}/{name}")


def test_anchors_that_expand_without_bound_are_refused_at_once():
    assert len(yaml_text.parse(bomb(4))[-1]) == 10  # 11,110 values
    start = time.perf_counter()
    with pytest.raises(
        yaml_text.Refused, match="more than 100,000 values, or 50 levels, once its anchors are expanded"
    ):
        yaml_text.parse(bomb(12))
    assert time.perf_counter() - start < 1  # 10^12 values would take days


def test_long_texts_and_levels_count_when_they_are_repeated():
    text = f"a: &a {'x' * 64_000}\nb: [{', '.join(['*a'] * 200)}]"  # 1,001 values 200 times
    with pytest.raises(yaml_text.Refused, match="100,000 values"):
        yaml_text.parse(text)
    levels = "\n".join(["- &a0 [1]", *(f"- &a{i} [*a{i - 1}]" for i in range(1, 60))])
    with pytest.raises(yaml_text.Refused, match="50 levels"):
        yaml_text.parse(levels)
