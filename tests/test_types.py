"""What a type checker and an editor see of the packages is what they hold."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import data_loading

ROOT = Path(__file__).parents[1]
STUB = ROOT / "data_loading" / "__init__.pyi"
USE = """
from data_loading import Batch, Loader, Reader, ViewSet
from massrl.losses import nt_xent

loader = Loader("train.beton", batch_size=2, views=ViewSet(["simclr"], crops=2))
reveal_type(loader)
for batch in loader:
    reveal_type(batch)
    reveal_type(batch.views)
reveal_type(nt_xent)
Loader("train.beton", batch_sise=2)
"""
SEEN = [
    "data_loading.loading.loader.Loader",
    "data_loading.batch.Batch",
    "list[torch._tensor.Tensor]",
    "def (z: torch._tensor.Tensor, tau: float =) -> torch._tensor.Tensor",
]


def test_the_stub_names_what_the_package_loads_and_from_where():
    tree = ast.parse(STUB.read_text())
    named = {
        alias.asname: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(named) == sorted(data_loading.__all__)
    (listed,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(listed) == sorted(data_loading.__all__)
    for name, (module, original) in named.items():
        assert getattr(data_loading, name) is getattr(import_module(module), original)


def test_both_packages_say_that_they_are_typed():
    assert all((ROOT / package / "py.typed").exists() for package in ("massrl", "data_loading"))


@pytest.mark.long
def test_a_type_checker_sees_the_loader_its_batches_and_a_wrong_argument():
    Path("use.py").write_text(USE)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "use.py"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=280).stdout
    assert [line.split('"')[1] for line in said.splitlines() if "Revealed type" in line] == SEEN, said
    assert 'Unexpected keyword argument "batch_sise" for "Loader"' in said
