"""Numbers that are not finite: the run stops at the first, or leaves the step out; nothing bad is kept."""

import json
import math

import pytest
import pytorch_lightning as pl
import torch

import massrl
from data_loading.errors import ConfigError
from drawn import Drawn, small, trainer
from killing import kept, logged, train
from massrl.callbacks import OnNaN
from massrl.callbacks.on_nan import IN_A_ROW, NotFinite
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.optim import OptimConfig


class Spoilt(pl.Callback):
    """Puts NaN into a gradient in some steps, counted from 1, before anyone looks at it."""

    def __init__(self, *steps):
        self.steps = steps

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step + 1 in self.steps:
            next(pl_module.backbone.parameters()).grad[0] = math.nan


def equal(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


def test_the_norm_of_the_gradients_is_logged_in_each_step():
    class Norms(pl.Callback):
        def __init__(self):
            self.expected, self.logged = [], []

        def on_after_backward(self, trainer, pl_module):
            grads = [p.grad.double().flatten() for p in pl_module.parameters() if p.grad is not None]
            self.expected.append(float(torch.cat(grads).norm()))

        def on_train_batch_end(self, trainer, *_):
            self.logged.append(float(trainer.callback_metrics["grad_norm"]))

    norms = Norms()
    trainer(1, callbacks=[OnNaN(), norms]).fit(small("SimCLR"), Drawn(2))
    assert norms.logged == pytest.approx(norms.expected, rel=1e-5) and len(norms.logged) > 1


def test_the_first_step_that_is_not_finite_ends_the_run_and_the_checkpoint_before_stays(images, tmp_path, capsys):
    run = tmp_path / "run"
    with pytest.raises(NotFinite, match="step 7, epoch 2: the loss is .* and the norm of the gradients nan, first in"):
        train(images, run, Spoilt(7))
    content = kept(run)
    assert content["global_step"] == 6
    assert all(value.isfinite().all() for value in content["state_dict"].values() if value.is_floating_point())
    found = json.loads((run / "nan.json").read_text())
    assert found["step"] == 7 and found["batch"] == 2 and len(found["rows"]) == 4
    assert found["gradients_not_finite"] == ["backbone.body.0.weight"]
    words = ["data", "replay", str(images), "--config", str(run / "nan.json"), "--out", str(tmp_path / "nan.png")]
    assert main(words) == 0 and (tmp_path / "nan.png").stat().st_size > 1000
    assert capsys.readouterr().out.count("nan.png: sample") == 4
    train(images, run)  # as the same command does
    assert kept(run)["global_step"] == 12 and not (run / "nan.json").exists()


def test_a_learning_rate_that_is_absurd_ends_with_exit_code_2_and_one_line(images, tmp_path, capfd):
    words = ["pretrain", "--data.train", str(images), "--model", "SimCLR", "--model.backbone", "tiny_resnet"]
    words += [
        "--model.optim.base_lr",
        "1e25",
        "--data.size",
        "16",
        "--data.batch_size",
        "8",
        "--trainer.max_epochs",
        "9",
    ]
    words += ["--run", str(tmp_path / "run"), "--data.cache_dir", str(tmp_path / "cache")]
    assert main(words) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("massrl pretrain: error: step ") and "try a lower optim.base_lr" in line


def test_weights_that_a_last_step_has_made_infinite_are_not_kept(images, tmp_path):
    class Infinite(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            if trainer.global_step == 6:
                with torch.no_grad():
                    next(pl_module.parameters()).fill_(math.inf)

    with pytest.raises(NotFinite, match="step 6: the weights are not finite after it, first in backbone.body.0.weight"):
        train(images, tmp_path / "run", Infinite())
    assert kept(tmp_path / "run")["global_step"] == 5


def test_a_step_that_is_left_out_changes_nothing_and_is_said(images, tmp_path, caplog):
    class States(pl.Callback):
        def __init__(self):
            self.states = []

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.states.append({k: v.clone() for k, v in pl_module.state_dict().items()})

    for method in ("MoCoV2", "DINO"):  # with a queue, a target and a centre
        states = States()
        train(images, tmp_path / method, Spoilt(3), states, method=method, on_nan="skip", ema=1.0)
        assert equal(states.states[1], states.states[2]) and not equal(states.states[2], states.states[3])
        assert caplog.text.count("step 3 is left out: its gradients are not finite") == 1
        assert math.isnan(float(logged(tmp_path / method)[2]["grad_norm"]))
        caplog.clear()


def test_steps_that_are_all_left_out_end_the_run(images, tmp_path):
    with pytest.raises(NotFinite, match=f"{IN_A_ROW} steps in a row were left out"):
        train(images, tmp_path / "run", Spoilt(*range(1, 13)), on_nan="skip")


def test_a_loss_that_is_not_finite_in_a_part_of_an_accumulation_counts():
    class HalfNaN(massrl.SimCLR):
        def loss(self, batch):
            loss = super().loss(batch)
            self.calls = getattr(self, "calls", 0) + 1
            return loss * math.nan if self.calls == 3 else loss

    method = small("SimCLR")
    method.__class__ = HalfNaN
    run = trainer(1, callbacks=[OnNaN()], accumulate_grad_batches=2)
    with pytest.raises(NotFinite, match="step 2, epoch 1"):
        run.fit(method, Drawn(2, batches=4))


def test_a_wrong_action_is_refused():
    with pytest.raises(ConfigError, match="on_nan is 'ignore'; choose one of stop, skip"):
        OnNaN("ignore")


def test_an_own_optimiser_is_watched_too():
    absurd = OptimConfig(name="sgd", base_lr=1e25, lr_scaling="none", warmup_epochs=0)
    with pytest.raises(NotFinite):
        trainer(9, callbacks=[OnNaN()]).fit(small("SimCLR", optim=absurd), Drawn(2))
