"""Tests that every registered method must pass; a new file in massrl/methods falls under them by being there."""

import copy
import inspect
import itertools
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.views.view_set import ViewSet
from data_loading.views.view_sets import get
from drawn import Drawn, SaveEachEpoch, loss_of, same_state, small, trainer, unchanged, views_of
from massrl.losses import cosine_distance, nt_xent
from massrl.methods import BYOL, METHODS, list_methods, load
from massrl.optim import OWN, OptimConfig, cosine
from massrl.runs.folder import read_csv
from massrl.training.metrics import Metrics

every = pytest.mark.parametrize("name", METHODS)


# Methods whose loss may rise at first: a queue that begins with random directions is easier to tell apart than one of
# keys, and the targets of DINO and SwAV are another distribution in each step.
RISES = {"MoCo", "MoCoV2", "MoCoV2Plus", "DINO", "MVMASSRLDINO", "SwAV"}


class Recorder(pl.Callback):
    """Each step's logged values."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, *_):
        self.rows.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def prepared(name: str, **args):
    """A method, and a batch for its loss; no Trainer."""
    return small(name, **args).train(), next(iter(Drawn(views_of(name))))


@every
def test_a_method_trains_and_logs_a_finite_loss_its_spread_and_the_learning_rate(name):
    method, seen = small(name), Recorder()
    before = {k: v.clone() for k, v in method.named_parameters()}
    trainer(3, callbacks=[seen]).fit(method, Drawn(views_of(name)))
    assert len(seen.rows) == 12
    assert all(torch.isfinite(torch.tensor([row["loss"], row["z_std"], row["lr"]])).all() for row in seen.rows)
    if name not in RISES:
        assert seen.rows[-1]["loss"] < seen.rows[0]["loss"]
    # Not collapsed: directions spread over the 16 channels, for which an even spread gives 1/4.
    assert seen.rows[-1]["z_std"] > 0.25 / 4
    still = [k for k, v in method.named_parameters() if torch.equal(v, before[k])]
    assert not still, f"never moved: {still}"


@every
def test_the_gradient_reaches_every_trainable_parameter_and_nothing_else(name):
    method, batch = prepared(name)
    method.loss(batch).backward()
    for key, p in method.named_parameters():
        reached = p.grad is not None and bool(p.grad.abs().sum() > 0)
        assert reached == p.requires_grad, key


@every
def test_a_small_step_along_the_gradient_lowers_the_loss_by_its_squared_length(name):
    method, batch = prepared(name)
    method.double()
    batch = Batch.from_views([v.double() for v in batch.views], batch.labels)
    # SwAV brings its prototypes back to norm 1 before each forward: they are held.
    held = {id(p) for p in method.prototypes.parameters()} if name == "SwAV" else set()
    parameters = [p for p in method.parameters() if p.requires_grad and id(p) not in held]
    if name == "SwAV":  # what views are assigned to carries no gradient, but would follow the step
        given, assign = [], method.assign
        method.assign = lambda *args: given.append(assign(*args)) or given[-1]
        loss_of(method, batch)
        again = itertools.cycle(given)
        method.assign = lambda *args: next(again)
    with unchanged(method):
        loss = method.loss(batch)
        grads = torch.autograd.grad(loss, parameters)
    length = sum(g.square().sum() for g in grads)
    step = 1e-8 / length.sqrt()
    with torch.no_grad():
        for p, g in zip(parameters, grads, strict=True):
            p -= step * g
    # First-order Taylor in float64; 1 % for curvature and the kinks of ReLU.
    torch.testing.assert_close(loss.detach() - loss_of(method, batch).detach(), step * length, rtol=1e-2, atol=0)


@every
def test_the_loss_does_not_depend_on_the_order_of_the_images(name):
    method, batch = prepared(name)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    other = Batch.from_views([v[order] for v in batch.views], batch.labels[order])
    torch.testing.assert_close(
        loss_of(method, batch), loss_of(method, other), rtol=1e-4, atol=1e-5
    )  # float32 sums reordered


@every
def test_the_loss_is_finite_in_bfloat16_and_near_that_in_float32(name):
    runs = []
    for precision in ("32-true", "bf16-mixed"):
        seen = Recorder()
        trainer(callbacks=[seen], precision=precision).fit(small(name), Drawn(views_of(name), 2))
        runs.append(seen.rows[0]["loss"])
    assert runs[1] == pytest.approx(runs[0], rel=0.1)  # embeddings with 8 bits of mantissa


@every
def test_a_checkpoint_gives_the_same_method_back_to_the_bit(name, tmp_path):
    method, run = small(name), trainer()
    run.fit(method, Drawn(views_of(name)))
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    again = load(tmp_path / "a.ckpt", expected=name)
    assert type(again) is type(method) and same_state(again, method) and not again.training
    x = next(iter(Drawn())).views[0]
    assert torch.equal(again(x), method.eval()(x))


@every
def test_a_run_that_is_stopped_after_an_epoch_and_resumed_equals_one_that_was_not(name, tmp_path):
    whole, data = small(name), Drawn(views_of(name))
    trainer(3, callbacks=[SaveEachEpoch(tmp_path)]).fit(whole, data)
    resumed = small(name)
    trainer(3).fit(resumed, data, ckpt_path=tmp_path / "1.ckpt", weights_only=True)
    assert same_state(whole, resumed)


@every
def test_the_target_moves_once_per_optimiser_step_by_the_cosine_rate_also_under_accumulation(name):
    if not METHODS[name].targets:
        pytest.skip("no target network")

    class Follow(pl.Callback):
        moves = 0

        def copy(self, method):
            return [p.clone() for p in method.target.parameters()]

        def on_train_batch_start(self, trainer, method, *_):
            self.before, self.step = self.copy(method), trainer.global_step

        def on_train_batch_end(self, trainer, method, *_):
            after = self.copy(method)
            online = [p.detach() for part in method.targets for p in getattr(method, part).parameters()]
            if trainer.global_step == self.step:
                assert all(torch.equal(a, b) for a, b in zip(after, self.before, strict=True))
                return
            self.moves += 1
            m = cosine(self.step, 4, 0.9, method.ema_end)
            for a, b, o in zip(after, self.before, online, strict=True):
                torch.testing.assert_close(a, m * b + (1 - m) * o, rtol=1e-5, atol=1e-7)  # float32 rounding

    follow = Follow()
    # 5 batches, a step every 3 and at the end: 2 steps an epoch, 4 in all
    trainer(2, callbacks=[follow], accumulate_grad_batches=3).fit(small(name, ema=0.9), Drawn(views_of(name), 5))
    assert follow.moves == 4


@every
def test_every_constructor_argument_is_annotated_and_reaches_the_command_line(name):
    for owner in METHODS[name].__mro__[: METHODS[name].__mro__.index(pl.LightningModule)]:
        for p in inspect.signature(owner.__init__).parameters.values():
            plain = p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self"
            assert not plain or p.annotation is not p.empty, f"{owner.__name__}.{p.name}"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(METHODS[name], "model")
    config = parser.parse_args(["--model.optim.base_lr", "0.25", "--model.backbone", "tiny_resnet"])
    assert config.model.optim.base_lr == 0.25 and "bn_over" in config.model


@every
def test_a_method_has_a_summary_and_its_default_views_suit_it(name):
    assert METHODS.summary(name).endswith(".") and METHODS[name].__module__.startswith("massrl.methods.")
    small(name).check(get(METHODS[name].default_views))


@every
def test_too_few_views_and_unwanted_local_ones_are_refused_before_the_first_step(name):
    method, needs = small(name), METHODS[name].needs
    if needs.global_views > 1:
        with pytest.raises(ConfigError, match=f"{name} takes {needs.global_views}.*global views, the view set has 1"):
            trainer().fit(method, Drawn(needs.global_views - 1))
    else:  # there is no batch without views
        with pytest.raises(ConfigError, match=f"{name} takes 1.*global views, the view set has 0"):
            method.check([])
    if not needs.local_views:
        with pytest.raises(ConfigError, match="no local views"):
            method.check(ViewSet(["simclr"], crops=needs.global_views, local=2))
    if not needs.or_more:
        with pytest.raises(ConfigError, match="the view set has 5"):
            method.check(ViewSet(["simclr"], crops=5))


@every
def test_a_method_runs_on_the_defaults_of_its_paper(name):
    method = METHODS[name]("tiny_resnet")
    assert method.optim.name == METHODS[name].default_optim.name
    seen = Recorder()
    trainer(callbacks=[seen]).fit(method, Drawn(views_of(name), 2))
    assert len(seen.rows) == 2


@every
def test_batch_norm_over_all_views_and_over_each_view_see_other_statistics(name):
    if name in ("MoCo", "MoCoV2"):
        pytest.skip("one view through each network")

    def losses(train):
        ready = [prepared(name, bn_over=over) for over in ("view", "all")]
        return [method.train(train).loss(batch).item() for method, batch in ready]

    a, b = losses(train=True)
    assert a != b and a == pytest.approx(b, rel=0.5)
    a, b = losses(train=False)  # BatchNorm sees no batch, and the two ways are one
    assert a == pytest.approx(b, rel=1e-5)


def test_methods_are_listed_sorted_and_know_themselves_by_attribute():
    assert list_methods() == sorted(list_methods()) and {"SimCLR", "BYOL", "MASSRL"} <= set(list_methods())
    assert METHODS["BYOL"] is BYOL


def test_simclr_is_nt_xent_of_its_embeddings():
    method, batch = prepared("SimCLR", tau=0.3)
    expected = nt_xent(torch.stack(method.embed(batch.views)), 0.3)
    torch.testing.assert_close(method.loss(batch), expected)


def test_massrl_with_one_strategy_and_two_crops_is_half_of_byol():
    batch = next(iter(Drawn(2)))
    byol, massrl = small("BYOL"), small("MASSRL")
    massrl.load_state_dict(byol.state_dict())
    torch.testing.assert_close(massrl.loss(batch), byol.loss(batch) / 2)  # a mean of two pairs, not their sum
    massrl.reduction = "sum"
    torch.testing.assert_close(massrl.loss(batch), byol.loss(batch))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("all", {(i, j) for i in range(4) for j in range(4) if i != j}),
        ("cross_crop", {(0, 1), (1, 0), (0, 3), (3, 0), (2, 1), (1, 2), (2, 3), (3, 2)}),
        ("within_strategy", {(0, 1), (1, 0), (2, 3), (3, 2)}),
    ],
)
def test_massrl_pairs_the_views_of_two_crops_under_two_strategies(pairs, expected):
    views = ViewSet(["simclr", "byol"], crops=2, shared_crops=True)  # simclr.0, simclr.1, byol.0, byol.1
    method = small("MASSRL", pairs=pairs)
    assert {tuple(ij) for ij in method.mask(views.views).nonzero().tolist()} == expected

    batch = next(iter(Drawn(4)))
    batch.roles = views.views
    z = method.embed(batch.views)
    p = method.over(method.predictor, z)
    target = method.embed(batch.views, through=method.target)
    one_by_one = [cosine_distance(p[i], target[j]) for i, j in expected]
    torch.testing.assert_close(method.loss(batch), sum(one_by_one) / len(expected))


def test_massrl_refuses_pairs_that_its_views_do_not_have():
    with pytest.raises(ConfigError, match="no two of the 2 views"):
        small("MASSRL", pairs="within_strategy").check(ViewSet(["simclr", "byol"], crops=1))


def test_the_features_handed_to_probes_are_those_of_the_first_view_without_gradient():
    method, batch = prepared("SimCLR", bn_over="view")
    method.loss(batch)
    expected = small("SimCLR").train().backbone(batch.views[0])
    assert torch.equal(method._features, expected.detach()) and not method._features.requires_grad


def test_the_learning_rate_counts_processes_images_and_accumulation_and_respects_limited_epochs():
    optim = OptimConfig(name="sgd", base_lr=0.8, warmup_epochs=1)
    method, seen = small("SimCLR", optim=optim), Recorder()
    run = trainer(4, callbacks=[seen], accumulate_grad_batches=2, limit_train_batches=4)
    run.fit(method, Drawn(3, batches=10))
    assert (method.schedule.total, method.schedule.warmup) == (8, 2)  # 2 steps an epoch
    assert method.schedule.peak == pytest.approx(0.8 * 16 * 2 / 256)
    assert "base_lr 0.8 * 32 / 256" in method.schedule.sentence
    used = [row["lr"] for row in seen.rows]
    assert used[0] == pytest.approx(method.schedule.peak / 2) and used[4] == pytest.approx(method.schedule.peak)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(used[-1])


def test_the_momentum_that_is_logged_is_the_one_with_which_the_target_moves(monkeypatch):
    method, moved = small("BYOL", ema=0.9), []
    monkeypatch.setattr(method, "move_target", moved.append)
    trainer(2, logger=Metrics("byol.csv"), log_every_n_steps=2).fit(method, Drawn(2))
    assert read_csv(Path("byol.csv"))["ema"] == pytest.approx(moved[1::2])
    assert len(moved) == 8 and 0.9 < moved[1] < moved[7] < 1
    trainer(1, logger=Metrics("simclr.csv"), log_every_n_steps=2).fit(small("SimCLR"), Drawn(2))
    assert "ema" not in read_csv(Path("simclr.csv"))


def test_the_warm_up_of_a_paper_takes_at_most_a_tenth_of_a_short_run():
    method = small("BYOL", optim=OWN)
    trainer(5).fit(method, Drawn(2))
    assert (method.schedule.total, method.schedule.warmup) == (20, 2)


def test_batch_normalisation_sees_what_it_does_in_the_authors_code():
    together = {"SimCLR", "SimCLRv2", "SwAV", "SupCon", "DINO", "MVMASSRLDINO"}  # one forward for all views of a size
    assert {name for name, method in METHODS.items() if method.default_bn_over == "all"} == together


def test_weight_decay_rises_on_a_cosine_for_what_decays():
    seen = []

    class Look(pl.Callback):
        def on_before_optimizer_step(self, trainer, method, optimizer):
            seen.append({group["adapt"]: group["weight_decay"] for group in optimizer.param_groups})

    optim = OptimConfig(name="adamw", base_lr=1e-3, weight_decay=0.1, weight_decay_end=0.5)
    trainer(callbacks=[Look()]).fit(small("SimCLR", optim=optim), Drawn(2, 4))
    # half a cosine over 4 steps: 0.5 - 0.4 (cos(pi k / 4) + 1) / 2
    assert [decay[True] for decay in seen] == pytest.approx([0.1, 0.158579, 0.3, 0.441421], abs=1e-6)
    assert [decay[False] for decay in seen] == [0.0] * 4


def test_the_predictor_has_its_own_factor_on_the_learning_rate():
    method = small("BYOL", optim=OptimConfig(name="sgd", base_lr=1.0, predictor_lr=5.0, warmup_epochs=0))
    rates = {id(p): g["factor"] for g in method.configure_optimizers().param_groups for p in g["params"]}
    assert {rates[id(p)] for p in method.predictor.parameters()} == {5.0}
    assert {rates[id(p)] for p in method.projector.parameters()} == {1.0}


def test_a_batch_of_one_image_and_a_batch_that_is_none_are_refused():
    with pytest.raises(ConfigError, match="a batch has 1 image; .* set data.batch_size to 2"):
        trainer().fit(small("SimCLR"), Drawn(2, images=1))
    data = Drawn(2, 3)
    data.batches[2] = next(iter(Drawn(2, images=1)))  # of a loader that keeps a smaller last batch
    with pytest.raises(ConfigError, match="a batch has 1 image; .*drop_last=True"):
        trainer().fit(small("VICReg"), data)
    with pytest.raises(ConfigError, match="Batch.from_views"):
        trainer().fit(small("SimCLR"), torch.utils.data.DataLoader(torch.zeros(4, 3, 8, 8), num_workers=0))


def test_what_any_other_loader_yields_is_refused_with_the_way_out():
    x, y = torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    for data in (torch.utils.data.TensorDataset(x, x, y), [{"image": x[0]}] * 4, [(x[0], 1)] * 4):
        with pytest.raises(
            ConfigError, match=r"a training step takes a Batch, got (list|dict); .*from_views\(\[x1, x2"
        ):
            trainer().fit(small("SimCLR"), torch.utils.data.DataLoader(data, 2, num_workers=0))


def test_views_that_are_no_floats_are_refused_before_the_first_step():
    data = Drawn(2)
    data.batches = [Batch.from_views([(v * 255).to(torch.uint8) for v in b.views], b.labels) for b in data.batches]
    method = small("SimCLR")
    before = copy.deepcopy(method)
    with pytest.raises(ConfigError, match="views are uint8, not normalised floats; leave data.dtype at float32"):
        trainer().fit(method, data)
    assert same_state(method, before)


def test_uint8_views_that_the_device_finishes_train():
    class Finishing(type(small("SimCLR"))):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch if batch.views[0].is_floating_point() else batch._map(_normalised)

    def _normalised(x):
        return (x / 255 - 0.5) / 0.25 if x.dtype == torch.uint8 else x

    data = Drawn(2)
    data.batches = [Batch.from_views([(v * 255).to(torch.uint8) for v in b.views], b.labels) for b in data.batches]
    method = Finishing("tiny_resnet", backbone_args={"width": 4})
    trainer().fit(method, data)
    assert method.schedule.total == 4


def test_a_backbone_of_ones_own_trains():
    own = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    own.num_features = 6
    method = small("SimCLR", backbone=own, backbone_args=None)
    trainer().fit(method, Drawn(3))
    assert method(torch.zeros(2, 3, 8, 8)).shape == (2, 6)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(
            (name, {argument: value})
            for name in ("SimCLR", "MASSRL", "DINO")
            for argument in ("hidden_dim", "out_dim")
            for value in (0, -1, 2.5, 10**12, True)
        ),
        ("DINO", {"bottleneck_dim": 0}),
        ("DINO", {"freeze_epochs": -1}),
        ("DINO", {"tau_warmup_epochs": -1}),
        ("MVMASSRLDINO", {"freeze_epochs": None}),
        ("DINO", {"tau_warmup_epochs": float("nan")}),
        ("SwAV", {"freeze_steps": -1}),
        ("SwAV", {"num_prototypes": 0}),
        ("SwAV", {"sinkhorn_iterations": 10**12}),
        ("MoCo", {"queue_size": -1}),
        ("SimSiam", {"pred_dim": 0}),
        ("MASSRL", {"hidden_layers": 0}),
        ("VICReg", {"sim_weight": -1.0}),
    ],
    ids=str,
)
def test_a_number_that_no_method_can_use_is_refused_by_its_name_before_anything_is_made(name, wrong):
    (argument, value), *_ = wrong.items()
    with pytest.raises(ConfigError, match=f"^{argument} is {value}; it must be an? (integer|number) from ") as refused:
        METHODS[name]("no such backbone", **wrong)
    assert "\n" not in str(refused.value)
