"""Two processes train as one, whatever labels either of them lacks."""

import gc
import weakref

import pytest
import torch
import two_processes

from maskrcnn_benchmark.engine.data_parallel import GradientAverage


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, in_two_processes):
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("two")
    in_two_processes(two_processes.main, str(folder))
    return [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


def test_gradients_are_means_with_zero_for_a_rank_that_has_none(ranks):
    for rank in ranks:
        both, second_only, nobody, grid = rank["gradients"]
        assert both.tolist() == [1.5] * 3 and second_only.tolist() == [2.0] * 3 and nobody is None
        assert grid.equal(torch.arange(8.0, dtype=torch.float64).reshape(1, 2, 2, 2) * 1.5)


def test_an_average_that_nobody_holds_leaves_the_parameters_and_its_buffers():
    layer = torch.nn.Linear(3, 2)
    average = GradientAverage([list(layer.parameters())])
    held = weakref.ref(average.buckets[0])
    layer(torch.ones(1, 3)).sum().backward()
    del average
    gc.collect()
    assert held() is None
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.bias.grad.tolist() == [2.0, 2.0]


def test_only_an_average_that_overlaps_sends_before_the_end_of_the_backward_pass(ranks):
    for rank in ranks:
        assert rank["sent_early"] == [(3, 0), (0, 3)]


def test_all_ranks_start_from_rank_0(ranks):
    for rank in ranks:
        weight, mean = rank["broadcast"]
        assert weight.tolist() == [1.0, 1.0] and mean.tolist() == [5.0, 5.0]


def test_running_statistics_are_averaged(ranks):
    assert ranks[0]["batch_norm"] == ranks[1]["batch_norm"] == [0.5, 2.5]


def test_a_bad_loss_on_one_rank_stops_all_with_the_same_message(ranks):
    (first, first_kept), (second, second_kept) = (rank["not_finite"] for rank in ranks)
    assert first == second and first.startswith("loss_semantic is nan on the images 0.5.jpg, nan.jpg;")
    assert first_kept and second_kept


def test_a_rank_without_any_loss_joins_in(ranks):
    first, second = (rank["partial"] for rank in ranks)
    for name in first:
        assert first[name][1].equal(second[name][1]), name
        moved = not first[name][0].equal(first[name][1])
        # a head that no rank used is left alone by momentum and weight decay, too
        assert moved == (not name.startswith("classes")), name


@pytest.mark.parametrize(("portions", "dtype"), two_processes.OVERLAPPED)
def test_gradients_are_sent_while_the_backward_pass_runs_and_two_processes_equal_one(ranks, portions, dtype):
    alone, _ = two_processes.overlapped(0, 1, portions, dtype)
    (first, first_events), (second, second_events) = (rank["overlapped"][portions, dtype] for rank in ranks)
    tolerance = 1e-5 if dtype == "float32" else 2e-3
    for name, weight in alone.items():
        assert first[name].equal(second[name]), name
        torch.testing.assert_close(first[name], weight, atol=tolerance, rtol=tolerance, msg=name)
    # both send the same in the same order, also the one that has no gradient in a head; the first portion sends nothing
    sent = [[event for event in events if event != "first layer"] for events in (first_events, second_events)]
    assert sent[0] == sent[1] and len(sent[0]) == 5
    for events in (first_events, second_events):
        places = [place for place, event in enumerate(events) if event == "first layer"]
        assert places[:-1] == list(range(portions - 1))
        assert places[-1] >= portions - 1 + 3, events  # most buffers are on their way when the first layer is reached


def test_a_model_that_the_caller_wrapped_moves_alike(ranks):
    for rank in ranks:
        ours, wrapped = rank["wrapped"]
        torch.testing.assert_close(ours, wrapped)
    assert ranks[0]["wrapped"][0].equal(ranks[1]["wrapped"][0])


def test_a_stop_on_one_rank_stops_both_and_resuming_is_exact(ranks):
    for rank in ranks:
        message, weights = rank["stopped"]
        assert message.startswith("stopped after iteration 3 of 6")
        assert all(a.equal(b) for a, b in zip(weights, rank["trained"]))


def test_the_main_process_judges_for_all(ranks):
    assert [rank["judged"] for rank in ranks] == [(2, 1, 2, 1)] * 2


def test_a_look_shows_the_mean_losses_of_the_ranks_that_have_them_once(ranks):
    (table,) = ranks[0]["shown"]
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["task", "loss", "weight", "norm", "sema", "clas"],
        ["semantic", "1.5000", "1", "3", ".", "-0.50"],
        ["classification", "4.0000", "0.5", "5", "-0.50", "."],
    ]
    assert ranks[1]["shown"] == []


def test_an_odd_number_of_images_is_tested_once_each(ranks):
    (first, results), (second, nothing) = (rank["tested"] for rank in ranks)
    assert sorted(first + second) == [0, 1, 2, 3, 4] and abs(len(first) - len(second)) == 1
    assert nothing is None
    # cat: image 4 leads and is false, then come 1 and 3; dog: 0 and 2 lead, then comes 4
    assert results["classification"]["metrics"]["mAP"] == pytest.approx((2 / 3 + 1) / 2)
