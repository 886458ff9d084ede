"""The notebook: calls only, runs, and is committed with the outputs of a run."""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from massrl.report.pictures.notebook import run

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "augmentations.ipynb"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook):
    """What each cell of code has put out: the kinds of data, or the stream."""
    return [
        [sorted(output.data) if "data" in output else output.get("name", "error") for output in cell.outputs]
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


def test_what_colab_installs_is_what_the_readme_clones(committed):
    place = re.search(r"^git clone (.+?) massrl\b", (ROOT / "README.md").read_text(), re.M)[1]
    install = code(committed)[0].source
    assert f'%pip install -q "git+{place}"' in install and 'find_spec("massrl") is None' in install
    assert sum("pip install" in cell.source for cell in code(committed)) == 1


def test_the_notebook_runs_and_puts_out_what_is_committed(committed, tmp_path, monkeypatch):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)  # its kernel is a process of its own
    again = nbformat.reads(run(NOTEBOOK, tmp_path), as_version=4)
    assert kinds(again) == kinds(committed)
    assert kinds(again)[0] == []  # nothing was installed
    pictures = sum("image/jpeg" in kind for cell in kinds(again) for kind in cell)
    sliders = sum("application/vnd.jupyter.widget-view+json" in kind for cell in kinds(again) for kind in cell)
    assert pictures >= 12 and sliders == 2
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind
