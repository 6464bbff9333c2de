"""Two processes give the weights of one with twice the batch, whatever the method and whatever labels either lacks."""

import pytest
import torch
from balanced_processes import HALVES, METHODS, main, train, train_weighted


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, in_two_processes):
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("balanced")
    in_two_processes(main, str(folder))
    return [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one_with_twice_the_batch(ranks, method):
    alone, looks = train(METHODS[method])
    for weights, seen in (rank[method] for rank in ranks):
        assert weights.keys() == alone.keys()
        for name in alone:
            torch.testing.assert_close(weights[name], alone[name], atol=1e-5, rtol=1e-4, msg=f"{method}: {name}")
        assert len(seen) == len(looks)
        for (norms, cosines), (wanted_norms, wanted_cosines) in zip(seen, looks):
            assert norms == pytest.approx(wanted_norms, rel=1e-3)
            assert cosines == pytest.approx(wanted_cosines, abs=1e-3)


def test_portions_in_two_processes_equal_one_with_twice_the_batch(ranks):
    alone, _ = train(())
    for weights, _ in (rank["portions"] for rank in ranks):
        for name in alone:
            torch.testing.assert_close(weights[name], alone[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", HALVES)
def test_halves_of_a_batch_are_those_of_all_processes(ranks, method):
    # every other image, here as there
    alone, _ = train(HALVES[method], portions=4)
    for weights, _ in (rank[method] for rank in ranks):
        for name in alone:
            torch.testing.assert_close(weights[name], alone[name], atol=1e-5, rtol=1e-4, msg=f"{method}: {name}")


def test_classes_that_weigh_differently_give_the_same_step_however_the_batch_is_divided(ranks):
    alone = train_weighted()
    divided = [train_weighted(portions=2), train_weighted(portions=4), *(rank["weighted"][0] for rank in ranks)]
    for weights in divided:
        for name in alone:
            torch.testing.assert_close(weights[name], alone[name], atol=1e-6, rtol=1e-5)


def test_the_processes_hold_the_same_weights_bit_for_bit(ranks):
    for method in (*METHODS, *HALVES):
        (first, _), (second, _) = (rank[method] for rank in ranks)
        assert all(first[name].equal(second[name]) for name in first), method
