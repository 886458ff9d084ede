"""What a user of Lightning does with any module works with a Method: nothing here is of massrl's own invention."""

import copy
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader

import massrl
from betons import write
from data_loading import BetonDataModule, Loader
from data_loading.config.lightning_package import chosen
from data_loading.errors import CheckpointError, ConfigError
from drawn import Drawn, SaveEachEpoch, same_state, small, trainer
from helpers import CHECKOUT
from massrl.methods import BYOL, METHODS, Method, SimCLR
from massrl.methods.moco import MoCo
from massrl.methods.pace import LEFT_OUT, MEASURED_AT, Pace
from massrl.methods.validation import leave_one_out
from massrl.optim import OptimConfig

TINY = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}, "hidden_dim": 16, "out_dim": 16}
CONSTANT = OptimConfig(name="sgd", base_lr=1.6, warmup_epochs=0, schedule="constant")  # 0.1 at batches of 16


def steps(count: int | None = None, **args) -> pl.Trainer:
    """A quiet Trainer that max_steps ends, or nothing."""
    return trainer(None, **args) if count is None else trainer(None, max_steps=count, **args)


class Rates(pl.Callback):
    """The learning rate and weight decay of each group, after each optimiser step; and what was logged as lr."""

    def __init__(self):
        self.lr, self.decay, self.logged = [], [], []

    def on_train_batch_end(self, trainer, *_):
        groups = trainer.optimizers[0].param_groups
        self.lr.append([group["lr"] for group in groups])
        self.decay.append([group["weight_decay"] for group in groups])
        self.logged.append(float(trainer.callback_metrics["lr"]))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """48 images to train on and 22 for everything else, in three classes."""
    folder = tmp_path_factory.mktemp("files")
    train, other = (str(write(folder / f"{name}.beton", n=n)) for name, n in (("train", 48), ("other", 22)))
    return {"train": train, "val": other, "test": other, "predict": other}


def images(files, **args) -> BetonDataModule:
    return BetonDataModule(**{**files, "size": 8, "batch_size": 8, "num_workers": 1, **args})


# ---- checkpoints


