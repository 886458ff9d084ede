"""The samples of dense training: their order, their random numbers, and errors that arrive in one line."""

import pytest
import pytorch_lightning as pl
import torch

from data_loading.errors import ConfigError, DecodeError
from massrl.dense.images import DenseData, Samples, Steps


def flat(batches):
    return [index for batch in batches for index in batch]


def test_steps_run_through_permutations_and_number_their_samples():
    found = list(Steps(rows=5, steps=4, batch_size=3, seed=1))
    assert len(found) == len(Steps(5, 4, 3, 1)) == 4
    rows = [row for row, _ in flat(found)]
    assert sorted(rows[:5]) == sorted(rows[5:10]) == [0, 1, 2, 3, 4] and rows[:5] != rows[5:10]
    assert [number for _, number in flat(found)] == list(range(12))
    assert found == list(Steps(5, 4, 3, 1)) and found != list(Steps(5, 4, 3, 2))


def test_ranks_cut_each_batch_of_one_process_into_parts():
    whole = list(Steps(7, 3, 4, seed=0))
    parts = [list(Steps(7, 3, 4, seed=0, rank=rank, world=2)) for rank in range(2)]
    for step in range(3):
        assert sorted(parts[0][step] + parts[1][step]) == sorted(whole[step])
        assert len(parts[0][step]) == 2


def noisy(x, y):
    return x + torch.rand(()), y


def test_a_samples_random_numbers_depend_on_seed_and_number_alone():
    samples = Samples(3, lambda row: (torch.tensor(float(row)), row), noisy, seed=5)
    torch.manual_seed(0)
    first = samples[(1, 40)][0]
    state = torch.get_rng_state()
    torch.manual_seed(9)
    assert samples[(1, 40)][0] == first != samples[(1, 41)][0]
    assert Samples(3, samples.read, noisy, seed=6)[(1, 40)][0] != first
    assert samples[1][0] == 1.0, "without a number nothing is changed"
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state()), "the global state stays as it was"


def read(row):
    if row == 2:
        raise DecodeError("c.jpg: cannot be decoded")
    return torch.tensor([float(row)]), row


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_raised_as_it_was(workers):
    data = DenseData(Samples(4, read), Samples(4, read), 1, 2, lambda s: [x for x, _ in s], num_workers=workers)
    with pytest.raises(DecodeError, match=r"^c.jpg: cannot be decoded$"):
        for batch in data.test_dataloader():
            data.on_before_batch_transfer(batch, 0)


def test_a_batch_that_does_not_divide_over_the_processes_is_refused():
    data = DenseData(Samples(4, read), Samples(4, read), 1, 3, list)
    data.trainer = type("Two", (), {"global_rank": 0, "world_size": 2})()
    with pytest.raises(ConfigError, match="batch_size is 3; it must be a multiple of the 2 processes"):
        data.setup("fit")
    assert isinstance(data, pl.LightningDataModule)
    assert [batch[0][1] for batch in data.test_dataloader() if not isinstance(batch, DecodeError)] == [0]  # and 2 fails
