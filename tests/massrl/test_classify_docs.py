"""The page of evaluation and the files of configs/ say what the protocols are."""

import re
from pathlib import Path

import pytest

from commands import ROOT, parse
from massrl.evaluation.classify.running import named, names
from massrl.evaluation.classify.training import Training

TASKS = ("linear", "semi", "finetune")
CONFIGS = sorted(path for task in TASKS for path in (ROOT / "configs" / task).glob("*/*.yaml"))
TITLES = {"sgd": "SGD", "lars": "LARS", "adamw": "AdamW"}
FILES = ["--checkpoint", "last.ckpt", "--train", "train.beton", "--test", "test.beton"]


def number(value: float) -> str:
    return f"{value:g}"


def settings(p: Training) -> str:
    """A protocol's settings in a line: optimiser, rates, epochs, batch, schedule, decay, head, and what else it has."""
    momentum = "" if p.optimizer == "adamw" else f" {number(p.momentum)}" + (", Nesterov" if p.nesterov else "")
    scaled = {"linear": " · B/256", "sqrt": " · √(B/256)", "none": ""}[p.lr_scaling]
    rates = f"head {number(p.base_lr)}" + ("" if p.frozen else f", body {number(p.body_lr)}") + scaled
    curve = {"step": f"×{number(p.gamma)} at {', '.join(number(p.epochs * m) for m in p.milestones)}"}
    parts = [
        f"{TITLES[p.optimizer]}{momentum}; {rates}; {p.epochs} epochs, B {p.batch_size}",
        curve.get(p.schedule, p.schedule) + (f", warm-up {number(p.warmup_epochs)}" if p.warmup_epochs else ""),
        f"wd {number(p.weight_decay)}" if p.weight_decay else "no decay",
    ]
    parts += [f"head: {p.head}"] if p.head != "linear" else []
    parts += ["bicubic"] if p.interpolation == "bicubic" else []
    own = ("layer_decay", "mixup", "cutmix", "smoothing", "drop_path", "erasing")
    parts += [f"{name} {number(getattr(p, name))}" for name in own if getattr(p, name)]
    few = [f"{name} {number(value)}" for name, value in p.few.items()]
    return "; ".join(parts) + (f". 1 %: {', '.join(few)}" if few else "")


def selection(p: Training) -> str:
    if p.selection == "held-out":
        return f"held-out: rates × {', '.join(map(number, p.rates))}"
    return "**optimistic**: best epoch on test" if p.optimistic else "fixed"


def table(task: str) -> list[str]:
    rows = [(name, kind()) for name, kind in sorted(names(task).items())]
    return [f"| `{name}` | {settings(p)} | {selection(p)} | {p.source} |" for name, p in rows]


@pytest.mark.parametrize("task", TASKS)
def test_the_page_has_a_row_for_each_protocol_with_its_settings(task):
    lines = (ROOT / "docs" / "evaluation.md").read_text().splitlines()
    begin = lines.index(f"<!-- protocols of massrl {task} -->")
    rows = [line for line in lines[begin : lines.index("<!-- end -->", begin)] if line.startswith("| `")]
    assert rows == table(task)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: "/".join(p.parts[-3:]))
def test_a_config_parses_and_its_protocol_takes_its_settings(path, monkeypatch):
    import yaml

    task = path.parent.parent.name
    parse([task, "--config", str(path), *FILES], monkeypatch)
    content = yaml.safe_load(path.read_text())
    protocol = named(task, content.pop("protocol", "semi"))
    content = {name: value for name, value in content.items() if name not in ("labels", "draws")}
    assert set(protocol.differs(protocol.changed(content))) == set(content), "each setting differs from the protocol's"
    head = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert head[0].startswith(("# Linear classifier", "# Fine-tune"))
    (result,) = [line for line in head if line.startswith("# Cost and result: ")]
    if result != "# Cost and result: not run.":  # then the page that it names has these figures, in per cent
        shown = (ROOT / result.split()[-1].rstrip(".")).read_text()
        assert all(figure in shown for figure in re.findall(r"\b\d+\.\d\b", result)), result
    (launch,) = [line for line in head if line.startswith("# Launch: bash ")]
    assert (ROOT / launch.split()[3]).is_file()


def test_there_are_configs_for_each_linear_protocol_and_scripts_for_few_labels():
    for data in ("cifar10", "imagenet100", "imagenet"):
        assert {p.stem for p in (ROOT / "configs" / "linear" / data).glob("*.yaml")} == set(names("linear"))
        for part in ("1percent", "10percent"):
            script = (ROOT / "bash_files" / "semi" / data / f"{part}.sh").read_text()
            assert f"configs/semi/{data}/{part}.yaml" in script


@pytest.mark.parametrize("config", ["linear/cifar10/byol", "semi/cifar10/1percent", "finetune/imagenet/simclr"])
def test_a_config_trains_on_generated_images(config):
    from massrl.cli.main import main

    assert main([config.split("/")[0], "--config", str(ROOT / "configs" / f"{config}.yaml"), "--check"]) == 0
    assert not list(Path().iterdir())