@pytest.fixture
def saved(tmp_path) -> Path:
    run = trainer()
    run.fit(small("SimCLR", tau=0.3), Drawn(2, 2))
    run.save_checkpoint(tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


@pytest.mark.parametrize("cls", [SimCLR, Method])
def test_load_from_checkpoint_gives_what_massrl_load_gives(saved, cls):
    method = cls.load_from_checkpoint(saved)
    assert type(method) is SimCLR and method.tau == 0.3 and same_state(method, massrl.load(saved))
    assert not method.training


def test_load_from_checkpoint_takes_a_subclass_and_refuses_another_class_in_one_line(saved, tmp_path):
    with pytest.raises(CheckpointError, match="a checkpoint of SimCLR, not of BYOL") as caught:
        BYOL.load_from_checkpoint(saved)
    assert "\n" not in str(caught.value)
    run = trainer()
    run.fit(small("MoCoV2"), Drawn(2, 2))
    run.save_checkpoint(tmp_path / "b.ckpt")
    assert type(MoCo.load_from_checkpoint(tmp_path / "b.ckpt")).__name__ == "MoCoV2"


def test_load_from_checkpoint_takes_other_arguments_and_lightnings_own(saved, tmp_path):
    assert SimCLR.load_from_checkpoint(saved, map_location="cpu", weights_only=True, strict=True, tau=0.7).tau == 0.7
    content = torch.load(saved, weights_only=True)
    del content["state_dict"]["projector.0.weight"]
    torch.save(content, tmp_path / "part.ckpt")
    with pytest.raises(CheckpointError, match="does not fit SimCLR"):
        SimCLR.load_from_checkpoint(tmp_path / "part.ckpt")
    assert SimCLR.load_from_checkpoint(tmp_path / "part.ckpt", strict=False).tau == 0.3
    with pytest.raises(CheckpointError, match="unexpected keyword argument 'taau'"):
        SimCLR.load_from_checkpoint(saved, taau=0.7)
    with pytest.raises(ConfigError, match="hparams_file"):
        SimCLR.load_from_checkpoint(saved, hparams_file="hparams.yaml")


def test_a_class_that_cannot_be_imported_loads_its_own_checkpoints(tmp_path):
    class Local(SimCLR):
        """As one in a notebook."""

    run = trainer()
    run.fit(Local(**TINY), Drawn(2, 2))
    run.save_checkpoint(tmp_path / "a.ckpt")
    assert type(Local.load_from_checkpoint(tmp_path / "a.ckpt")) is Local


def test_a_loaded_method_trains_in_train_mode(saved):
    method, before = massrl.load(saved), massrl.load(saved)
    trainer().fit(method, Drawn(2, 2))
    assert method.training
    moved = [not torch.equal(a, b) for a, b in zip(method.backbone.buffers(), before.backbone.buffers(), strict=True)]
    assert all(moved)  # running statistics


# ---- the length of a run


def test_max_steps_alone_is_the_length_of_the_schedule():
    method, run = small("BYOL"), steps(6)
    run.fit(method, Drawn(2, 4))
    assert (run.global_step, method.schedule.total, method.schedule.per_epoch) == (6, 6, 4)
    assert method.schedule.lr(6) == 0.0


@pytest.mark.parametrize(("epochs", "most", "total"), [(3, 5, 5), (1, 5, 4), (-1, 7, 7), (2, -1, 8)])
def test_of_max_epochs_and_max_steps_the_smaller_counts(epochs, most, total):
    method, run = small("SimCLR"), trainer(epochs, max_steps=most)
    run.fit(method, Drawn(2, 4))
    assert run.global_step == method.schedule.total == total


def test_a_run_without_an_end_is_refused_and_so_is_a_loader_without_a_length():
    with pytest.raises(ConfigError, match="set trainer.max_epochs, max_steps or max_time"):
        trainer(-1).fit(small("SimCLR"), Drawn(2, 4))

    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(Drawn(2, 9))

    data = DataLoader(Endless(), batch_size=None, num_workers=0)
    with pytest.raises(ConfigError, match="this loader has no length; set trainer.limit_train_batches"):
        steps(3).fit(small("SimCLR"), data)
    method = small("SimCLR")
    steps(5, limit_train_batches=3).fit(method, data)
    assert (method.schedule.total, method.schedule.per_epoch) == (5, 3)


class Clock:
    """A Timer of `duration` seconds whose clock is set by hand."""

    def __init__(self, duration: float):
        self.duration, self.now = duration, 0.0

    def time_elapsed(self) -> float:
        return self.now

    def time_remaining(self) -> float:
        return self.duration - self.now


def test_the_steps_that_fit_into_max_time_are_measured_without_the_first_and_corrected_each_epoch():
    clock = Clock(130.0)
    pace, found = Pace(clock, 0), {}
    for step in range(41):
        clock.now = 30.0 + step  # half a minute of compiling, then a second a step
        if step == 40:
            clock.now += 10.0  # a pause, as for validation
        found[step] = pace.total(step, 0 if step in (0, 40) else 1)
    assert {step for step, total in found.items() if total} == {MEASURED_AT, 40}
    assert found[MEASURED_AT] == 100  # 130 - 30 seconds at one a step
    seconds_a_step = (35 + 10) / 35  # since LEFT_OUT
    assert found[40] == 40 + round((130 - 80) / seconds_a_step) and LEFT_OUT == 5


def test_a_resumed_run_of_max_time_knows_its_length_at_once():
    clock = Clock(100.0)
    clock.now = 25.0
    assert Pace(clock, 500).total(500, 0) == 2000


def test_max_time_alone_ends_a_run_whose_rate_goes_down_to_the_end(monkeypatch):
    now = [0.0]

    class Tick(pl.Callback):
        def on_train_batch_end(self, *_):
            now[0] += 1.0

    monkeypatch.setattr("pytorch_lightning.callbacks.timer.time", SimpleNamespace(monotonic=lambda: now[0]))
    optim = OptimConfig(name="sgd", base_lr=1.6, warmup_epochs=None)
    rates, method = Rates(), small("SimCLR", optim=optim)
    run = trainer(None, max_time={"seconds": 60}, callbacks=[Tick(), rates])
    run.fit(method, Drawn(2, 4))
    assert 58 <= run.global_step <= 62 and abs(method.schedule.total - run.global_step) <= 2
    lr = [group[0] for group in rates.lr]
    # A fortieth of the peak at first, as the warm-up of ten epochs begins; then on the cosine of 60 steps.
    assert lr[0] == pytest.approx(0.1 / 40) and max(lr) == lr[MEASURED_AT] > 0.08 and lr[-1] < 0.001


def test_max_time_beside_max_epochs_leaves_the_schedule_to_the_epochs():
    method = small("SimCLR")
    trainer(2, max_time={"hours": 1}).fit(method, Drawn(2, 4))
    assert method.schedule.total == 8 and method._pace is None


def test_fast_dev_run_and_limit_train_batches_train_as_much_as_they_say():
    method, run = small("SimCLR"), trainer(fast_dev_run=2)
    run.fit(method, Drawn(2, 4))
    assert run.global_step == method.schedule.total == 2
    method, run = small("SimCLR"), trainer(2, limit_train_batches=0.5)
    run.fit(method, Drawn(2, 4))
    assert run.global_step == method.schedule.total == 4


def test_a_window_of_accumulation_that_changes_counts_in_the_length():
    method = small("BYOL")
    run = trainer(3, callbacks=[GradientAccumulationScheduler({0: 4, 1: 2, 2: 1})])
    run.fit(method, Drawn(2, 4))
    assert run.global_step == method.schedule.total == 1 + 2 + 4


# ---- validation, test, prediction


@pytest.mark.parametrize("name", METHODS)
def test_validation_logs_loss_and_knn_and_leaves_the_training_as_it_was(name, files):
    args = {"num_classes": 3} if name == "Supervised" else {}
    plain, watched = small(name, **args), small(name, **args)
    trainer(2).fit(plain, images(files, val=None))
    run = trainer(2)
    run.fit(watched, images(files))
    assert same_state(plain, watched)
    found = {key: float(value) for key, value in run.callback_metrics.items()}
    assert torch.isfinite(torch.tensor(list(found.values()))).all()
    assert {"loss", "z_std", "val_loss", "val_z_std", "val_knn"} <= found.keys() and 0 <= found["val_knn"] <= 1


def test_validation_draws_no_random_number_of_the_training(files):
    class Noisy(SimCLR):
        def loss(self, batch):
            return super().loss(batch) * (1 + 0.1 * torch.rand(()))

    methods = []
    for val in (None, files["val"]):
        torch.manual_seed(0)
        methods.append(Noisy(**TINY, optim=CONSTANT))
        trainer(2).fit(methods[-1], images(files, val=val))
    assert same_state(*methods)


def test_validate_alone_gives_the_numbers_of_the_fit_and_again_the_same(files):
    method, run = small("SimCLR"), trainer()
    run.fit(method, images(files))
    fit = {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("val_")}
    before = copy.deepcopy(method)
    for _ in range(2):
        (alone,) = {tuple(sorted(d.items())) for d in trainer().validate(method, images(files), verbose=False)[:1]}
        assert dict(alone) == pytest.approx(fit, rel=1e-6)
    assert same_state(method, before)


def test_val_loss_is_the_methods_loss_on_whole_batches_of_training_views_in_eval_mode(files):
    method = small("SimCLR").eval()
    found = trainer().validate(method, images(files), verbose=False)[0]
    loader = Loader(files["val"], 8, "simclr", size=8, num_workers=1, order="random", drop_last=False)
    whole = [batch for batch in loader if batch.valid.all()]
    assert len(whole) == 2  # of 22 images
    with torch.no_grad():
        expected = torch.stack([method.loss(batch) for batch in whole]).mean()
    assert found["val_loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_val_knn_is_the_leave_one_out_accuracy_of_the_features_without_augmentation(files):
    method = small("SimCLR").eval()
    found = trainer().validate(method, images(files), verbose=False)[0]
    batches = list(Loader(files["val"], 8, "eval", size=8, num_workers=1, order="sequential"))
    with torch.no_grad():
        features = torch.cat([method.encoder(batch.views[0])[batch.valid] for batch in batches])
    labels = torch.cat([batch.labels[batch.valid] for batch in batches])
    assert len(labels) == 22 and found["val_knn"] == pytest.approx(float(leave_one_out(features, labels)))


def test_leave_one_out_gives_no_vote_to_the_row_itself():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    assert leave_one_out(features, torch.tensor([0, 0, 1, 1])) == 1.0
    assert leave_one_out(features[:2], torch.tensor([0, 1])) == 0.0  # each has only the other


def test_val_views_of_a_subclass_choose_what_is_measured(files):
    class Quick(SimCLR):
        val_views = ("eval",)

    run = trainer()
    run.fit(Quick(**TINY), images(files))
    assert "val_knn" in run.callback_metrics and "val_loss" not in run.callback_metrics


def test_any_other_loader_of_batches_validates(caplog):
    method = small("SimCLR")
    (found,) = trainer().validate(method, Drawn(2, 3), verbose=False)
    assert {"val_loss", "val_knn"} <= found.keys()
    with caplog.at_level("INFO"):
        (found,) = trainer().validate(method, Drawn(1, 3), verbose=False)
    assert found.keys() == {"val_knn"} and "no val_loss: SimCLR takes 2 or more global views" in caplog.text
    (found,) = trainer().validate(method, Drawn(2, 3, labels=False), verbose=False)
    assert "val_loss" in found and "val_knn" not in found
    with pytest.raises(ConfigError, match="a validation step takes a Batch, got Tensor"):
        trainer().validate(method, DataLoader(torch.zeros(4, 3, 8, 8), num_workers=0), verbose=False)


def test_a_method_of_labels_validates_only_with_them(caplog):
    with caplog.at_level("INFO"):
        assert trainer().validate(small("SupCon"), Drawn(2, 3, labels=False), verbose=False) == [{}]
    assert "no val_loss: SupCon needs labels" in caplog.text


def test_early_stopping_and_model_checkpoint_watch_validation_and_training(files, tmp_path):
    best = ModelCheckpoint(tmp_path, "best", monitor="val_loss")
    knn = ModelCheckpoint(tmp_path, "knn", monitor="val_knn", mode="max")
    loss = ModelCheckpoint(tmp_path, "loss", monitor="loss")
    stop = [EarlyStopping("val_loss", divergence_threshold=-1.0), EarlyStopping("loss")]
    run = trainer(3, callbacks=[best, knn, loss, *stop], enable_checkpointing=True)
    run.fit(small("SimCLR"), images(files))
    assert run.current_epoch == 1  # the loss is above -1
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"best.ckpt", "knn.ckpt", "loss.ckpt"}
    assert best.best_model_score == run.callback_metrics["val_loss"]


@pytest.mark.filterwarnings("ignore:You requested to overfit")  # it says shuffling is turned off
def test_overfit_batches_on_a_loader_whose_order_changes_is_refused_with_the_way_out(files):
    loader = Loader(files["train"], 8, "simclr", size=8)
    with pytest.raises(ConfigError, match="in the order 'random' of this Loader .* order='sequential'"):
        trainer(2, overfit_batches=1).fit(small("SimCLR"), loader)
    seen = []

    class Rows(pl.Callback):
        def on_train_batch_start(self, trainer, method, batch, batch_idx):
            seen.append(batch.index.tolist())

    ordered = Loader(files["train"], 8, "simclr", size=8, order="sequential")
    trainer(2, overfit_batches=1, callbacks=[Rows()]).fit(small("SimCLR"), ordered)
    assert seen == [list(range(8))] * 2


def test_the_test_set_is_classified_by_knn(files):
    (found,) = trainer().test(small("SimCLR"), images(files), verbose=False)
    assert found.keys() == {"test_knn"}


def test_predict_gives_features_labels_and_index_of_each_image_once(files):
    method = small("SimCLRv2")
    batches = trainer().predict(method, images(files))
    whole = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    assert whole["index"].tolist() == list(range(22)) and whole["labels"].tolist() == [i % 3 for i in range(22)]
    loader = Loader(files["predict"], 8, "eval", size=8, num_workers=1, order="sequential")
    with torch.no_grad():
        expected = torch.cat([method.eval()(batch.views[0]) for batch in loader])[:22]
    assert torch.equal(whole["features"], expected) and expected.shape == (22, 16)
    (features,) = trainer().predict(method, DataLoader(torch.zeros(4, 3, 8, 8), batch_size=4, num_workers=0))
    assert features.shape == (4, 16)


# ---- optimisers, schedulers and groups of the user's own


class OwnOptimiser(SimCLR):
    """A subclass that leaves nothing to `optim`."""

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01, weight_decay=0.25)


