"""Samplers: the exact order of batches, in one process and in several, from the start and resumed."""

import itertools
import random

import pytest
import torch
from torch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

from maskrcnn_benchmark.data.samplers import (
    DistributedSampler,
    GroupedBatchSampler,
    IterationBasedBatchSampler,
    SeededBatchSampler,
    SeededDataset,
)

GROUPS = [0, 0, 1, 0, 1, 1, 0, 1, 1, 0]


class ListSampler(Sampler):
    def __init__(self, indices):
        self.indices = indices

    def __iter__(self):
        return iter(self.indices)

    def __len__(self):
        return len(self.indices)


def grouped(indices, batch_size, drop_uneven=False):
    return list(GroupedBatchSampler(ListSampler(indices), GROUPS, batch_size, drop_uneven))


@pytest.mark.parametrize("batch_size", [1, 3, 5, 6])
def test_groups_that_come_in_order_keep_the_order(batch_size):
    groups = [i // 10 for i in range(40)]
    batches = list(GroupedBatchSampler(SequentialSampler(range(40)), groups, batch_size, False))
    assert list(itertools.chain.from_iterable(batches)) == list(range(40))


@pytest.mark.parametrize(
    ("indices", "batch_size", "drop_uneven", "expected"),
    [
        (range(10), 1, False, [[i] for i in range(10)]),
        (range(10), 3, False, [[0, 1, 3], [2, 4, 5], [6, 9], [7, 8]]),
        (range(10), 4, False, [[0, 1, 3, 6], [2, 4, 5, 7], [8], [9]]),
        (range(10), 1, True, [[i] for i in range(10)]),
        (range(10), 3, True, [[0, 1, 3], [2, 4, 5]]),
        (range(10), 4, True, [[0, 1, 3, 6], [2, 4, 5, 7]]),
        ([0, 3, 5, 6, 7, 8], 1, False, [[0], [3], [5], [6], [7], [8]]),
        ([0, 3, 5, 6, 7, 8], 3, False, [[0, 3, 6], [5, 7, 8]]),
        ([0, 3, 5, 6, 7, 8], 4, False, [[0, 3, 6], [5, 7, 8]]),
        ([5, 0, 6, 1, 3, 8], 1, False, [[5], [0], [6], [1], [3], [8]]),
        ([5, 0, 6, 1, 3, 8], 3, False, [[5, 8], [0, 6, 1], [3]]),
        ([5, 0, 6, 1, 3, 8], 4, False, [[5, 8], [0, 6, 1, 3]]),
        ([5, 0, 6, 1, 3, 8], 3, True, [[0, 6, 1]]),
        ([5, 0, 6, 1, 3, 8], 4, True, [[0, 6, 1, 3]]),
    ],
)
def test_grouped_batches_respect_the_order_within_and_between_groups(indices, batch_size, drop_uneven, expected):
    assert grouped(list(indices), batch_size, drop_uneven) == expected


def test_an_index_that_wraps_around_keeps_both_its_places():
    assert grouped([0, 1, 0], 2) == [[0, 1], [0]]


def test_length_of_random_batches_is_that_of_the_next_pass():
    groups = [random.Random(0).randint(0, 1) for _ in range(100)]
    sampler = GroupedBatchSampler(RandomSampler(range(100)), groups, 3, drop_uneven=True)
    for _ in range(5):
        length = len(sampler)
        assert len(sampler) == length
        assert len(list(sampler)) == length


def test_batches_are_prepared_once_for_length_and_pass_and_anew_afterwards():
    sampler = GroupedBatchSampler(RandomSampler(range(50)), [0] * 50, 5)
    len(sampler)
    prepared = sampler._prepared
    assert list(sampler) == prepared
    assert list(sampler) != prepared


def test_grouping_needs_a_sampler():
    with pytest.raises(ValueError, match=r"must be a torch\.utils\.data\.Sampler"):
        GroupedBatchSampler(range(4), GROUPS, 2)


@pytest.mark.parametrize("batch_size", [2, 3, 4])
@pytest.mark.parametrize("iterations", [4, 10, 20])
@pytest.mark.parametrize("drop_last", [False, True])
def test_iterations_wrap_around_the_data_set(batch_size, iterations, drop_last):
    batches = BatchSampler(SequentialSampler(range(10)), batch_size, drop_last)
    sampler = IterationBasedBatchSampler(batches, iterations)
    result = list(sampler)
    assert len(sampler) == len(result) == iterations
    for i, batch in enumerate(result):
        start = (i % len(batches)) * batch_size
        assert batch == list(range(start, min(start + batch_size, 10)))


@pytest.mark.parametrize("start", [0, 1, 4, 5, 17, 20])
def test_a_resumed_run_sees_the_batches_of_one_that_never_stopped(start):
    def batches(start_iter):
        sampler = DistributedSampler(range(11), 2, 1, seed=5)
        grouped = GroupedBatchSampler(sampler, [*GROUPS, 0], 2)
        return list(SeededBatchSampler(IterationBasedBatchSampler(grouped, 20, start_iter), 7, 1, start_iter))

    assert batches(start) == batches(0)[start:]


def test_a_data_set_without_batches_is_an_error_instead_of_an_endless_loop():
    empty = BatchSampler(SequentialSampler(range(2)), 3, drop_last=True)
    with pytest.raises(ValueError, match="yields no batch"):
        list(IterationBasedBatchSampler(empty, 5))


def test_training_shares_are_equal_and_cover_everything_with_repetitions():
    shares = [list(DistributedSampler(range(10), 4, rank)) for rank in range(4)]
    assert [len(share) for share in shares] == [3] * 4
    assert set(itertools.chain(*shares)) == set(range(10))
    more_processes = [list(DistributedSampler(range(2), 5, rank, shuffle=False)) for rank in range(5)]
    assert more_processes == [[0], [1], [0], [1], [0]]


@pytest.mark.parametrize(("number", "processes"), [(10, 4), (7, 2), (2, 3), (8, 1)])
def test_test_shares_hold_each_index_once_and_differ_by_one_at_most(number, processes):
    samplers = [
        DistributedSampler(range(number), processes, rank, shuffle=False, pad=False) for rank in range(processes)
    ]
    shares = [list(sampler) for sampler in samplers]
    assert list(itertools.chain(*shares)) == list(range(number))
    lengths = [len(share) for share in shares]
    assert lengths == [len(sampler) for sampler in samplers] and max(lengths) - min(lengths) <= 1


def test_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        sampler = DistributedSampler(range(20), 1, 0, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert order(0, 1) != first and order(1, 0) != first and order(1, 0) != order(0, 1)


def test_rank_beyond_the_processes_is_an_error():
    with pytest.raises(ValueError, match="rank 2 is not among 2"):
        DistributedSampler(range(4), 2, 2)


class RandomNumbers:
    kind = "random"

    def __getitem__(self, index):
        return index, random.random(), random.randint(0, 10**9)

    def __len__(self):
        return 10


def test_an_items_chance_depends_on_seed_and_place_only():
    dataset = SeededDataset(RandomNumbers())
    batches = list(SeededBatchSampler(BatchSampler(SequentialSampler(range(10)), 3, False), seed=4))
    keys = [key for batch in batches for key in batch]
    assert [index for index, _ in keys] == list(range(10)) and len({seed for _, seed in keys}) == 10
    random.seed(0)
    first = [dataset[key] for key in keys]
    random.seed(99)
    assert [dataset[key] for key in reversed(keys)] == first[::-1]
    other_rank = next(iter(SeededBatchSampler([[0, 1]], seed=4, rank=1)))
    assert other_rank[0][1] != keys[0][1]


def test_seeding_an_item_leaves_the_global_state_alone():
    dataset = SeededDataset(RandomNumbers())
    random.seed(12)
    expected = random.random()
    random.seed(12)
    dataset[3, 77]
    assert random.random() == expected
    assert dataset.kind == "random" and len(dataset) == 10
