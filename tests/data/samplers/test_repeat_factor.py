"""Images that are drawn more often than others: how often over epochs, and the same whoever draws them."""

import itertools
from collections import Counter

import pytest
import torch
from torch.utils.data.sampler import BatchSampler

from maskrcnn_benchmark.data.samplers import (
    MixtureSampler,
    PartOfBatchSampler,
    RepeatFactorSampler,
    SeededBatchSampler,
    WholeBatchSampler,
)

FACTORS = [1.0, 2.25, 1.5, 3.0, 1.0, 1.75]
SIZES = [4, 2]


def epochs_of(sampler, number):
    for epoch in range(number):
        sampler.set_epoch(epoch)
        yield list(sampler)


def test_an_image_comes_as_often_as_its_factor_says_and_the_rest_is_drawn_anew():
    sampler, orders, number = RepeatFactorSampler(FACTORS, seed=3), [], 400
    total = Counter()
    for indices in epochs_of(sampler, number):
        assert len(indices) == len(sampler)
        counts = Counter(indices)
        assert all(counts[i] - int(factor) in ((0, 1) if factor % 1 else (0,)) for i, factor in enumerate(FACTORS))
        total += counts
        orders.append(tuple(indices))
    for i, factor in enumerate(FACTORS):
        deviation = (factor % 1 * (1 - factor % 1) / number) ** 0.5
        assert abs(total[i] / number - factor) <= 4 * deviation
    assert len(set(orders)) > number - 5 and len({len(order) for order in orders}) > 2
    assert list(epochs_of(RepeatFactorSampler(FACTORS, seed=3), 2)) == [list(order) for order in orders[:2]]
    assert list(epochs_of(RepeatFactorSampler(FACTORS, seed=4), 2)) != [list(order) for order in orders[:2]]


@pytest.mark.parametrize("factors", [[0.5], [float("nan")], [float("inf")]])
def test_factors_below_one_are_refused(factors):
    with pytest.raises(ValueError, match="1 or more, and finite"):
        RepeatFactorSampler(factors)


def batches(processes, rank, mixed, start=0):
    sampler = MixtureSampler(SIZES, [1, 2], 1, 0, 3, FACTORS) if mixed else RepeatFactorSampler(FACTORS, 3)
    whole = WholeBatchSampler(sampler, 4, 30, start, [i % 2 for i in range(6)])
    return list(PartOfBatchSampler(SeededBatchSampler(whole, seed=7, start_iter=start), processes, rank))


@pytest.mark.parametrize("mixed", [False, True])
def test_several_processes_see_the_batches_of_one_and_a_resumed_run_those_of_one_that_never_stopped(mixed):
    alone = batches(1, 0, mixed)
    for start in (0, 11):
        parts = [batches(2, rank, mixed, start) for rank in range(2)]
        assert [list(itertools.chain(*pair)) for pair in zip(*parts)] == alone[start:]


def test_in_a_mixture_shares_are_the_ratios_and_within_a_data_set_images_come_by_their_factors():
    sampler = MixtureSampler(SIZES, [3, 1], 1, 0, 3, FACTORS)
    assert len(sampler) == round(sum(FACTORS))
    stream = list(itertools.chain(*epochs_of(sampler, 300)))
    counts = Counter(stream)
    own = [sum(counts[i] for i in part) for part in (range(4), range(4, 6))]
    assert own[0] == pytest.approx(0.75 * len(stream), abs=2)
    for i, factor in enumerate(FACTORS):
        part = FACTORS[:4] if i < 4 else FACTORS[4:]
        assert counts[i] / own[i >= 4] == pytest.approx(factor / sum(part), rel=0.08)
    # going on at an epoch needs none of those before
    late = MixtureSampler(SIZES, [3, 1], 1, 0, 3, FACTORS)
    late.set_epoch(299)
    assert list(late) == stream[-len(late) :]


def test_factors_of_one_leave_a_mixture_as_it_is():
    plain, ones = (MixtureSampler(SIZES, [1, 2], 1, 0, 5, factors) for factors in (None, torch.ones(6)))
    for epoch in range(3):
        plain.set_epoch(epoch)
        ones.set_epoch(epoch)
        assert list(plain) == list(ones)


def test_the_mixture_gives_each_of_several_processes_as_many():
    shares = [list(BatchSampler(MixtureSampler(SIZES, [1, 2], 2, rank, 3, FACTORS), 1, False)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == -(-round(sum(FACTORS)) // 2)
