"""Images of several data sets in given shares: who is drawn how often, when an image comes again, resumed or not."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data.sampler import BatchSampler

from maskrcnn_benchmark.data.samplers import GroupedBatchSampler, IterationBasedBatchSampler, MixtureSampler

MIXTURES = st.lists(st.tuples(st.integers(1, 7), st.sampled_from([0.0, 0.1, 1.0, 2.5, 7.0])), min_size=2, max_size=5)
MIXTURES = MIXTURES.filter(lambda rows: any(ratio for _, ratio in rows))


def stream(sizes, ratios, epochs, processes=1, seed=0):
    """The indices of whole epochs, as all processes together draw them step by step."""
    shares = []
    for rank in range(processes):
        sampler = MixtureSampler(sizes, ratios, processes, rank, seed)
        share = []
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            indices = list(sampler)
            assert len(indices) == len(sampler)
            share += indices
        shares.append(share)
    assert len({len(share) for share in shares}) == 1
    return [index for step in zip(*shares) for index in step]


def source_of(index, sizes):
    return next(k for k, end in enumerate(itertools.accumulate(sizes)) if index < end)


@given(MIXTURES, st.integers(1, 4), st.integers(1, 3))
def test_no_image_comes_twice_before_all_of_its_data_set_came_once(rows, epochs, processes):
    sizes, ratios = zip(*rows)
    indices = stream(sizes, ratios, epochs, processes)
    for k, size in enumerate(sizes):
        own = [index for index in indices if source_of(index, sizes) == k]
        assert set(own) <= set(range(sum(sizes[:k]), sum(sizes[: k + 1])))
        for start in range(0, len(own), size):
            a_pass = own[start : start + size]
            assert len(set(a_pass)) == len(a_pass)


@given(MIXTURES, st.integers(1, 5), st.integers(1, 3))
def test_shares_are_the_ratios_at_the_end_of_every_epoch(rows, epochs, processes):
    sizes, ratios = zip(*rows)
    indices = stream(sizes, ratios, epochs, processes)
    assert len(indices) == epochs * processes * -(-sum(sizes) // processes)
    counts = Counter(source_of(index, sizes) for index in indices)
    for k, ratio in enumerate(ratios):
        share = ratio / sum(ratios)
        assert abs(counts[k] - share * len(indices)) <= share * len(sizes) / 2 + 0.5 + 1e-6
        assert ratio or not counts[k]


@given(MIXTURES, st.integers(1, 3))
def test_several_processes_together_draw_what_one_does(rows, processes):
    sizes, ratios = zip(*rows)
    number = processes * (sum(sizes) // processes)
    if number == sum(sizes):  # otherwise the epoch is longer, to give each as many
        assert stream(sizes, ratios, 3, processes) == stream(sizes, ratios, 3)


def test_the_order_depends_on_seed_and_epoch_and_mixes_the_data_sets():
    def order(seed, epoch):
        sampler = MixtureSampler([30, 10], [1, 3], 1, 0, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    sources = [index >= 30 for index in order(0, 0)]
    assert sum(sources) == 30 and 2 < sum(a != b for a, b in itertools.pairwise(sources)) < 39
    # a pass is shuffled anew
    small = [index for index in order(0, 0) if index >= 30]
    assert small[:10] != small[10:20] and sorted(small[:10]) == sorted(small[10:20]) == list(range(30, 40))


def test_equal_ratios_of_unequal_sets_draw_as_many_of_each():
    indices = stream([100, 20], [1.0, 1.0], 2)
    counts = Counter(index >= 100 for index in indices)
    assert counts == {True: 120, False: 120}
    assert set(Counter(index for index in indices if index >= 100).values()) == {6}
    # 120 of 100: the second pass begins when the first is over
    assert sorted(Counter(index for index in indices if index < 100).values()) == [1] * 80 + [2] * 20


@pytest.mark.parametrize("start", [0, 1, 5, 6, 11, 29])
@pytest.mark.parametrize("grouped", [True, False])
def test_a_resumed_run_sees_the_batches_of_one_that_never_stopped(start, grouped):
    def batches(start_iter):
        sampler = MixtureSampler([7, 4], [1, 2], 2, 1, seed=5)
        batches = GroupedBatchSampler(sampler, [i % 2 for i in range(11)], 2) if grouped else None
        return list(IterationBasedBatchSampler(batches or BatchSampler(sampler, 2, False), 30, start_iter))

    assert batches(start) == batches(0)[start:]
    if grouped:
        assert all(len({index % 2 for index in batch}) == 1 for batch in batches(0))


@pytest.mark.parametrize(
    ("sizes", "ratios", "message"),
    [
        ([3, 4], [1], "2 data sets need as many ratios"),
        ([3, 4], [1, -1], "ratios of 0 or more"),
        ([3, 4], [1, float("inf")], "ratios of 0 or more"),
        ([3, 4], [0, 0], "nothing can be drawn"),
        ([3, 0], [1, 1], "nothing can be drawn"),
    ],
)
def test_ratios_that_nothing_can_be_drawn_by_are_errors(sizes, ratios, message):
    with pytest.raises(ValueError, match=message):
        MixtureSampler(sizes, ratios, 1, 0)


def test_rank_beyond_the_processes_is_an_error():
    with pytest.raises(ValueError, match="rank 2 is not among 2"):
        MixtureSampler([3, 4], [1, 1], 2, 2)
