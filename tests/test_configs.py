"""Every recipe builds and takes two steps, in one process; each says where it comes from, and has its script."""

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
    assert not list(Path().iterdir()), "a check leaves nothing behind"


@every_config
def test_a_config_opens_with_purpose_launch_line_recipe_cost_and_result(path: Path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    text = " ".join(head)
    assert path.read_text().startswith("# ")
    assert f"bash bash_files/pretrain/{path.parent.name}/{path.stem}.sh" in text
    for word in ("Launch: ", "Recipe: ", "Cost and result: "):
        assert word in text, word


@every_config
def test_the_method_of_a_config_is_the_one_that_its_file_is_named_after(path: Path):
    method = yaml.safe_load(path.read_text())["model"]["class_path"]
    assert method.rpartition(".")[2].lower() == path.stem.replace("_", "")


def test_each_config_has_a_script_and_each_script_a_config():
    scripts = (ROOT / "bash_files" / "pretrain").glob("*/*.sh")
    assert [(p.parent.name, p.stem) for p in CONFIGS] == sorted((p.parent.name, p.stem) for p in scripts)


def test_every_method_has_a_config():
    from massrl.methods import METHODS

    assert {yaml.safe_load(p.read_text())["model"]["class_path"] for p in CONFIGS} == set(METHODS)