class OwnSchedule(SimCLR):
    """Our optimiser under a scheduler of torch's."""

    def configure_optimizers(self):
        optimiser = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5**step)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def test_an_optimiser_of_ones_own_is_left_as_it_is():
    seen = Rates()
    trainer(callbacks=[seen]).fit(OwnOptimiser(**TINY), Drawn(2, 3))
    assert seen.lr == [[0.01]] * 3 and seen.decay == [[0.25]] * 3 and seen.logged == pytest.approx([0.01] * 3)


def test_a_scheduler_of_ones_own_sets_the_rate_and_ours_the_weight_decay():
    seen, optim = Rates(), OptimConfig(name="sgd", base_lr=0.4, weight_decay=0.1, warmup_epochs=0)
    trainer(callbacks=[seen, LearningRateMonitor()], logger=pl.loggers.CSVLogger("."), log_every_n_steps=1).fit(
        OwnSchedule(**TINY, optim=optim), Drawn(2, 3)
    )
    assert [lr[0] for lr in seen.lr] == pytest.approx([0.2, 0.1, 0.05])  # after the scheduler's step
    assert seen.logged == pytest.approx([0.4, 0.2, 0.1]) and seen.decay == [[0.1, 0.0]] * 3


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_backbone_finetuning_adds_a_group_whose_rate_is_its_own(name):
    optim = OptimConfig(name=name, base_lr=1.6, warmup_epochs=0, schedule="constant")
    method, seen = small("BYOL", optim=optim), Rates()
    before = copy.deepcopy(method.backbone)
    unfreeze = BackboneFinetuning(
        1, lambda_func=lambda _: 1.0, backbone_initial_ratio_lr=0.1, should_align=False, train_bn=False
    )
    run = trainer(2, callbacks=[unfreeze, seen])
    run.fit(method, Drawn(2, 3))
    rates = [{round(lr, 6) for lr in group} for group in seen.lr]
    assert rates[:3] == [{0.1}] * 3 and rates[3:] == [{0.1, 0.01}] * 3
    assert not torch.equal(next(method.backbone.parameters()), next(before.parameters()))


