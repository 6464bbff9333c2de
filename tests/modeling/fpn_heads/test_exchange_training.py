"""Training with a task exchange: several processes, gradients by task, schedules."""

import pytest
import torch
from exchange_training import EXCHANGES, main, train


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, in_two_processes):
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("exchange")
    in_two_processes(main, str(folder))
    return [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


@pytest.mark.parametrize("name", EXCHANGES)
def test_two_processes_with_other_labels_train_as_one(ranks, name):
    alone, left = train(name)
    (first, first_left), (second, second_left) = (rank[name] for rank in ranks)
    assert first_left == second_left == left
    for each, weight in alone.items():
        assert first[each].equal(second[each]), each
        torch.testing.assert_close(first[each], weight, atol=1e-5, rtol=1e-4, msg=each)


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_step_without_a_tasks_labels_leaves_what_only_it_reads(name):
    _, left = train(name)
    assert not left[0] and not left[2]  # boundary and semantic labels, each of one image
    of_semantic = {each for each in left[1] if each.startswith("fpn_heads.heads.semantic.")}
    assert {"fpn_heads.heads.semantic.predict.weight", "fpn_heads.heads.semantic.initial.0.predict.bias"} <= of_semantic
    assert "fpn_heads.exchange.out.semantic.weight" in left[1]
    assert not [each for each in left[1] if each.startswith(("fpn_heads.exchange.blocks.", "fpn_heads.trunk."))]


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("place", ["features", "parameters"])
def test_gradients_by_task_that_are_only_added_are_the_plain_sum(name, place):
    """Frozen tasks and an aggregation take each task's gradients apart; with equal weights nothing changes."""
    from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS, Aggregation

    class Plain(Aggregation):
        def forward(self, gramian, keys):
            return torch.ones(len(keys), dtype=torch.float64)

    AGGREGATIONS["plain_of_a_test"] = Plain
    try:
        apart, left = train(name, 0, 1, "MULTITASK.AGGREGATION", "plain_of_a_test", "MULTITASK.GRADIENTS_AT", place)
    finally:
        del AGGREGATIONS["plain_of_a_test"]
    together, expected = train(name)
    assert left == expected
    for each, weight in together.items():
        torch.testing.assert_close(apart[each], weight, atol=1e-5, rtol=1e-4, msg=each)


def test_a_frozen_task_moves_the_exchange_and_not_the_backbone():
    frozen, _ = train("attention", 0, 1, "MULTITASK.FREEZE_TRUNK", ("boundary", "semantic"))
    start, _ = train("attention", 0, 1, "MULTITASK.START.SEMANTIC", 100, "MULTITASK.START.BOUNDARY", 100)
    moved = {each for each, weight in frozen.items() if not weight.equal(start[each])}
    assert moved == {each for each in start if each.startswith("fpn_heads.")}
