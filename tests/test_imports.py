"""Imports point down, from room to room and from file to file: read from the source, nothing is imported."""

import subprocess
import sys

import pytest

from import_graph import PACKAGES, ROOT, circles, files, floors, graph, imports, module, of_rooms, room

# room -> what it may import, and everything that this may import; nothing else. So rooms of one line do not import each
# other. A new room of a package needs a line here.
BELOW = {
    "data_loading.bench": ["loading", "ffcv"],
    "data_loading.ffcv": ["loading"],
    "data_loading.replay": ["loading"],
    "data_loading.loading": ["render", "batch", "sources"],
    "data_loading.render": ["views"],
    "data_loading.batch": ["views"],
    "data_loading.views": ["strategies"],
    "data_loading.strategies": ["ops"],
    "data_loading.ops": ["kernel", "config"],
    "data_loading.sources": ["fields", "kernel", "config"],
    "data_loading.fields": ["beton"],
    "data_loading.beton": ["decode", "kernel", "config"],
    "data_loading.decode": ["config"],
    "data_loading.rng": ["kernel"],
    "data_loading.kernel": ["config"],
    "data_loading.config": ["errors"],
    "data_loading.errors": [],
    "massrl.__main__": ["cli"],
    "massrl.cli": ["bench", "dense"],
    "massrl.bench": ["training", "simple"],
    "massrl.training": ["report", "exporting", "parsing"],
    "massrl.exporting": ["evaluation"],
    "massrl.report": ["callbacks"],
    "massrl.callbacks": ["evaluation"],
    "massrl.dense": ["training"],
    "massrl.evaluation": ["methods", "leaks"],
    "massrl.simple": ["methods"],
    "massrl.methods": ["losses", "nn", "backbones", "optim", "distributed"],
    "massrl.optim": ["data_loading", "timm_package"],
    "massrl.backbones": ["runs", "timm_package"],
    "massrl.runs": ["zoo"],
    **{f"massrl.{name}": ["data_loading"] for name in ("losses", "nn", "distributed", "zoo", "errors", "leaks")},
    "massrl.parsing": ["recipes"],
    "massrl.recipes": ["data_loading"],
    "massrl.timm_package": [],
    "massrl._version": [],
}
MODULES = graph()
FILES = {module(path): path for path in files()}


def allowed(name: str) -> set[str]:
    """All rooms that a room may import, by the table."""
    package = name.partition(".")[0]
    found = set()
    for one in BELOW[name]:
        if one == "data_loading":
            found |= {one, *(other for other in BELOW if other.startswith("data_loading."))}
        else:
            found |= {f"{package}.{one}"} | allowed(f"{package}.{one}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down(name):
    here = room(name)
    free = {here, *PACKAGES, "massrl._version"}  # `import massrl` loads nothing but the version
    if "." in here:
        assert here in BELOW, f"{here} has no line in the table of this test"
        free |= allowed(here)
    else:  # a package's own __init__, whose names are loaded when they are first used
        free |= set(BELOW)
    wrong = [f"line {line}: {name} -> {to}" for line, to in imports(FILES[name]) if room(to) not in free]
    assert not wrong, "; ".join(wrong)


def test_every_line_of_the_table_is_a_room_and_every_word_in_it_is_used():
    rooms = {room(name) for name in MODULES}
    assert {name for name in BELOW if name not in rooms} == set()
    named = {f"{name.partition('.')[0]}.{one}" for name, below in BELOW.items() for one in below}
    assert {name for name in named if name not in rooms | {"massrl.data_loading"}} == set()


def test_no_files_import_each_other_in_a_circle():
    assert circles(MODULES) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other_in_a_circle(package):
    assert circles(of_rooms(MODULES, package)) == []


def test_a_circle_is_found_and_floors_are_counted():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "elsewhere"}}
    assert circles(arrows) == [["b", "c"]]
    assert floors({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == 3


def test_the_reader_of_imports_sees_every_form_that_runs(tmp_path):
    for name in ("massrl", "massrl/losses", "data_loading", "data_loading/views"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('_HOME = {"Loader": "loading.loader"}\n')
    (tmp_path / "massrl" / "optim.py").touch()
    file = tmp_path / "massrl" / "losses" / "one.py"
    file.write_text(
        "import massrl.cli.main\nfrom massrl import optim\nfrom ..optim import f\nfrom . import two\nimport numpy\n"
        "if TYPE_CHECKING:\n    from massrl import never\n"
        "def f():\n    from data_loading import Loader\n    from data_loading.views import get\n"
    )
    expected = [
        "massrl.cli.main",
        "massrl.optim",
        "massrl.optim",
        "massrl.losses",
        "data_loading.loading.loader",
        "data_loading.views",
    ]
    assert [name for _, name in imports(file, tmp_path)] == expected


def test_the_packages_and_the_front_of_the_command_import_nothing_heavy():
    code = (
        "import sys, massrl, data_loading, massrl.cli.main\n"
        "print(*sorted({'torch', 'numpy', 'numba', 'pytorch_lightning', 'jsonargparse', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