def test_a_run_of_backbone_finetuning_is_resumed_with_its_groups_and_rates(tmp_path):
    def rates(epochs, **args):
        seen, unfreeze = Rates(), BackboneFinetuning(1, train_bn=False)
        run = trainer(epochs, callbacks=[unfreeze, seen, SaveEachEpoch(tmp_path)])
        run.fit(small("SimCLR", optim=CONSTANT), Drawn(2, 3), **args)
        return seen.lr

    assert rates(3)[6:] == rates(3, ckpt_path=tmp_path / "1.ckpt", weights_only=True)


def test_any_callback_may_add_a_group():
    class Extra(BaseFinetuning):
        def freeze_before_training(self, method):
            self.freeze(method.projector, train_bn=False)

        def finetune_function(self, method, epoch, optimizer):
            if epoch == 1:
                self.unfreeze_and_add_param_group(method.projector[-1], optimizer, lr=0.003)

    seen = Rates()
    trainer(2, callbacks=[Extra(), seen]).fit(small("SimCLR", optim=CONSTANT), Drawn(2, 2))
    assert seen.lr[-1] == pytest.approx([0.1, 0.1, 0.003])


def test_stochastic_weight_averaging_sets_its_rate_and_the_schedule_counts_the_users_epochs():
    method, seen = small("SimCLR"), Rates()
    swa = StochasticWeightAveraging(swa_lrs=0.007, swa_epoch_start=2, annealing_epochs=1)
    trainer(4, callbacks=[swa, seen]).fit(method, Drawn(2, 3))
    assert method.schedule.total == 12
    lr = [group[0] for group in seen.lr]
    assert lr[:3] == [method.schedule.lr(step) for step in range(3)]
    assert lr[6:12] == pytest.approx([0.007] * 6)


