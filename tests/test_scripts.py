"""The scripts: their form, what they pass on, what they say when something is missing; one of each kind really runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands import ROOT, parse
from massrl.training.global_batch import share

SCRIPTS = sorted([*(ROOT / "bash_files").rglob("*.sh"), ROOT / ".ci" / "run"])
SOURCED = {"env.sh", "install.sh", "run_tests.sh"}
THIN = [p for p in SCRIPTS if "exec massrl" in p.read_text() and p.name != "quickstart.sh"]
NEEDS = {  # what a user must give
    "pretrain": ["--data.train", "some images.beton"],
    "linear": ["--checkpoint", "last.ckpt", "--train", "train.beton", "--test", "test.beton"],
    "semi": ["--checkpoint", "last.ckpt", "--train", "train.beton", "--test", "test.beton"],
    "finetune": ["--checkpoint", "last.ckpt", "--train", "train.beton", "--test", "test.beton"],
    "knn": ["--checkpoint", "last.ckpt", "--train", "train.beton", "--test", "test.beton"],
    "transfer": ["--checkpoint", "last.ckpt", "--root", "data"],
    "detect": ["--checkpoint", "c", "--train", "a", "--train_json", "a.json", "--test", "b", "--test_json", "b.json"],
    "segment": ["--checkpoint", "c", "--train", "a", "--train_masks", "am", "--test", "b", "--test_masks", "bm"],
}
CHOICE = {
    "bash_files/linear.sh": ["cifar10", "moco"],
    "bash_files/transfer.sh": ["ssl_transfer"],
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment less what chooses a virtual environment or a package index."""
    chosen = {"VENV", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "NEED_GB"}
    kept = {k: v for k, v in os.environ.items() if k not in chosen and not k.startswith("PIP_")}
    return {**kept, **more}


