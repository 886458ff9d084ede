"""Every recipe builds and takes two steps, in one process; each says where it comes from, and has its script."""

import gc
from pathlib import Path

import pytest
import yaml

from massrl.cli import pretrain

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs" / "pretrain").glob("*/*.yaml"))

every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")


@every_config
def test_a_config_builds_and_takes_two_steps(path: Path):
    pretrain.main(["--config", str(path), "--check"])
    gc.collect()  # networks of a run refer to each other in circles, which would fill the memory before Python looks
    assert not list(Path().iterdir()), "a check leaves nothing behind"


@every_config
def test_a_config_opens_with_purpose_launch_line_recipe_cost_and_result(path: Path):
    text = path.read_text()
    head = " ".join(line for line in text.splitlines() if line.startswith("#"))
    assert text.startswith("# ")
    data, stem = path.parent.name, path.stem
    launches = [f"bash bash_files/pretrain/{data}/{stem}.sh", f"bash bash_files/pretrain.sh {data} {stem} "]
    assert any(launch in head for launch in [*launches, f"massrl pretrain --config {path.relative_to(ROOT)}"])
    for word in ("Launch: ", "Recipe: ", "Cost and result: "):
        assert word in head, word


@every_config
def test_a_config_is_named_after_its_method(path: Path):
    method = yaml.safe_load(path.read_text())["model"]["class_path"].rpartition(".")[2]
    assert path.stem.replace("_", "").startswith(method.lower())


def test_each_script_has_a_config_and_each_launch_by_script_has_its_script():
    scripts = {(p.parent.name, p.stem) for p in (ROOT / "bash_files" / "pretrain").glob("*/*.sh")}
    assert scripts <= {(p.parent.name, p.stem) for p in CONFIGS}
    launched = {(p.parent.name, p.stem) for p in CONFIGS if "Launch: bash bash_files/pretrain/" in p.read_text()}
    assert launched == scripts


def test_every_method_has_a_config():
    from massrl.methods import METHODS

    assert {yaml.safe_load(p.read_text())["model"]["class_path"] for p in CONFIGS} == set(METHODS)