def test_a_frozen_backbone_stays_as_it_is():
    method = small("SimCLR")
    method.backbone.requires_grad_(False)
    before = copy.deepcopy(method)
    trainer().fit(method, Drawn(2, 3))
    parameters = dict(method.named_parameters())
    moved = {name for name, p in before.named_parameters() if not torch.equal(p, parameters[name])}
    assert moved and all(name.startswith("projector") for name in moved)


# ---- Lightning's tuner


def test_lr_find_sets_the_peak_learning_rate_and_the_checkpoint_has_it(files, tmp_path):
    method, run = small("SimCLR"), trainer(5)
    before = copy.deepcopy(method)
    found = Tuner(run).lr_find(
        method, datamodule=images(files), min_lr=1e-4, num_training=25, early_stop_threshold=None
    )
    rates = found.results["lr"]
    assert len(rates) == 25 and rates[0] == pytest.approx(1e-4) and rates[-1] > 0.5
    assert same_state(method, before) and method.lr == found.suggestion()
    trainer_2 = trainer(1)
    trainer_2.fit(method, images(files))
    assert method.schedule.peak == method.lr == found.suggestion()  # whatever the batch
    trainer_2.save_checkpoint(tmp_path / "a.ckpt")
    assert massrl.load(tmp_path / "a.ckpt").lr == method.lr