def run(script: Path | str, *words: str, **more: str) -> subprocess.CompletedProcess:
    """`bash script words` from the test's own folder."""
    command = ["bash", str(ROOT / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=clean_environment(**more), timeout=280)


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def recorder(tmp_path_factory) -> Path:
    """A folder like a virtual environment whose `massrl` writes its words and its working folder as JSON."""
    venv = tmp_path_factory.mktemp("a venv")
    write_program(
        venv / "bin" / "massrl",
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([os.getcwd(), *sys.argv[1:]]))\n",
    )
    # not a link: the interpreter would not find this folder's own site-packages
    write_program(venv / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    return venv


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_is_valid_bash(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", [p for p in SCRIPTS if p.name not in SOURCED], ids=name)
def test_a_script_opens_with_its_purpose_stops_at_errors_and_stays_in_the_callers_folder(script):
    text = script.read_text()
    lines = text.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ") and "Usage:" in text
    assert "\nset -euo pipefail\n" in text
    # a `cd` is allowed in a subshell only: to find the checkout, and for a tool that reads its settings there
    allowed = ('root="$(cd ', '(cd "$root" && ', "#")
    assert [line for line in lines if "cd " in line and not line.startswith(allowed)] == []
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", THIN, ids=name)
def test_a_thin_script_passes_all_words_on_and_its_command_takes_them(script, recorder, monkeypatch, tmp_path):
    assert script.read_text().rstrip().endswith('"$@"')
    kind = script.read_text().rpartition("exec massrl ")[2].split()[0]
    done = run(script, *CHOICE.get(name(script), []), *NEEDS[kind], VENV=str(recorder))
    assert done.returncode == 0, done.stderr
    folder, *words = json.loads(done.stdout)
    assert folder == str(tmp_path)
    assert words[0] == kind and words[-len(NEEDS[kind]) :] == NEEDS[kind]
    parse(words, monkeypatch)


STAGES = ("pretrain", "linear", "semi", "finetune", "knn")
PUBLISHED = ("cifar10", "imagenet100", "imagenet")
STAGED = [p for p in THIN if p.parent.name in PUBLISHED and p.parent.parent.name in STAGES]


def test_each_stage_of_each_published_data_set_has_its_script():
    names = {(p.parent.parent.name, p.parent.name, p.stem) for p in STAGED}
    for data in PUBLISHED:
        wanted = {"pretrain": "massrl", "linear": "massrl", "semi": "1percent", "finetune": "sgd", "knn": "knn"}
        assert {(stage, data, stem) for stage, stem in wanted.items()} <= names
        assert {("semi", data, "10percent"), ("linear", data, "probe")} <= names
    assert not {p.stem for p in (ROOT / "bash_files").glob("*/*.sh")} & set(PUBLISHED), "they have folders"


@pytest.mark.parametrize("script", STAGED, ids=name)
def test_a_published_script_says_how_to_run_it_on_gpus_and_which_figures_are_known(script):
    head = [line for line in script.read_text().splitlines() if line.startswith("#")]
    assert f"Usage: {name(script)} --" in head[2]
    text = "\n".join(head)
    assert re.search(r"\b1 GPU|One GPU|any number of GPUs|--devices 1\b", text)
    assert ("8 GPUs" in text or "--devices 8" in text) or "features are computed once" in text
    if script.stem != "probe":
        assert "Here: " in text and ("Published: " in text or "Recipe: " in text)


@pytest.mark.parametrize("script", [p for p in STAGED if p.parent.parent.name == "pretrain"], ids=name)
def test_the_images_that_a_header_names_make_up_the_global_batch_of_the_recipe(script):
    text, data = script.read_text(), script.parent.name
    recipe = yaml.safe_load((ROOT / "configs" / "pretrain" / data / f"{script.stem}.yaml").read_text())
    total, most = recipe["global_batch"], recipe["data"].get("batch_size", 256)
    assert f"{total} images a step" in text
    for gpus in (1, 8):
        images, parts = share(total, most, gpus)
        (line,) = re.findall(rf"#   {gpus} GPUs?: +(.*)", text)
        shown = f"{parts} x {images} images" if parts > 1 else f"{images} images"
        assert shown in line
    assert f"{recipe['trainer']['max_epochs']} epochs" in text


@pytest.mark.parametrize("script", [p for p in STAGED if p.parent.parent.name == "pretrain"], ids=name)
@pytest.mark.parametrize("gpus", [1, 8])
def test_a_script_passes_the_number_of_gpus_on_beside_the_recipes_global_batch(script, gpus, recorder, monkeypatch):
    done = run(script, *NEEDS["pretrain"], "--trainer.devices", str(gpus), VENV=str(recorder))
    _, kind, *words = json.loads(done.stdout)
    assert words[-2:] == ["--trainer.devices", str(gpus)] and kind == "pretrain"
    parse([kind, *words], monkeypatch)


@pytest.mark.parametrize("script", STAGED, ids=name)
def test_a_published_script_without_an_environment_says_so_in_one_line(script, tmp_path):
    done = run(script, "--help", VENV=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{script.name}: error: massrl is not installed in {tmp_path}" in done.stderr


@pytest.mark.parametrize("script", [p for p in STAGED if p.parent.parent.name != "pretrain"], ids=name)
def test_help_of_a_script_is_that_of_its_command(script, recorder):
    done = run(script, "--help", VENV=str(recorder))
    assert done.returncode == 0 and json.loads(done.stdout)[-1] == "--help"


def test_pretrain_takes_a_data_set_and_a_method_in_place_of_a_script_for_each(recorder):
    words = json.loads(
        run("bash_files/pretrain.sh", "cifar10", "simclr", *NEEDS["pretrain"], VENV=str(recorder)).stdout
    )
    recipe = ROOT / "configs" / "pretrain" / "cifar10" / "simclr.yaml"
    assert words[1:] == ["pretrain", "--config", str(recipe), *NEEDS["pretrain"]]
    for wrong in (["cifar10", "simclt", "--minutes", "1"], ["cifar10"]):
        done = run("bash_files/pretrain.sh", *wrong, VENV=str(recorder))
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            done.stderr.count("\n") == 1 and "no recipe for 'cifar10" in done.stderr and "cifar10 simclr" in done.stderr
        )


def test_the_workflow_and_the_hooks_call_scripts_and_tools_that_are_there():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    named = {word for command in commands for word in command.split() if word.startswith(("bash_files/", "tests/"))}
    assert {"bash_files/check.sh", "bash_files/docs.sh", "tests/test_wheel.py"} <= named
    assert [word for word in named if not (ROOT / word).exists()] == []
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local", "nothing is fetched"
    checks = (ROOT / "bash_files" / "check.sh").read_text()
    assert all(
        " ".join(hook["entry"].split()[:2]).removesuffix(" --force-exclude") in checks for hook in repository["hooks"]
    )


def test_a_script_without_massrl_in_its_environment_says_so_in_one_line(tmp_path):
    done = run("bash_files/pretrain.sh", "--help", VENV=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and str(tmp_path) in done.stderr and "quickstart.sh" in done.stderr


def test_the_activated_environment_is_used_and_venv_goes_before_it(recorder, tmp_path):
    assert run("bash_files/pretrain.sh", VIRTUAL_ENV=str(recorder)).returncode == 0
    assert run("bash_files/pretrain.sh", VIRTUAL_ENV=str(recorder), VENV=str(tmp_path)).returncode == 2
    assert run("bash_files/pretrain.sh", CONDA_PREFIX=str(recorder), CONDA_DEFAULT_ENV="work").returncode == 0


def test_quickstart_uses_an_environment_that_is_up_to_date_and_installs_nothing(recorder):
    where = f'root="{ROOT}"; source "$root/bash_files/install.sh"; fingerprint ""'
    stamp = subprocess.check_output(["bash", "-c", where], text=True, env=clean_environment(VENV=str(recorder)))
    (recorder / ".massrl-installed").write_text(stamp)
    done = run("bash_files/quickstart.sh", "my images", "--index-url", "URL", "--minutes", "1", VENV=str(recorder))
    assert done.returncode == 0, done.stderr
    said, called = done.stdout.rsplit("\n", 2)[:2]
    assert "massrl quickstart will" in said and "everything is installed" in said
    assert json.loads(called)[1:] == ["quickstart", "my images", "--minutes", "1"]  # the index is pip's


def test_quickstart_installs_again_when_what_it_installs_has_changed(recorder):
    (recorder / ".massrl-installed").write_text("of another requirements.txt\n")
    done = run("bash_files/quickstart.sh", VENV=str(recorder), **NO_INDEX)
    assert done.returncode == 2 and "an installed torch is not touched" in done.stdout
    assert "pip can't fetch packages" in done.stderr


NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}  # a port where nobody listens


def tools(folder: Path, *names: str) -> str:
    """A PATH of nothing but these programs."""
    folder.mkdir()
    for one in names:
        found = subprocess.check_output(["bash", "-c", f"command -v {one}"], text=True).strip()
        (folder / one).symlink_to(found)
    return str(folder)


def test_quickstart_without_python_stops_with_one_line(tmp_path):
    path = tools(tmp_path / "bin", "bash", "dirname", "basename", "df", "awk", "ls", "env")
    done = run("bash_files/quickstart.sh", VENV=str(tmp_path / "venv"), PATH=path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no Python >= 3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_quickstart_on_a_full_disk_stops_with_one_line_before_it_makes_anything(tmp_path):
    write_program(tmp_path / "bin" / "df", "#!/bin/sh\necho header\necho disk 9 8 1048576 89% /\n")  # 1 GB free
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run("bash_files/quickstart.sh", VENV=str(tmp_path / "venv"), PATH=path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "only 1 GB free" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_quickstart_without_network_stops_with_one_line(tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run("bash_files/quickstart.sh", VENV=str(tmp_path / "venv"), PATH=path, NEED_GB="0", **NO_INDEX)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "check the network" in done.stderr


def test_quickstart_leaves_a_folder_alone_that_is_no_environment(tmp_path):
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "one.jpg").touch()
    done = run("bash_files/quickstart.sh", VENV=str(tmp_path / "photographs"))
    assert done.returncode == 2 and "no virtual environment" in done.stderr
    assert [p.name for p in (tmp_path / "photographs").iterdir()] == ["one.jpg"]


ONE_OF_EACH_KIND = ["quickstart.sh", "pretrain.sh", "pretrain/digits/massrl.sh", "linear/digits/probe.sh"]
ONE_OF_EACH_KIND += ["linear/imagenet/massrl.sh", "semi/imagenet/1percent.sh", "finetune/cifar10/sgd.sh"]
ONE_OF_EACH_KIND += ["knn/digits/knn.sh"]


@pytest.mark.parametrize("script", ONE_OF_EACH_KIND)
def test_one_script_of_each_kind_runs_its_check_and_leaves_nothing_behind(script, tmp_path):
    done = run(f"bash_files/{script}", "--check", VENV=sys.prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
