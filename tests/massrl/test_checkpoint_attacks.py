"""A checkpoint is data: one that carries code, or the name of some, is refused by every way in, and nothing is run."""

import os
from pathlib import Path

import pytest
import torch

import massrl
from data_loading.errors import CheckpointError
from drawn import Drawn, small, trainer
from massrl.cli import pretrain

SPY = """
from pathlib import Path
Path("imported").touch()
def call(*args, **kwargs):
    Path("called").touch()
"""


class Payload:
    """Pickles as a call of os.mkdir."""

    def __reduce__(self):
        return os.mkdir, ("called",)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A whole checkpoint of a short run."""
    path = tmp_path_factory.mktemp("run") / "a.ckpt"
    run = trainer()
    run.fit(small("SimCLR"), Drawn(2, 2))
    run.save_checkpoint(path)
    return torch.load(path, weights_only=True)


def file_with(content: dict, part: str, **more) -> Path:
    torch.save({**content, part: {**content.get(part, {}), **more}}, "attack.ckpt")
    return Path("attack.ckpt")


def load(path: Path) -> None:
    massrl.load(path)


def go_on(path: Path) -> None:
    words = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--trainer.max_epochs", "9"]
    pretrain.main([*words, "--ckpt_path", str(path), "--check"])


ways_in = pytest.mark.parametrize("way_in", [load, go_on])


@ways_in
@pytest.mark.parametrize("part", ["hyper_parameters", "datamodule_hyper_parameters"])
def test_a_checkpoint_that_names_a_function_to_call_is_refused_and_neither_it_nor_its_module_is_run(
    content, way_in, part, monkeypatch
):
    Path("spy.py").write_text(SPY)
    monkeypatch.syspath_prepend(os.getcwd())
    path = file_with(content, part, _instantiator="spy.call")
    with pytest.raises(CheckpointError, match=f"attack.ckpt: names a function to call .*_instantiator in its {part}"):
        way_in(path)
    assert not Path("imported").exists() and not Path("called").exists()


@ways_in
@pytest.mark.parametrize("part", ["hyper_parameters", "state_dict", "callbacks"])
def test_a_checkpoint_with_a_pickled_call_is_refused_and_the_call_is_not_made(content, way_in, part):
    path = file_with(content, part, more=Payload())
    with pytest.raises(CheckpointError, match=r"attack.ckpt: (holds objects other than tensors|not a checkpoint)"):
        way_in(path)
    assert not Path("called").exists()


def test_the_payload_would_run_where_anything_is_unpickled(content):
    torch.load(file_with(content, "callbacks", more=Payload()), weights_only=False)
    assert Path("called").is_dir()