def test_lr_is_base_lr_until_a_fit_scales_it_and_fixes_the_peak_where_it_is_set():
    method = small("SimCLR", optim=CONSTANT)
    assert method.lr == 1.6
    trainer().fit(method, Drawn(2, 2))
    assert method.lr == pytest.approx(1.6 * 16 / 256)
    method.lr = 0.03
    assert method.lr == 0.03 and method.optim.lr_scaling == "none" and method.optim.name == "sgd"
    trainer().fit(method, Drawn(2, 2))
    assert method.schedule.peak == 0.03
    with pytest.raises(ConfigError, match="base_lr"):
        method.lr = -1.0


def test_scale_batch_size_finds_the_batch_size_of_the_data_module(files):
    data = images(files, batch_size=4)
    assert (
        Tuner(trainer()).scale_batch_size(small("SimCLR"), datamodule=data, init_val=4, max_trials=2, steps_per_trial=1)
        == 8
    )
    assert data.batch_size == 8


# ---- modules as Lightning handles them


def test_a_second_fit_has_its_own_length_and_goes_on_from_the_weights():
    method, run = small("SimCLR"), trainer(1)
    run.fit(method, Drawn(2, 3))
    run.fit_loop.max_epochs = 2
    run.fit(method, Drawn(2, 3))
    assert run.global_step == 6 and method.schedule.total == 6
    trainer(1).fit(method, Drawn(2, 5))
    assert method.schedule.total == 5


def test_a_method_can_be_copied_before_during_and_after_a_fit():
    class Copies(pl.Callback):
        def on_train_batch_end(self, trainer, method, *_):
            self.copy = copy.deepcopy(method)

    method, copies = small("DINO"), Copies()
    assert same_state(copy.deepcopy(method), method)
    trainer(callbacks=[copies]).fit(method, Drawn((3, 2), 2))
    assert same_state(copies.copy, method) and same_state(copy.deepcopy(method), method)
    batch = next(iter(Drawn((3, 2), 1)))
    assert torch.equal(copies.copy.eval().loss(batch), method.eval().loss(batch))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's, inside its tracing
def test_a_method_in_torch_compile_trains():
    torch._dynamo.reset()
    method = small("SimCLR")
    trainer().fit(torch.compile(method, backend="eager"), Drawn(2, 2))
    plain = small("SimCLR")
    trainer().fit(plain, Drawn(2, 2))
    torch.testing.assert_close(dict(method.state_dict()), dict(plain.state_dict()), rtol=1e-4, atol=1e-5)


# ---- the mirror package


def test_the_package_is_the_one_that_is_asked_for_or_has_been_imported():
    usual, mirror = "pytorch_lightning", "lightning.pytorch"
    assert chosen([], {}) == usual and chosen([usual, mirror], {}) == usual and chosen([mirror], {}) == mirror
    assert chosen([usual], {"MASSRL_LIGHTNING": mirror}) == mirror and chosen([], {"MASSRL_LIGHTNING": ""}) == usual
    with pytest.raises(ConfigError, match="MASSRL_LIGHTNING is 'lightning'; choose one of pytorch_lightning, "):
        chosen([], {"MASSRL_LIGHTNING": "lightning"})


@pytest.mark.skipif(find_spec("lightning") is None, reason="the mirror package is not installed")
def test_a_script_of_the_mirror_package_trains(files):
    script = f"""
import lightning.pytorch as pl
from data_loading import BetonDataModule
from massrl.callbacks import OnlineKNN
from massrl.methods import SimCLR

data = BetonDataModule({files["train"]!r}, val={files["val"]!r}, size=8, batch_size=8, num_workers=1)
method = SimCLR("tiny_resnet", backbone_args={{"width": 4}}, hidden_dim=8, out_dim=4)
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[OnlineKNN()])
trainer.fit(method, data)
print(sorted(trainer.callback_metrics))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "'val_knn', 'val_loss'" in done.stdout
