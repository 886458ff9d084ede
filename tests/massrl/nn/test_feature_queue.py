import pytest
import torch

from data_loading.errors import ConfigError
from massrl.nn import FeatureQueue


def numbered(first: int, count: int) -> torch.Tensor:
    """Rows (first, first), (first + 1, first + 1), ...: a row tells when it was pushed."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None].expand(count, 2)


def held(queue: FeatureQueue) -> list[int]:
    return queue.rows()[:, 0].int().tolist()


def test_batches_are_laid_one_behind_the_other_and_wrap_at_the_end():
    queue = FeatureQueue(5, 2, random=False)
    queue.push(numbered(1, 3))
    assert held(queue) == [1, 2, 3, 0, 0]
    queue.push(numbered(4, 3))  # 3 does not divide 5: the last row stands at the head again
    assert held(queue) == [6, 2, 3, 4, 5]
    queue.push(numbered(7, 5))
    assert held(queue) == [11, 7, 8, 9, 10]


def test_of_a_batch_larger_than_the_queue_the_last_rows_stay():
    queue = FeatureQueue(3, 2)
    queue.push(numbered(1, 7))
    assert held(queue) == [5, 6, 7] and queue.full


def test_it_always_holds_the_last_rows_whatever_the_sizes_of_the_batches():
    sizes = torch.randint(1, 12, (50,), generator=torch.Generator().manual_seed(0)).tolist()
    queue, pushed = FeatureQueue(7, 2, random=False), 0
    for n in sizes:
        queue.push(numbered(1 + pushed, n))
        pushed += n
        last = range(max(1, pushed - 6), pushed + 1)
        assert sorted(held(queue)) == [0] * (7 - len(last)) + list(last)


def test_it_is_full_once_as_many_rows_were_pushed_as_it_holds():
    queue = FeatureQueue(4, 2)
    for n, full in ((1, False), (2, False), (1, True), (3, True)):
        queue.push(numbered(0, n))
        assert queue.full == full
    assert len(queue) == 4


def test_it_starts_from_unit_vectors_that_the_seed_alone_decides():
    torch.manual_seed(1)
    first, other = FeatureQueue(40, 8).rows(), FeatureQueue(40, 8, seed=1).rows()
    torch.manual_seed(2)
    assert torch.equal(FeatureQueue(40, 8).rows(), first), "the global generator has no part in it"
    assert not torch.equal(other, first)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(40))
    assert first.unique(dim=0).shape == (40, 8)
    assert not FeatureQueue(40, 8, random=False).rows().any()


def test_its_state_goes_into_a_checkpoint_and_the_copy_goes_on_where_the_queue_was():
    queue, again = FeatureQueue(5, 2), FeatureQueue(5, 2, random=False, seed=3)
    queue.push(numbered(1, 3))
    again.load_state_dict(queue.state_dict())
    for q in (queue, again):
        q.push(numbered(4, 4))
    assert held(again) == held(queue) == [6, 7, 3, 4, 5] and again.full
    assert not list(queue.parameters()), "nothing to train"


def test_rows_is_a_copy_so_that_backward_still_works_after_a_push():
    queue = FeatureQueue(4, 2)
    rows = queue.rows()
    before = rows.clone()
    z = torch.ones(3, 2, requires_grad=True)
    loss = (z @ rows.T).sum()
    queue.push(numbered(1, 3))
    loss.backward()
    torch.testing.assert_close(z.grad, before.sum(0).expand(3, 2))  # d loss / d z_i: the sum of the rows that it read


def test_a_push_keeps_no_graph_and_no_reference_to_what_was_pushed():
    queue = FeatureQueue(4, 2)
    z = torch.ones(3, 2, requires_grad=True)
    queue.push(z * 2)
    assert not queue.rows().requires_grad and queue.ring.grad_fn is None
    with torch.no_grad():
        z.fill_(9.0)
    assert held(queue)[:3] == [2, 2, 2]


def test_half_precision_is_stored_as_float32():
    queue = FeatureQueue(4, 2)
    queue.push(numbered(1, 2).bfloat16())
    assert queue.rows().dtype == torch.float32 and held(queue)[:2] == [1, 2]


@pytest.mark.parametrize("size", [0, -3])
def test_a_queue_of_no_rows_is_refused(size):
    with pytest.raises(ConfigError, match=f"queue_size is {size}; a queue holds at least one embedding"):
        FeatureQueue(size, 2)
