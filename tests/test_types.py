"""What a type checker and an editor see of the packages is what they hold."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_loading", "massrl")
USE = """
import massrl
from data_loading import Loader, ViewSet

loader = Loader("train.beton", batch_size=2, views=ViewSet(["simclr"], crops=2))
reveal_type(loader)
for batch in loader:
    reveal_type(batch)
    reveal_type(batch.views)
reveal_type(massrl.losses.nt_xent)
reveal_type(massrl.BYOL())
run = massrl.pretrain("photos", method="BYOL", minutes=1, batch_size=64)
reveal_type(run)
found = massrl.linear(run, train="photos", test="others")
reveal_type(found)
reveal_type(found.accuracy)
reveal_type(massrl.load(run))
Loader("train.beton", batch_sise=2)
"""
SEEN = [
    "data_loading.loading.loader.Loader",
    "data_loading.batch.Batch",
    "list[torch._tensor.Tensor]",
    "def (z: torch._tensor.Tensor, tau: float =) -> torch._tensor.Tensor",
    "massrl.methods.byol.BYOL",
    "massrl.runs.folder.Run",
    "massrl.evaluation.accuracy.Accuracy",
    "float",
    "massrl.methods.base.Method",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_checker_sees_each_name_where_it_is_loaded_from(package):
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.asname: (node.module, alias.name) for node in block.body for alias in node.names}
    loaded = import_module(package)
    assert sorted(seen) == sorted(name for name in loaded.__all__ if name != "__version__")
    for name, (module, original) in seen.items():
        assert getattr(loaded, name) is getattr(import_module(module), original)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.long
def test_a_type_checker_sees_what_the_public_names_give_and_a_wrong_argument():
    Path("use.py").write_text(USE)
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    command = [sys.executable, "-m", "mypy", *settings, "use.py"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=280).stdout
    assert [line.split('"')[1] for line in said.splitlines() if "Revealed type" in line] == SEEN, said
    assert 'Unexpected keyword argument "batch_sise" for "Loader"' in said
