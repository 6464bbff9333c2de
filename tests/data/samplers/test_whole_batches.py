"""Batches of any number of processes: together the same, whole, from the start and resumed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data.sampler import SequentialSampler

from maskrcnn_benchmark.data.samplers import (
    DistributedSampler,
    MixtureSampler,
    PartOfBatchSampler,
    SeededBatchSampler,
    WholeBatchSampler,
)


def part(processes, rank, number=11, batch_size=4, iterations=20, start=0, mixed=False, groups=(0, 1, 1)):
    """The (index, seed) pairs of one process, batch by batch."""
    sampler = MixtureSampler([number - 3, 3], [1, 2], 1, 0) if mixed else DistributedSampler(range(number), 1, 0)
    of_index = [groups[i % len(groups)] for i in range(number)]
    batches = WholeBatchSampler(sampler, batch_size, iterations, start, of_index)
    return list(PartOfBatchSampler(SeededBatchSampler(batches, seed=7, start_iter=start), processes, rank))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_together_sees_what_one_sees_with_the_same_seeds(processes, start, mixed):
    alone = part(1, 0, start=start, mixed=mixed)
    parts = [part(processes, rank, start=start, mixed=mixed) for rank in range(processes)]
    assert [list(itertools.chain(*batches)) for batches in zip(*parts)] == alone
    assert {len(batch) for each in parts for batch in each} == {4 // processes}


@pytest.mark.parametrize("start", [0, 1, 3, 11, 20])
def test_a_resumed_run_sees_the_batches_of_one_that_never_stopped(start):
    assert part(2, 1, start=start) == part(2, 1)[start:]


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 12), st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_batches_are_whole_of_one_group_and_hold_each_image_as_often(number, batch_size, iterations, groups):
    of_index = [groups[i % len(groups)] for i in range(number)]
    sampler = WholeBatchSampler(SequentialSampler(range(number)), batch_size, iterations, group_ids=of_index)
    batches = list(sampler)
    assert len(batches) == len(sampler) == iterations
    for batch in batches:
        assert len(batch) == batch_size and len({of_index[i] for i in batch}) == 1
    for group in set(of_index):
        own = [i for batch in batches for i in batch if of_index[i] == group]
        members = [i for i in range(number) if of_index[i] == group]
        assert own == (members * (len(own) // len(members) + 1))[: len(own)]


def test_what_an_epoch_leaves_over_begins_the_batches_of_the_next():
    assert list(WholeBatchSampler(SequentialSampler(range(5)), 3, 4)) == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]
    grouped = WholeBatchSampler(SequentialSampler(range(5)), 2, 5, group_ids=[0, 1, 0, 0, 1])
    assert list(grouped) == [[0, 2], [1, 4], [3, 0], [2, 3], [1, 4]]


def test_each_epoch_has_an_order_of_its_own():
    batches = list(WholeBatchSampler(DistributedSampler(range(30), 1, 0), 30, 3))
    assert all(sorted(batch) == list(range(30)) for batch in batches)
    assert len({tuple(batch) for batch in batches}) == 3


def test_a_data_set_without_images_is_an_error_instead_of_an_endless_loop():
    with pytest.raises(ValueError, match="yields no index"):
        list(WholeBatchSampler(SequentialSampler([]), 3, 1))


def test_rank_beyond_the_processes_is_an_error():
    with pytest.raises(ValueError, match="rank 2 is not among 2"):
        PartOfBatchSampler([[0, 1]], 2, 2)
