"""MASSRL's published forms: each preset against its pairs, summed one by one."""

import pytest
import torch
import yaml
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError, ViewError
from data_loading.views import view_sets
from drawn import Drawn, small, trainer
from massrl.cli import pretrain
from massrl.losses import cosine_distance
from massrl.methods import MASSRL, load
from massrl.methods.massrl import PRESETS

every_preset = pytest.mark.parametrize("preset", [p for p in PRESETS if p])


def drawn(method: MASSRL):
    """A drawn batch whose views are named as those of the method's default view set."""
    views = view_sets.get(method.default_views).views
    batch = next(iter(Drawn(len(views))))
    batch.roles = views
    return batch


def distances(method: MASSRL, batch) -> dict[tuple[str, str], torch.Tensor]:
    """Of each ordered pair of views by their names: from the online prediction to the target's embedding."""
    names = [view.name for view in batch.roles]
    p = [method.predictor(z) for z in method.embed(batch.views)]
    with torch.no_grad():
        targets = method.embed(batch.views, through=method.target)
    return {
        (a, b): cosine_distance(p[i], targets[j]) for i, a in enumerate(names) for j, b in enumerate(names) if i != j
    }


def test_figure_is_byol_on_two_views_of_drawn_strategies():
    method = small("MASSRL", preset="figure").train()
    assert method.default_views == "massrl_figure"
    batch = drawn(method)
    d = distances(method, batch)
    assert set(d) == {("drawn.0", "drawn.1"), ("drawn.1", "drawn.0")}
    torch.testing.assert_close(method.loss(batch), d["drawn.0", "drawn.1"] + d["drawn.1", "drawn.0"])


def test_pytorch_is_the_sum_of_56_pairs_of_8_views():
    method = small("MASSRL", preset="pytorch").train()
    assert method.default_views == "massrl_pytorch"
    batch = drawn(method)
    d = distances(method, batch)
    assert len(d) == 56
    torch.testing.assert_close(method.loss(batch), sum(d.values()))


def test_tensorflow_is_the_two_weighted_losses_of_its_code():
    method = small("MASSRL", preset="tensorflow").train()
    assert method.default_views == "massrl_tensorflow"
    batch = drawn(method)
    d, w = distances(method, batch), 0.5
    s, a = "massrl_tf_simclr", "massrl_tf_autoaugment"
    # L12 = 2 - 2 [w cos(p1, z2') + (1 - w) cos(p3, z4')] is the weighted sum of two distances 2 - 2 cos
    one = w * d[f"{s}.0", f"{s}.1"] + (1 - w) * d[f"{a}.0", f"{a}.1"]
    other = w * d[f"{s}.1", f"{s}.0"] + (1 - w) * d[f"{a}.1", f"{a}.0"]
    torch.testing.assert_close(method.loss(batch), (one + other) / 2)


def test_pairs_within_a_strategy_need_its_name_from_ones_own_loader_too():
    method = small("MASSRL", pairs="within_strategy").train()
    views = next(iter(Drawn(4))).views
    with pytest.raises(ConfigError, match="the views do not say their strategies; .*strategies="):
        method.check(Batch.from_views(views).layout)
    named = Batch.from_views(views, strategies=["a", "a", "b", "b"])
    method.check(named.layout)
    pairs = {(0, 1), (1, 0), (2, 3), (3, 2)}
    assert {tuple(pair) for pair in method.mask(named.layout).nonzero().tolist()} == pairs
    with pytest.raises(ViewError, match="3 strategies for 4 views"):
        Batch.from_views(views, strategies=["a", "a", "b"])


def test_without_a_preset_it_is_the_mean_of_all_pairs():
    method = small("MASSRL").train()
    assert method.default_views == "massrl"
    batch = drawn(method)
    torch.testing.assert_close(method.loss(batch), sum(distances(method, batch).values()) / 56)


def test_what_is_said_goes_over_the_preset():
    method = small("MASSRL", preset="tensorflow", reduction="sum")
    assert (method.pairs, method.reduction, method.default_views) == ("within_strategy", "sum", "massrl_tensorflow")
    method = small("MASSRL", preset="pytorch", pairs="cross_crop")
    assert (method.pairs, method.reduction, method.default_views) == ("cross_crop", "sum", "massrl_pytorch")


@every_preset
def test_the_views_of_a_preset_suit_it(preset):
    method = small("MASSRL", preset=preset)
    method.check(view_sets.get(method.default_views))
    assert MASSRL.default_views == "massrl"  # of the class: only this one has others


def test_a_word_that_is_no_choice_is_refused():
    for wrong in ({"preset": "paper"}, {"pairs": "some"}, {"reduction": "max"}, {"hidden_layers": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is "):
            small("MASSRL", **wrong)


def test_a_checkpoint_keeps_the_preset(tmp_path):
    method, run = small("MASSRL", preset="tensorflow"), trainer()
    data = Drawn(4, 1)
    data.batches[0].roles = view_sets.get(method.default_views).views
    run.fit(method, data)
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    again = load(tmp_path / "a.ckpt")
    assert (again.preset, again.pairs, again.default_views) == ("tensorflow", "within_strategy", "massrl_tensorflow")


def test_a_second_hidden_layer_gives_the_heads_of_massl_edit():
    method = MASSRL("tiny_resnet", hidden_layers=2, out_dim=512)
    for head, first in ((method.projector, method.num_features), (method.predictor, 512)):
        kinds = [type(layer) for layer in head]
        assert kinds == [*[nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2, nn.Linear]
        widths = [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]
        assert widths == [(first, 4096), (4096, 4096), (4096, 512)]
    plain = [layer for layer in MASSRL("tiny_resnet").projector if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in plain] == [4096, 256]


SMALL = ["--model", "MASSRL", "--model.hidden_dim", "16", "--model.out_dim", "8", "--data.size", "16"]
SMALL += ["--data.batch_size", "4", "--data.num_workers", "1", "--trainer.max_epochs", "1", "--report", "false"]
SMALL += ["--trainer.limit_train_batches", "1", "--trainer.accelerator", "cpu"]


@every_preset
def test_the_command_line_takes_the_views_of_a_preset_and_ones_own_before_them(preset, tmp_path):
    from massrl.cli.samples import sample_folder

    words = [*SMALL, "--model.backbone", "tiny_resnet", "--model.preset", preset]
    words += ["--data.train", str(sample_folder(tmp_path))]
    run = pretrain.main([*words, "--run", "own"])
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert kept["data"]["views"] == view_sets.get(f"massrl_{preset}", 16).to_dict()
    assert kept["model"]["init_args"]["preset"] == preset
    run = pretrain.main([*words, "--run", "other", "--data.views", "simclr_2x4"])
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["views"]["strategies"][0] == "simclr"


def test_the_stem_is_chosen_by_the_size_of_the_presets_views(monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "figure", ("all", "sum", "massrl32"))
    pretrain.main(["--model", "MASSRL", "--model.preset", "figure", "--check"])
    assert "views of 32 px: the stem of resnet18 is cifar" in capsys.readouterr().out
