"""What Lightning refuses is one line that names the option; an error of any other code stays what it is."""

import pytest
import pytorch_lightning as pl

from data_loading.errors import ConfigError
from drawn import Drawn, small, trainer
from massrl.runs.trainer import make_trainer, trainer_errors

CPU = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"accelerator": "x"}, "trainer: You selected an invalid accelerator name: `accelerator='x'`"),
        ({"accelerator": "tpu"}, "trainer: "),
        ({"devices": -2}, "trainer: `devices` selected with `CPUAccelerator` should be an int > 0."),
        ({"devices": "x"}, "trainer: "),
        ({"strategy": "ddpp"}, "trainer: You selected an invalid strategy name: `strategy='ddpp'`"),
        ({"num_nodes": 100_000}, "trainer.num_nodes is 100000; it must be at most 10,000"),
        ({"devices": 100_000}, "trainer.devices is 100000; it must be at most 1,024"),
        ({"devices": "100000"}, "trainer.devices is 100000; it must be at most 1,024"),
        ({"num_nodes": 0}, "trainer.num_nodes is 0; it must be at least 1"),
        ({"precision": "8"}, "trainer: Precision '8' is invalid."),
        ({"profiler": "x"}, "trainer: When passing string value for the `profiler` parameter"),
        ({"max_time": "soon"}, "trainer: `Timer(duration='soon')` is not a valid duration"),
        ({"limit_train_batches": -1}, "trainer: You have passed invalid value -1 for limit_train_batches"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches is 0; it must be at least 1"),
        ({"accumulate_grad_batches": -1}, "trainer.accumulate_grad_batches is -1; it must be at least 1"),
        ({"gradient_clip_val": -1}, "trainer.gradient_clip_val is -1; it must be at least 0"),
        ({"gradient_clip_val": float("nan")}, "trainer.gradient_clip_val is nan; it must be at least 0"),
        ({"check_val_every_n_epoch": 0}, "trainer.check_val_every_n_epoch is 0; it must be at least 1"),
        ({"callbacks": 3}, "trainer: "),
        ({"plugins": "x"}, "trainer: "),
        ({"nothing": 3}, "trainer: "),
    ],
    ids=str,
)
def test_what_no_trainer_takes_is_one_line(arguments, line):
    with pytest.raises(ConfigError) as refused:
        make_trainer(**{**CPU, **arguments})
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
    assert next(iter(arguments)) in str(refused.value)


def test_a_right_trainer_is_lightnings_own():
    made = make_trainer(**CPU, max_steps=2)
    assert type(made) is pl.Trainer and made.max_steps == 2
    made.fit(small("SimCLR"), Drawn(2, 4))  # max_steps alone is a length
    assert made.global_step == 2


class Faulty(pl.Callback):
    def on_train_batch_end(self, *_):
        raise ValueError("a fault of ours")


def test_an_error_of_other_code_in_a_fit_keeps_its_type():
    with pytest.raises(ValueError, match="a fault of ours"), trainer_errors():
        trainer(callbacks=[Faulty()]).fit(small("SimCLR"), Drawn(2, 2))


def test_what_lightning_raises_in_a_fit_is_a_line_that_lists_what_there_is():
    wrong = pl.callbacks.EarlyStopping("val_nope", check_on_train_epoch_end=True)
    with pytest.raises(ConfigError, match="^trainer: Early stopping conditioned on metric `val_nope`.*`loss`"):
        with trainer_errors():
            trainer(callbacks=[wrong]).fit(small("SimCLR"), Drawn(2, 2))
