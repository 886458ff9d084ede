"""The length of a run where nobody said: whole epochs, or one that is cut."""

import copy
import time

import pytest
import pytorch_lightning as pl
import torch

from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from drawn import same_state, small
from massrl.cli.samples import sample_folder
from massrl.training.length import PASSED_ON, Length, choose, fitted, measure


def test_time_for_several_epochs_gives_whole_epochs_rounded_down():
    assert choose(seconds=240, step=0.5, batches=100) == Length(4)  # 480 steps
    assert choose(seconds=50, step=0.5, batches=100) == Length(1)  # exactly one


def test_time_for_less_than_an_epoch_cuts_one_and_leaves_at_least_a_step():
    assert choose(seconds=49, step=0.5, batches=100) == Length(1, 98)
    assert choose(seconds=1, step=60, batches=100) == Length(1, 1)


def test_a_length_is_told_to_the_trainer_without_max_steps():
    assert Length(4).settings == {"max_epochs": 4}
    assert Length(1, 98).settings == {"max_epochs": 1, "limit_train_batches": 98}


SETTINGS = {"accelerator": "cpu", "enable_model_summary": False}


@pytest.fixture
def data(tmp_path) -> BetonDataModule:
    data = BetonDataModule(str(sample_folder(tmp_path)), views="simclr", size=8, batch_size=4, num_workers=1)
    data.view_set = data.resolve()
    return data


def test_measuring_leaves_the_method_and_the_random_state_as_they_were(data):
    method = small("SimCLR")
    before, state = copy.deepcopy(method), torch.get_rng_state()
    step, batches = measure(method, data, SETTINGS, minutes=1)
    assert batches == 4 and step > 0
    assert same_state(method, before) and torch.equal(torch.get_rng_state(), state)


class SlowStart(pl.Callback):
    """A first step as slow as one that compiles the network."""

    def on_train_batch_start(self, trainer, method, batch, batch_idx):
        if trainer.global_step == 0:
            time.sleep(2)


def test_a_first_step_that_compiles_for_longer_than_measuring_may_take_is_not_taken_for_the_step(data):
    step, _ = measure(small("SimCLR"), data, {**SETTINGS, "callbacks": [SlowStart()]}, minutes=0.02)  # measures 0.24 s
    assert step < 1


def test_minutes_must_be_more_than_nothing(data):
    with pytest.raises(ConfigError, match="--minutes is 0"):
        fitted(small("SimCLR"), data, SETTINGS, 0.0, world=1)


def test_a_process_that_rank_0_started_takes_the_length_that_rank_0_found(data, monkeypatch):
    monkeypatch.setenv(PASSED_ON, "1,7")
    monkeypatch.setenv("LOCAL_RANK", "1")  # as Lightning sets it for the processes that it starts
    assert fitted(small("SimCLR"), data, SETTINGS, 4.0, world=2)[0] == Length(1, 7)
    monkeypatch.setenv(PASSED_ON, "3")
    assert fitted(small("SimCLR"), data, SETTINGS, 4.0, world=2)[0] == Length(3)


def test_processes_that_are_started_together_must_be_told_the_length(data, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ConfigError, match="--trainer.max_epochs"):
        fitted(small("SimCLR"), data, SETTINGS, 4.0, world=2)
