"""What is installed: the wheel holds all that a command reads, and does the main job outside the clone."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from import_graph import files

ROOT = Path(__file__).parents[1]
SOURCES = ("massrl", "data_loading", "configs")
FRONT = ("setup.py", "setup.cfg", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout, built from a copy: `build/` of an earlier one would bring modules that are gone."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "massrl"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FRONT:
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, copy]
    subprocess.run([str(word) for word in command], check=True, timeout=200)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel unpacked in it: what `pip install --target` makes, without the dependencies again."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def massrl(installed: Path, *words: str, **more: str) -> str:
    """`massrl words` with the unpacked wheel before everything else, in the test's own folder; returns what it says."""
    code = "import sys, massrl.cli.main as front; sys.exit(front.main(sys.argv[1:]))"
    command = [sys.executable, "-P", "-c", code, *words]
    environment = {**os.environ, "PYTHONPATH": str(installed), **more}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_both_packages_whole_and_the_recipes(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    suffixes = {".py", ".pyi", ".json", ".css", ".ckpt", ".typed"}
    ours = {path for package in SOURCES[:2] for path in (ROOT / package).rglob("*")}
    expected = {str(path.relative_to(ROOT)) for path in ours if path.suffix in suffixes or path.name == "py.typed"}
    expected |= {f"massrl/{path.relative_to(ROOT)}" for path in (ROOT / "configs").glob("pretrain/*/*.yaml")}
    assert held == expected


def test_recipes_are_listed_and_read_from_the_wheel(installed):
    said = massrl(installed, "list", "recipes")
    assert {line.split()[0] for line in said.splitlines()} >= {"digits/byol", "imagenet/massrl", "folder/massrl_cpu"}
    code = "from massrl import recipes; print(recipes.path('digits/byol'))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    path = subprocess.check_output([sys.executable, "-P", "-c", code], env=environment, text=True).strip()
    assert path == str(installed / "massrl" / "configs" / "pretrain" / "digits" / "byol.yaml")


def test_the_quickstart_runs_from_the_wheel(installed):
    # The NumPy references, since numba would compile every kernel anew for this folder: most of a minute.
    assert "check passed" in massrl(installed, "quickstart", "--check", MASSRL_REFERENCE="1")
    assert list(Path().iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ["quickstart", "--check"],
        ["bench", "methods", "--check"],
        ["pretrain", "--config", "digits/byol", "--check"],
        ["data", "show", "--check"],
        ["knn", "--check"],
        ["linear", "--check"],
    ],
    ids=" ".join,
)
def test_a_command_runs_from_the_wheel(installed, words):
    massrl(installed, *words)
    assert list(Path().iterdir()) == []


def imported() -> set[str]:
    """The top-level modules that the two packages import; timm by a function of ours."""
    found = set()
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module.partition(".")[0], *(["timm"] if node.module == "massrl.timm_package" else [])}
    return found


def requirements() -> set[str]:
    """The names of requirements.txt, normalised as PyPI does."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    words = [re.match(r"[\w.-]+", line) for line in lines if line.strip() and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", word[0]).lower() for word in words}


def test_every_requirement_is_imported_and_every_import_is_a_requirement_or_of_an_extra():
    distributions = {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in names}
        for module, names in packages_distributions().items()
    }
    used = set().union(*(distributions.get(module, set()) for module in imported()))
    assert requirements() - used == set(), "required, and nothing imports it: move it to an extra"
    own = {"massrl", "data_loading"}
    optional = {"albumentations", "ffcv", "lightly", "nvidia", "webdataset", "ipywidgets", "nbclient", "nbformat"}
    optional |= {"umap", "onnx", "onnxruntime", "kornia", "pyarrow", "wandb"}
    others = {m for m in imported() if m not in sys.stdlib_module_names} - own - optional
    assert {m for m in others if not distributions.get(m, set()) & requirements()} == set()


def test_the_constraints_meet_the_requirements_and_name_what_the_extras_need():
    from packaging.requirements import Requirement

    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    for line in lines:
        one = Requirement(line)
        assert one.specifier.contains(pinned[re.sub(r"[-_.]+", "-", one.name).lower()]), line


def test_lightning_is_of_a_version_without_malicious_code_or_code_from_checkpoints():
    from packaging.requirements import Requirement

    (line,) = [x for x in (ROOT / "requirements.txt").read_text().splitlines() if x.startswith("pytorch-lightning")]
    allowed = Requirement(line).specifier
    assert [v for v in ("2.6.2", "2.6.3", "2.6.5", "2.6.6") if allowed.contains(v)] == ["2.6.6"]
