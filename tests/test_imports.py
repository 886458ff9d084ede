"""Imports point down: read from the source, nothing is imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("massrl", "data_loading")

# module -> what it may import, and everything that this may import; nothing else. So modules of one line do not import
# each other. A new module of a package needs a line here.
BELOW = {
    "data_loading.bench": ["datamodule", "ffcv"],
    "data_loading.loading.datamodule": ["loader"],
    "data_loading.ffcv": ["loader", "writer"],
    "data_loading.sources.dataset_writer": ["sources"],
    "data_loading.loading.loader": ["worker", "order", "state", "threads", "sources"],
    "data_loading.loading.worker": ["making", "render", "render_torch", "view_sets"],
    "data_loading.loading.assembly": ["cache", "batch", "memory", "drawing"],
    "data_loading.views.sampling": ["plan"],
    "data_loading.loading.order": ["beton", "rng"],
    "data_loading.loading.state": ["beton"],
    "data_loading.loading.threads": [],
    "data_loading.loading.batch_memory": [],
    "data_loading.loading.node_memory": ["beton"],
    "data_loading.loading.replay": ["render", "sources", "drawing", "view_sets"],
    "data_loading.render.numba_renderer": ["reference", "scratch"],
    "data_loading.render.scratch": ["ops"],
    "data_loading.render.reference": ["plan"],
    "data_loading.render.torch_renderer": ["plan"],
    "data_loading.batch": ["plan"],
    "data_loading.loading.cache": ["beton", "shared"],
    "data_loading.views.plan": ["views"],
    "data_loading.views.named": ["views"],
    "data_loading.views.view_set": ["strategies"],
    "data_loading.strategies": ["ops"],
    "data_loading.ops": ["rng"],
    "data_loading.sources": ["fields", "rng"],
    "data_loading.fields": ["beton"],
    "data_loading.beton": ["decode", "rng"],
    "data_loading.decode": [],
    "data_loading.kernel.rng": [],
    "massrl.__main__": ["cli"],
    "massrl.cli": ["quickstart", "bench"],
    "massrl.quickstart": ["run"],
    "massrl.run": ["simple", "report", "export"],
    "massrl.bench": ["run"],
    "massrl.simple": ["methods"],
    "massrl.report": ["callbacks"],
    "massrl.export": ["callbacks"],
    "massrl.callbacks": ["evaluation"],
    "massrl.evaluation": ["methods"],
    "massrl.methods": ["losses", "nn", "backbones", "optim", "distributed"],
    **{f"massrl.{name}": ["data_loading"] for name in ("losses", "nn", "backbones", "optim", "distributed")},
}
# What stands under everything: no arrow from here leads anywhere else.
GROUND = {"data_loading": {"config", "errors", "jit", "simd"}, "massrl": {"_version"}}


def allowed(module: str) -> set[str]:
    """All modules that `module` may import, by the table."""
    if module == "data_loading":
        return {name for name in BELOW if name.startswith("data_loading.")}
    package = module.partition(".")[0]
    found = set()
    for name in BELOW.get(module, []):
        below = name if name == "data_loading" else f"{package}.{name}"
        found |= {below} | allowed(below)
    return found


def part(path: Path) -> str:
    """The module of the table that a file belongs to: `massrl/cli/main.py` -> "massrl.cli"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[1] == "__init__" else ".".join(parts[:2])


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def lazy_home(package: str, name: str) -> str:
    """The module that `from package import name` loads, where the package's __init__ is lazy; "" for its own names."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "_HOME" for t in node.targets):
            home = ast.literal_eval(node.value).get(name)
            return f"{package}.{home}" if home else ""
    return ""


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module of the table) of every import of ours in a file, inside functions too."""
    here = path.relative_to(ROOT).parent.parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = here[: len(here) - node.level + 1] if node.level else ()
            base = ".".join([*up, *filter(None, [node.module])])
            names = [target(base, alias.name) for alias in node.names]
        else:
            continue
        found += [(node.lineno, ".".join(n.split(".")[:2])) for n in names if n.split(".")[0] in PACKAGES]
    return found


def target(base: str, name: str) -> str:
    """The module behind `from base import name`."""
    if base not in PACKAGES:
        return base
    return f"{base}.{name}" if is_module(f"{base}.{name}") else lazy_home(base, name)


FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    module = part(path)
    package, _, name = module.partition(".")
    assert not name or name in GROUND[package] or module in BELOW, f"{module} has no line in the table of this test"
    free = {f"{p}.{n}" for p in ("data_loading", package) for n in GROUND[p]}
    free |= {"massrl"} if package == "massrl" else set()  # `import massrl`: lazy, nothing but the version is loaded
    below = allowed(module)
    if "data_loading" in below:
        below |= allowed("data_loading")
    wrong = [f"line {line}: {module} -> {to}" for line, to in imports(path) if to != module and to not in below | free]
    assert not wrong, "; ".join(wrong)


def test_the_table_has_no_way_back_up():
    for module in BELOW:
        assert module not in allowed(module)


def test_the_reader_of_imports_sees_every_form(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for name in ("massrl", "massrl/losses", "data_loading"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('_HOME = {"Loader": "loader"}\n')
    (tmp_path / "massrl" / "optim.py").touch()
    file = tmp_path / "massrl" / "losses" / "one.py"
    file.write_text(
        "import massrl.cli.main\nfrom massrl import optim\nfrom ..optim import f\nfrom . import two\nimport numpy\n"
        "def f():\n    from data_loading import Loader\n    from data_loading.views.view_set import get\n"
    )
    expected = [
        "massrl.cli",
        "massrl.optim",
        "massrl.optim",
        "massrl.losses",
        "data_loading.loading.loader",
        "data_loading.views.view_set",
    ]
    assert [module for _, module in imports(file)] == expected


def test_the_packages_and_the_front_of_the_command_import_nothing_heavy():
    code = (
        "import sys, massrl, data_loading, massrl.cli.main\n"
        "print(*sorted({'torch', 'numpy', 'numba', 'pytorch_lightning', 'jsonargparse', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_file_has_300_lines():
    assert {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) >= 300} == {}
