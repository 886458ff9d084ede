"""massrl plan: known answers of its arithmetic, and what it says of small runs beside what these then take."""

import json

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import massrl
from drawn import Drawn
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint_files import LAST
from massrl.training import plan
from massrl.training.plan import Plan, Rates

GIB = 2**30


def made(**changes) -> Plan:
    """A plan of a run on GPUs, each of which trains 500 images/s; the loader gives 1,200 with all cores."""
    rates = Rates(images=64, loader=600.0, loader_all=1200.0, training=500.0, together=480.0)
    usual = {"method": "SimCLR", "device": "a GPU", "precision": "32-true", "threads": 4, "cores": 8, "nodes": 1}
    usual |= {"images": 36_000, "batch": 64, "accumulate": 1, "devices": 1, "epochs": 100, "steps": 56_250}
    usual |= {"views": GIB, "state": 2 * GIB, "activations": 8 * GIB, "peak": None, "memory": 16 * GIB}
    usual |= {"checkpoint": GIB, "free": 100 * GIB, "rates": rates}
    return Plan(**{**usual, **changes})


def test_one_device_takes_what_was_measured_and_more_are_bounded_by_the_loader():
    run = made()  # 3,600,000 images
    assert run.hours() == pytest.approx(3_600_000 / 480 / 3600)
    assert [run.rate(n) for n in (1, 2, 4)] == [480.0, 1000.0, 1200.0]
    assert run.hours(4) == pytest.approx(3_600_000 / 1200 / 3600)


def test_two_nodes_take_half_as_long_for_the_same_images():
    one, two = made(devices=2, steps=100), made(devices=2, nodes=2, steps=50)
    assert one.steps * one.global_batch == two.steps * two.global_batch
    assert two.hours() == one.hours() / 2


@pytest.mark.parametrize(("training", "limit"), [(500.0, "training"), (700.0, "loader"), (590.0, "both")])
def test_the_bottleneck_is_the_slower_one_where_one_is_clearly_slower(training, limit):
    assert made(rates=Rates(64, 600.0, 1200.0, training, 400.0)).bottleneck == limit


def test_memory_is_counted_for_the_batch_of_the_run_or_measured_and_scaled():
    assert made().needed == 11 * GIB and made().fits
    measured = made(peak=6 * GIB, rates=Rates(32, 600.0, 1200.0, 500.0, 480.0))  # of half the batch: 2 + 4 GiB
    assert measured.needed == 11 * GIB
    assert made(peak=9 * GIB, rates=Rates(32, 600.0, 1200.0, 500.0, 480.0)).needed == 16 * GIB
    assert made(memory=10 * GIB).fits is False and made(memory=None).fits is None


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
    kept = plan._Kept()
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
    assert "3 epochs of 16 images, 12 steps of 4 images" in said and "bottleneck  the processor" in said
    run = tmp_path / "run"
    main(["pretrain", *words, "--trainer.max_epochs", "3", "--run", str(run), "--report", "false", "--export", "false"])
    assert massrl.Run(run).metrics["training"]["steps"] == found["steps"] == 12
    assert found["checkpoint"] == pytest.approx((run / LAST).stat().st_size, rel=0.1)
    assert found["rates"]["together"] > 0 and found["needed"] > found["state"] > 0


def test_a_sample_stands_for_more_images(words, capsys):
    more = ["--images", "4000", "--trainer.max_epochs", "10", "--seconds", "0.1"]
    main(["plan", *words, *more, "--trainer.accumulate_grad_batches", "2"])
    assert "10 epochs of 4,000 images, 5,000 steps of 8 images (4 images x 2 accumulated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--trainer.max_epochs", "1", "--images", "0"], "--images is 0; it must be at least 1"),
        (["--trainer.max_epochs", "1", "--seconds", "0"], "--seconds is 0; it must be more than 0"),
        (["--trainer.max_epochs", "1", "--data.batch_size", "17"], "16 images are fewer than one global batch of 17"),
        ([], "the length is open, so that it takes --minutes"),
        (["--trainer.max_epochs", "1", "--trainer.devices", "x"], "devices"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(words, more, line, capsys):
    assert main(["plan", *words, *more]) == 2
    assert line in capsys.readouterr().err


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
    assert "1 epochs of 16 images" in capsys.readouterr().out


def test_drawn_batches_are_taken_again_and_again():
    data = plan._Repeated(Drawn(2, 2).batches, 5)
    assert len(data) == 5 and [len(batch) for batch in data] == [16] * 5
