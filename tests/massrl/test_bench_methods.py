"""`massrl bench methods`: what it writes, how an overhead is taken, and our losses beside lightly's."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from data_loading.errors import ConfigError, UnknownName
from massrl.bench import overhead, peers
from massrl.bench.overhead import Calls
from massrl.bench.recipes import Recipe
from massrl.cli import bench as command
from massrl.cli import main as front
from massrl.methods import METHODS

FIELDS = {"method", "parameters", "loss_start", "loss_end", "linear_1_before", "linear_1_after", "rank", "z_std"}
FIELDS |= {"step_overhead", "steps", "seconds", "rank_before"}
with_lightly = pytest.mark.skipif(find_spec("lightly") is None, reason="lightly is not installed here")


def test_the_command_writes_a_list_of_methods_and_prints_them(tmp_path, monkeypatch, capsys):
    from massrl.bench.methods import Bench

    run = Bench.run
    monkeypatch.setattr(Bench, "run", lambda self, name, steps=None: run(self, name, steps=2))
    words = ["methods", "--methods", "SimCLR", "Supervised", "--overhead_batch", "0", "--json", "a/out.json"]
    assert command.main(words) == 0
    found = json.loads((tmp_path / "a" / "out.json").read_text())
    assert [entry["method"] for entry in found] == ["SimCLR", "Supervised"]
    for entry in found:
        assert set(entry) == FIELDS and entry["steps"] == 2 and entry["step_overhead"] is None
        assert 0 < entry["linear_1_before"] < 1 and entry["rank"] > 1 and entry["z_std"] > 0
    printed = capsys.readouterr().out
    assert "\nSimCLR " in printed and "\nSupervised " in printed


def test_a_check_takes_two_steps_and_leaves_nothing(tmp_path, capsys):
    assert command.main(["methods", "--check", "--methods", "SimCLR", "--json", "out.json"]) == 0
    assert list(tmp_path.iterdir()) == [] and "nothing was kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "SimCLT"], "Did you mean 'SimCLR'?"),
        (["--peers", "lightl"], "Did you mean 'lightly'?"),
        (["--json", "."], "is a folder"),
        (["--json", "/dev/null/out.json"], "cannot be written"),
        (["--overhead_batch", "1"], "2 images or more"),
        (["--peers_json", "x.json"], "--peers lightly"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_trained(words, said, capsys):
    assert front.main(["bench", "methods", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="lightly is not installed here"):
        command.main(["methods", "--peers", "lightly"])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_recipe_that_names_it(name):
    recipe = Recipe.of(name)
    assert recipe.model["class_path"] == name and recipe.epochs >= 1 and recipe.data["size"] == 8


def test_a_method_without_a_recipe_and_an_unknown_one_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr("massrl.recipes.CLONE", tmp_path)
    with pytest.raises(ConfigError, match="no recipe for SimCLR"):
        Recipe.of("SimCLR")
    with pytest.raises(UnknownName, match="'SimCLR'"):
        Recipe.of("SimCLT")


def test_the_calls_of_a_step_are_made_again_on_the_same_inputs_with_and_without_gradient():
    online, target = nn.Linear(3, 2), nn.Linear(3, 2)
    calls, x, y = Calls(online, target), torch.randn(4, 3), torch.randn(4, 3)
    with calls.recorded():
        online(x)
        with torch.no_grad():
            target(y)
        online(y)
    assert [(m is online, learns) for m, _, learns in calls.made] == [(True, True), (False, False), (True, True)]
    calls.again()
    assert len(calls.made) == 3, "what is made again is not recorded"
    torch.testing.assert_close(online.weight.grad, (x + y).sum(0).expand(2, 3))  # gradient of the sum of both outputs
    assert target.weight.grad is None


class Waits(nn.Module):
    """A tiny backbone whose forward is called a number of times as often as it has to be."""

    num_features = 4

    def __init__(self):
        super().__init__()
        self.calls = []
        self.layer = nn.Linear(3, 4)

    def forward(self, x):
        self.calls.append(torch.is_grad_enabled())
        return self.layer(x.mean((2, 3)))


def test_the_backbones_part_has_every_call_of_the_step_and_no_other():
    backbone = Waits()
    found = overhead.measure("BYOL", batch=4, rounds=3, backbone=backbone, backbone_args=None, hidden_dim=8, out_dim=8)
    steps = overhead.UNTIMED + 3
    online = backbone.calls[1:]  # the first: sizes are checked before the first step
    assert online == [True] * (2 * 2 * steps)  # two views in the step, and two again
    assert found.batch == 4 and found.views == (2, 0) and found.low <= found.share <= found.high < 1
    assert found.share > 0.5, "of a backbone of 16 weights nearly all of the step lies outside"


def test_heads_are_cut_to_what_is_usual_on_small_images():
    assert overhead.widths("VICReg") == {"hidden_dim": 2048, "out_dim": 2048} and overhead.widths("SimCLR") == {}


@with_lightly
@pytest.mark.filterwarnings("ignore")  # of lightly's imports
def test_our_losses_have_lightlys_values_where_the_equations_are_the_same():
    for row in peers.measure(images=16, rounds=1):
        assert row.difference < 1e-5, row  # float32, sums in another order
