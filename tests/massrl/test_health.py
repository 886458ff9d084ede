"""The health callback: what it logs, and when its alarm sounds."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import massrl
from data_loading.errors import ConfigError
from data_loading.views.view_set import View
from drawn import Drawn, small, trainer, views_of
from massrl.callbacks import Health
from massrl.callbacks.health import measures, strategy_pairs
from massrl.cli.samples import sample_folder
from massrl.evaluation.measures import alignment, alpha_req, lidar, rankme, spread, uniformity
from massrl.losses import negative_cosine
from massrl.losses.entropy import Entropies
from massrl.methods import BYOL, METHODS, SimSiam
from massrl.optim import OptimConfig

FAST = OptimConfig(name="sgd", base_lr=3.0, lr_scaling="none", weight_decay=0.0, warmup_epochs=0, schedule="constant")
TINY = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}


class Seen(pl.Callback):
    """The outputs of every step, and what was logged."""

    def __init__(self):
        self.outputs, self.logged = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.outputs.append({**outputs, "embeddings": [z.clone() for z in outputs["embeddings"]]})
        self.logged.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def fitted(method, health, epochs=10, views=2, **args):
    run = trainer(epochs, callbacks=[health], **args)
    run.fit(method, Drawn(views, batches=4))
    return run


# ---- what is logged


def test_health_logs_the_measures_of_what_the_step_has_computed():
    seen = Seen()
    run = trainer(1, callbacks=[Health(every_n_steps=2), seen], log_every_n_steps=2)
    run.fit(small("SimCLR"), Drawn(3))
    h, z = seen.outputs[1]["features"], seen.outputs[1]["embeddings"]
    assert len(z) == 3
    expected = {"h_rank": rankme(h), "z_rank": rankme(z[0]), "z_spread": spread(z[0]), "z_uniformity": uniformity(z[0])}
    expected["z_alignment"] = alignment(z[0], z[1])
    expected["z_lidar"] = lidar(np.stack([view.double() for view in z[:2]], 1))
    found = seen.logged[1]
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert found["z_spread"] == pytest.approx(math.sqrt(16) * found["z_std"], rel=1e-5)
    assert "z_rank" not in seen.logged[0]  # step 1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_what_health_measures(name):
    seen = Seen()
    trainer(1, callbacks=[Health(every_n_steps=1), seen]).fit(small(name), Drawn(views_of(name), batches=2))
    wanted = {"h_rank"} | (set() if name == "Supervised" else {"z_rank", "z_spread", "z_uniformity"})
    wanted |= {"target_entropy", "marginal_entropy"} if hasattr(small(name), "prototypes") else set()
    assert wanted <= seen.logged[-1].keys()


def test_the_decay_of_the_features_spectrum_is_alpha_req():
    h = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 33) ** -0.7
    law, found = alpha_req(h), measures({"loss": torch.tensor(0.0), "features": h})
    assert (found["h_alpha"], found["h_alpha_r2"]) == pytest.approx((law.alpha, law.r2), rel=1e-5)
    assert math.isfinite(law.alpha)


def test_pairs_of_strategies_have_the_mean_alignment_of_their_views():
    roles = ["global", "local", "global", "global"]  # a local view's embedding comes after those of global ones
    strategies = ["a", "b", "b", "a"]
    layout = [View(str(i), roles[i], 8, i, strategies[i], 0) for i in range(4)]
    z = list(torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0)))  # of the views 0, 2, 3, 1
    found = strategy_pairs(z, layout)
    expected = {
        "pair/a/a": alignment(z[0], z[2]),
        "pair/b/b": alignment(z[1], z[3]),
        "pair/a/b": np.mean([alignment(z[i], z[j]) for i, j in ((0, 1), (0, 3), (2, 1), (2, 3))]),
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert strategy_pairs(z[:3], layout) == strategy_pairs(z[:1], layout[:1]) == {}  # not of all views; one strategy


def test_a_training_on_several_strategies_logs_their_pairs_and_the_report_shows_them(tmp_path):
    images = sample_folder(tmp_path)
    run = massrl.pretrain(
        images, method="MASSRL", out=tmp_path / "run", max_epochs=2, size=16, batch_size=8, num_workers=1,
        backbone="tiny_resnet", hidden_dim=16, out_dim=8, views="simclr32+randaugment", enable_progress_bar=False,
    )  # fmt: skip
    pairs = {name for name in run.columns if name.startswith("pair/")}
    assert len(pairs) == 3 and all(np.isfinite(run.columns[name]).any() for name in pairs)
    assert "pairs of strategies" in (run.path / "report.html").read_text()


def test_a_step_under_accumulation_is_measured_once(monkeypatch):
    calls, kept = [], measures
    monkeypatch.setattr("massrl.callbacks.health.measures", lambda outputs: calls.append(1) or kept(outputs))
    fitted(small("SimCLR"), Health(every_n_steps=1), epochs=1, accumulate_grad_batches=2)
    assert len(calls) == 2  # of four batches


def test_features_that_are_not_finite_have_no_rank():
    z = torch.tensor([[1.0, 0.0], [math.nan, 1.0]])
    loss = torch.tensor(2.0)
    none = measures({"loss": loss, "features": z, "embeddings": [z]})
    assert {name for name, value in none.items() if math.isfinite(value)} == {"loss"}
    found = measures({"loss": loss, "features": torch.eye(3)})
    assert found["h_rank"] == pytest.approx(3, abs=1e-4) and math.isnan(found["z_rank"])


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="every_n_steps is 0"):
        Health(every_n_steps=0)


# ---- trainings that collapse


class NoStopGradient(SimSiam):
    """SimSiam without stop-gradient, predictor, and BatchNorm on its output: nothing keeps images apart."""

    def __init__(self, **args):
        super().__init__(**args)
        self.projector = nn.Linear(self.num_features, 16)

    def loss(self, batch):
        z1, z2 = self.embed(batch.global_views)
        return negative_cosine(z1, z2)


class NoTarget(BYOL):
    """BYOL without a predictor: with ema 0 the target is the online network of the step before."""

    def __init__(self, **args):
        super().__init__(**args)
        self.predictor = nn.Identity()


def alarm_of(method, caplog, **args):
    health = Health(every_n_steps=1, **args)
    with caplog.at_level("WARNING"):
        run = fitted(method, health)
    said = [record.message for record in caplog.records if record.message.startswith("alarm at ")]
    assert len(said) == (health.alarm is not None) and all("\n" not in line for line in said)
    return health.alarm, run


def test_simsiam_without_stop_gradient_and_predictor_sounds_the_alarm(caplog):
    torch.manual_seed(0)
    method = NoStopGradient(**TINY, hidden_dim=16, out_dim=16, pred_dim=8, optim=FAST)
    alarm, _ = alarm_of(method, caplog)
    assert "dimensional collapse" in alarm and "even embeddings of 16 channels have 0.25" in alarm
    assert "effective rank is 1." in alarm and " of at most 16" in alarm
    assert "a lower optim.base_lr (the peak learning rate is 3)" in alarm


def test_byol_with_ema_0_and_no_predictor_sounds_the_alarm(caplog):
    torch.manual_seed(0)
    method = NoTarget(**TINY, hidden_dim=16, out_dim=16, ema=0.0, ema_end=0.0, projector_norm=False, optim=FAST)
    alarm, _ = alarm_of(method, caplog, min_rank=1.0)
    assert (
        "complete collapse" in alarm
        and "an ema nearer to 1 (0.99; it is 0)" in alarm
        and "projector_norm: true" in alarm
    )


def test_an_absurd_learning_rate_sounds_the_alarm_and_stops_the_run_where_asked(caplog):
    absurd = OptimConfig(name="sgd", base_lr=1e25, lr_scaling="none", warmup_epochs=0)
    alarm, run = alarm_of(small("SimCLR", optim=absurd), caplog, stop=True)
    assert "the loss is nan" in alarm and "has diverged" in alarm and "the run stops here" in alarm
    assert run.global_step < 10
    caplog.clear()
    alarm, run = alarm_of(small("SimCLR", optim=absurd), caplog)
    assert "the run continues" in alarm and run.global_step == 40


def test_targets_that_are_even_and_targets_on_one_prototype_are_told_apart(caplog):
    class Fixed(SimSiam):
        def loss(self, batch):
            self._entropies = Entropies(torch.tensor(self.each), torch.tensor(self.each + 0.001), 12)
            return super().loss(batch)

    for each, words in ((2.48, "even targets"), (0.01, "few prototypes")):
        torch.manual_seed(0)
        method = Fixed(**TINY, hidden_dim=16, out_dim=16, pred_dim=8)
        method.each = each
        caplog.clear()
        alarm, _ = alarm_of(method, caplog)
        assert words in alarm and f"target_entropy is {each}" in alarm and "log 12 = 2.48" in alarm


# ---- trainings that do not


@pytest.mark.parametrize("name", METHODS)
def test_no_healthy_method_sounds_the_alarm(name):
    health = Health(every_n_steps=1)
    optim = OptimConfig(name="adamw", base_lr=1e-2, lr_scaling="none", warmup_epochs=0)
    fitted(small(name, optim=optim), health, epochs=5, views=views_of(name))
    assert health.alarm is None


def test_embeddings_that_start_nearly_equal_have_a_tenth_of_the_run(caplog):
    """Nothing is wrong with an untrained network: only what was good before, or stays bad, sounds the alarm."""

    class Alike(SimSiam):
        until = 0

        def loss(self, batch):
            loss = super().loss(batch)
            if self.trainer.global_step < self.until:
                self.keep_embeddings([torch.ones_like(z) for z in self._embeddings])
            return loss

    for until, sounds in ((3, False), (8, True)):  # of 40 steps
        torch.manual_seed(0)
        method = Alike(**TINY, hidden_dim=16, out_dim=16, pred_dim=8)
        method.until = until
        caplog.clear()
        alarm, _ = alarm_of(method, caplog)
        assert (alarm is not None) is sounds


def test_one_bad_measurement_is_no_alarm(caplog):
    class Flickers(SimSiam):
        def loss(self, batch):
            loss = super().loss(batch)
            if self.trainer.global_step % 3:
                self.keep_embeddings([torch.ones_like(z) for z in self._embeddings])
            return loss

    torch.manual_seed(0)
    assert alarm_of(Flickers(**TINY, hidden_dim=16, out_dim=16, pred_dim=8), caplog)[0] is None


def test_a_method_of_two_classes_may_use_one_direction():
    class Line(METHODS["SupCon"]):
        def loss(self, batch):
            loss = super().loss(batch)
            sign = torch.where(batch.labels % 2 == 0, 1.0, -1.0)
            self.keep_embeddings([sign[:, None].expand(-1, 16)] * 2)
            return loss

    health = Health(every_n_steps=1)
    torch.manual_seed(0)
    fitted(Line(**TINY, hidden_dim=16, out_dim=16), health)
    assert health.alarm is None and np.isfinite(health.last_step)


# ---- as massrl pretrain adds it


def collapsing(folder, tmp_path, **more):
    """A run in which any embeddings count as collapsed, by massrl.pretrain."""
    import massrl

    return massrl.pretrain(
        folder,
        "SimCLR",
        out=tmp_path / "run",
        report=True,
        backbone="tiny_resnet",
        backbone_args={"width": 4},
        optim={"name": "sgd", "base_lr": 0.1, "lr_scaling": "none", "warmup_epochs": 0},
        size=16,
        batch_size=4,
        num_workers=1,
        max_epochs=3,
        accelerator="cpu",
        enable_progress_bar=False,
        cache_dir=str(tmp_path / "cache"),
        **more,
    )


ANY = {"every_n_steps": 1, "min_spread": 10.0}  # which no embeddings reach


def test_pretrain_sounds_the_alarm_and_keeps_it_in_the_run_and_the_report(tmp_path, caplog):
    run = collapsing(sample_folder(tmp_path), tmp_path, callbacks=[Health(**ANY)])
    alarm = run.metrics["training"]["alarm"]
    assert "complete collapse" in alarm and "the run continues" in alarm and run.metrics["training"]["steps"] == 12
    assert caplog.text.count("alarm at step") == 1
    assert alarm in repr(run) and "complete collapse" in (run.path / "report.html").read_text()


def test_pretrain_stops_where_the_callback_says_so(tmp_path):
    run = collapsing(sample_folder(tmp_path), tmp_path, callbacks=[Health(stop=True, **ANY)])
    assert run.metrics["training"]["steps"] < 12 and run.checkpoint.exists()


def test_the_command_line_sets_the_callback(tmp_path):
    from massrl.training.settings import Settings

    words = [
        "--data.train",
        str(sample_folder(tmp_path)),
        "--trainer.callbacks+=Health",
        "--trainer.callbacks.stop=true",
    ]
    (health,) = Settings([*words, "--trainer.callbacks.every_n_steps", "5"]).trainer_args["callbacks"]
    assert isinstance(health, Health) and health.stop and health.every_n_steps == 5
