"""massrl plan: known answers of its arithmetic, and what it says of small runs beside what these then take."""

import json

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import massrl
from massrl.cli.main import main
from massrl.cli.plan import PlanSettings, rows, table
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint_files import LAST
from massrl.training import plan, plan_steps
from massrl.training.plan import Plan
from massrl.training.plan_steps import Rates, Repeated, SavedForBackward, smallest_steps

GIB = 2**30


def made(**changes) -> Plan:
    """A plan of a run on GPUs, each of which trains 500 images/s; the loader gives 1,200 at most."""
    rates = Rates(images=64, loader=600.0, loader_all=1200.0, training=500.0, together=480.0)
    usual = {"method": "SimCLR", "device": "a GPU", "precision": "32-true", "threads": 4, "cores": 8, "nodes": 1}
    usual |= {"images": 36_000, "batch": 64, "accumulate": 1, "devices": 1, "epochs": 100, "steps": 56_250}
    usual |= {"trained": 3_600_000, "fixed_step": False, "state": 2 * GIB, "kept": GIB, "kept_per_image": GIB // 8}
    usual |= {"view_bytes": 0, "peak": None, "memory": 16 * GIB, "checkpoint": GIB, "free": 100 * GIB, "rates": rates}
    return Plan(**{**usual, **changes})


def test_one_device_takes_what_was_measured_and_more_are_bounded_by_the_loader():
    run = made()
    assert run.hours() == pytest.approx(3_600_000 / 480 / 3600)
    assert [run.rate(n) for n in (1, 2, 4)] == [480.0, 960.0, 1200.0]
    assert run.hours(4) == pytest.approx(3_600_000 / 1200 / 3600)


def test_the_loaders_of_several_processes_have_as_many_threads_each_up_to_the_cores():
    assert [made().loader(n) for n in (1, 2, 4)] == [600.0, 1200.0, 1200.0]


def test_two_nodes_take_half_as_long_for_the_same_images():
    assert made(devices=2, nodes=2).hours() == made(devices=2).hours() / 2


def test_a_number_of_steps_takes_more_images_on_more_devices_unless_a_step_is_fixed():
    steps, fixed = made(epochs=None), made(epochs=None, fixed_step=True)
    assert steps.hours(2) == steps.hours(1) and fixed.hours(2) == fixed.hours(1) / 2


@pytest.mark.parametrize(("training", "limit"), [(500.0, "training"), (700.0, "loader"), (590.0, "both")])
def test_the_bottleneck_is_the_slower_one_where_one_is_clearly_slower(training, limit):
    run = made(devices=8, rates=Rates(64, 600.0, 1200.0, training, 400.0))
    assert run.bottleneck(1) == limit and run.bottleneck() == run.bottleneck(8) == "loader"
    assert [line.split()[-1] for line in table(run)[1:-1]] == [run.bottleneck(n) for n in plan.DEVICES]


def test_processes_on_a_cpu_share_its_time_and_memory():
    run = made(device="CPU", devices=2)
    assert run.rate(2) == run.rate(1) == 480.0 and run.needed == 2 * 11 * GIB and run.bottleneck() == "processor"


def test_memory_is_counted_for_the_batch_of_the_run_or_measured_and_scaled():
    assert made().needed == (2 + 1 + 8) * GIB and made().fits
    assert made(peak=12 * GIB).needed == 12 * GIB, "measured in the run's batches"
    smaller = Rates(32, 600.0, 1200.0, 500.0, 480.0)
    assert made(peak=9 * GIB, rates=smaller).needed == (9 + 4) * GIB
    assert made(memory=10 * GIB).fits is False and made(memory=None).fits is None
    assert "about 56 images a process fit" in dict(rows(made(memory=10 * GIB)))["memory"]


class Kept(pl.LightningModule):
    """relu(x W + b), squared: kept for the backward are x and the output of the ReLU, but no weight."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(32, 64)

    def training_step(self, x, _):
        return self.layer(x).relu().square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_what_is_kept_for_the_backward_is_counted_once_and_without_weights():
    kept = SavedForBackward()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", callbacks=[kept], enable_model_summary=False, **quiet)
    trainer.fit(Kept(), torch.utils.data.DataLoader(torch.zeros(8, 32), batch_size=8))
    assert kept.bytes == 4 * (8 * 32 + 8 * 64)


@pytest.fixture
def words(tmp_path):
    sample_folder(tmp_path)
    given = f"--data.train {tmp_path / 'sample_images'} --model BYOL --model.backbone tiny_resnet --data.size 16 "
    given += f"--data.batch_size 4 --data.num_workers 1 --data.cache_dir {tmp_path / 'cache'} --trainer.accelerator cpu"
    return given.split()


def test_a_plan_says_the_steps_and_the_checkpoint_that_the_run_then_has(words, tmp_path, capsys):
    out = tmp_path / "plan.json"
    main(["plan", *words, "--trainer.max_epochs", "3", "--seconds", "1", "--json", str(out)])
    assert not (tmp_path / "runs").exists(), "nothing is kept"
    found = json.loads(out.read_text())
    said = capsys.readouterr().out
    assert "3 epochs of 16 images; 12 steps of 4 images" in said and "bottleneck  the processor" in said
    run = tmp_path / "run"
    main(["pretrain", *words, "--trainer.max_epochs", "3", "--run", str(run), "--report", "false", "--export", "false"])
    assert massrl.Run(run).metrics["training"]["steps"] == found["steps"] == 12
    assert found["checkpoint"] == pytest.approx((run / LAST).stat().st_size, rel=0.1)
    assert found["rates"]["together"] > 0 and found["needed"] > found["state"] > 0


def test_a_sample_stands_for_more_images(words, capsys):
    more = ["--images", "4000", "--trainer.max_epochs", "10", "--seconds", "0.1"]
    main(["plan", *words, *more, "--trainer.accumulate_grad_batches", "2"])
    assert "10 epochs of 4,000 images; 5,000 steps of 8 images (4 images x 2 accumulated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--trainer.max_epochs", "1", "--images", "0"], "--images is 0; it must be at least 1"),
        (["--trainer.max_epochs", "1", "--seconds", "0"], "--seconds is 0; it must be more than 0"),
        (["--trainer.max_epochs", "1", "--data.batch_size", "17"], "16 images are fewer than one global batch of 17"),
        ([], "the length is open, so that the run takes --minutes"),
        (["--trainer.max_epochs", "1", "--trainer.devices", "x"], "devices"),
        (["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "0"], "nothing would be trained"),
        (["--trainer.fast_dev_run", "true"], "needs no plan"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(words, more, line, capsys):
    assert main(["plan", *words, *more]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("method", ["MoCoV2", "SimCLR"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_memory_scales_with_images_and_not_what_is_kept_once(words, method, precision):
    """A queue and bfloat16 copies of weights are kept once a step, whatever its images."""
    given = [*words, "--model", method, "--trainer.max_epochs", "1", "--trainer.precision", precision]
    settings = PlanSettings(given)
    settings.data.prepare_data()
    settings.data.view_set = settings.data.resolve(settings.method)
    found = smallest_steps(settings.method, settings.data, settings.trainer_args, 16)
    counted = SavedForBackward()
    batches = Repeated(plan_steps.loader_of(settings.data, 16), 1)
    plan_steps.short_fit(settings.method, batches, {**settings.trainer_args, **plan_steps.SHORT}, counted)
    assert found.kept + 16 * found.kept_per_image == pytest.approx(counted.bytes, rel=0.02)


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("--trainer.max_epochs 3 --trainer.accumulate_grad_batches 3", 6),  # of two batches, and of two
        ("--trainer.max_epochs 3 --global_batch 12", 3),  # whole ones
        ("--trainer.max_epochs 3 --data.order sequential --data.batch_size 5", 12),
        ("--trainer.max_epochs 3 --trainer.limit_train_batches 0.5", 6),
        ("--trainer.max_steps 5", 5),
    ],
)
def test_steps_are_those_that_the_run_takes(words, tmp_path, more, steps):
    out = tmp_path / "plan.json"
    assert main(["plan", *words, *more.split(), "--seconds", "0.1", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["steps"] == steps
    run = tmp_path / "run"
    main(["pretrain", *words, *more.split(), "--run", str(run), "--report", "false", "--export", "false"])
    assert massrl.Run(run).metrics["training"]["steps"] == steps


@pytest.mark.parametrize(
    "callback",
    ["EarlyStopping --trainer.callbacks.monitor val_loss", "LearningRateMonitor", "ModelCheckpoint", "Timer"],
)
def test_callbacks_that_need_a_logger_or_validation_do_not_stop_a_plan(words, callback, capsys):
    main(["plan", *words, "--trainer.max_epochs", "1", "--seconds", "0.1", "--trainer.callbacks", *callback.split()])
    assert "bottleneck" in capsys.readouterr().out


def test_devices_that_are_not_here_are_planned_for(words, capsys):
    main(
        [
            "plan",
            *words,
            "--trainer.devices",
            "2",
            "--trainer.num_nodes",
            "2",
            "--trainer.max_epochs",
            "1",
            "--seconds",
            "0.1",
        ]
    )
    assert "16 images (4 images x 4 processes)" in capsys.readouterr().out


def test_the_first_word_may_be_a_recipe(words, capsys):
    main(["plan", "digits/simclr", *words, "--trainer.max_epochs", "1", "--seconds", "0.1"])
    assert "1 epoch of 16 images" in capsys.readouterr().out
