"""The notebook: calls only, runs, and is committed with the outputs of a run."""

import ast
import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

from data_loading.errors import ConfigError
from massrl.report.pictures.notebook import run

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "augmentations.ipynb"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


WIDGET = "application/vnd.jupyter.widget-view+json"  # its id is of the run


def shown(kind, data):
    """What two runs have in common: of an image the size, of a widget its kind, of all else the text."""
    if kind.startswith("image/"):
        return Image.open(io.BytesIO(base64.b64decode(data))).size
    return None if kind == WIDGET else data


def outputs(notebook):
    """What each cell of code has put out: {kind: what is shown} of data, or the name and text of a stream."""
    return [
        [
            {kind: shown(kind, data) for kind, data in output.data.items()}
            if "data" in output
            else (output.get("name", "error"), output.get("text"))
            for output in cell.outputs
        ]
        for cell in code(notebook)
    ]


def definitions(source):
    """Kinds of definitions in a cell, whose lines may be IPython's."""
    return [
        type(n).__name__
        for n in ast.walk(ast.parse(TransformerManager().transform_cell(source)))
        if isinstance(n, DEFINITIONS)
    ]


def test_the_notebook_calls_and_defines_nothing(committed):
    assert [definitions(cell.source) for cell in code(committed)] == [[]] * len(code(committed))
    assert definitions("%matplotlib inline\nf = lambda: 0\ndef g(): pass") == ["FunctionDef", "Lambda"]


def test_the_notebook_is_a_valid_file_below_2_mb(committed):
    nbformat.validate(committed)
    assert NOTEBOOK.stat().st_size < 2e6


# A shell in which massrl is not found, and %pip says what it is asked for.
COLAB = """
import importlib.util, sys
from IPython.core.interactiveshell import InteractiveShell

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "massrl" else find(name, *more)
shell = InteractiveShell()
shell.register_magic_function(lambda line: print("pip", line), magic_name="pip")
sys.exit(not shell.run_cell(sys.stdin.read()).success)
"""


def on_colab(cell, folder):
    """The exit code of a cell in a process of its own, and what it prints."""
    env = {**os.environ, "IPYTHONDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", COLAB], input=cell, text=True, capture_output=True, env=env)
    return done.returncode, done.stdout


def test_colab_installs_the_repository_that_is_filled_in_and_asks_for_one(committed, tmp_path):
    install = code(committed)[0].source
    assert sum("pip install" in cell.source for cell in code(committed)) == 1
    failed, said = on_colab(install, tmp_path)
    assert failed and "write the repository's address into REPOSITORY" in said
    assert "Traceback" not in said and "pip" not in said
    filled = install.replace('REPOSITORY = ""', 'REPOSITORY = "https://host/massrl.git"')
    assert filled != install
    assert on_colab(filled, tmp_path) == (0, 'pip install -q "git+https://host/massrl.git"\n')


def test_the_notebook_names_the_photographers(committed):
    words = "".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    line = re.search(r"^Photographs: (?:.+\n?)+", (ROOT / "docs" / "pictures.md").read_text(), re.M)[0]
    links = re.findall(r"\[\w+\]\(https://www.flickr.com/\S+\)", line)
    assert len(links) == 2 and all(link in words for link in links) and "CC BY 2.0" in words


def test_without_nbclient_the_run_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(ConfigError, match=r"nbclient is not installed.*\.\[notebook\]"):
        run(NOTEBOOK, ROOT)


def test_the_notebook_runs_and_puts_out_what_is_committed(committed, tmp_path, monkeypatch):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)  # its kernel is a process of its own
    again = nbformat.reads(run(NOTEBOOK, tmp_path), as_version=4)
    found, stored = outputs(again), outputs(committed)
    for cell, mine, kept in zip(code(again), found, stored, strict=True):
        assert mine == kept, f"{cell.source!r} puts out something else today; run bash_files/figures.sh"
    assert found[0] == []  # nothing was installed
    pictures = sum("image/jpeg" in output for cell in found for output in cell)
    sliders = sum(WIDGET in output for cell in found for output in cell)
    assert pictures >= 12 and sliders == 2
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind
