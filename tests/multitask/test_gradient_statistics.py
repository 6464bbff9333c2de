"""Norms and cosines of the tasks' gradients on the trunk, and their means over a training."""

import io
import math

import pytest
import torch

from maskrcnn_benchmark.multitask.interactions import GradientStatistics, Interactions


def look(tasks, *gradients):
    matrix = torch.tensor(gradients, dtype=torch.float64)
    return GradientStatistics.of_gramian(matrix @ matrix.T, tasks)


def test_norms_and_cosines_by_hand():
    found = look("abc", (3.0, 4.0), (0.0, 2.0), (-1.0, 0.0))
    assert found.norms == pytest.approx({"a": 5, "b": 2, "c": 1})
    assert found.cosines == pytest.approx({("a", "b"): 0.8, ("a", "c"): -0.6, ("b", "c"): 0.0})


def test_a_task_without_a_gradient_is_left_out():
    found = look("abc", (3.0, 4.0), (0.0, 0.0), (6.0, 8.0))
    assert found.norms == pytest.approx({"a": 5, "c": 10}) and list(found.cosines) == [("a", "c")]


def test_a_gradient_that_is_not_finite_is_left_out():
    gramian = torch.tensor([[4.0, math.nan], [math.nan, math.inf]], dtype=torch.float64)
    found = GradientStatistics.of_gramian(gramian, ["a", "b"])
    assert found.norms == {"a": 2.0} and found.cosines == {}


def test_rounding_never_gives_a_cosine_beyond_one():
    gramian = torch.tensor([[1.0, 1.0 + 1e-7], [1.0 + 1e-7, 1.0]], dtype=torch.float64)
    assert GradientStatistics.of_gramian(gramian, ["a", "b"]).cosines == {("a", "b"): 1.0}


def recorded():
    interactions = Interactions(list("abcd"))
    interactions.record(look("abcd", (3.0, 4.0), (0.0, 2.0), (-1.0, 0.0), (0.0, 0.0)))  # ab .8, ac -.6, bc 0
    interactions.record(look("abcd", (1.0, 0.0), (-4.0, 0.0), (0.0, 0.0), (0.0, 0.0)))  # ab -1
    return interactions


def assert_summary(summary):
    nan = pytest.approx(math.nan, nan_ok=True)
    assert (summary["tasks"], summary["looks"]) == (list("abcd"), [2, 2, 1, 0])
    assert summary["norm"] == [3.0, 3.0, 1.0, nan]
    approx = pytest.approx
    assert summary["cosine"] == [
        [1.0, approx(-0.1), approx(-0.6), nan],
        [approx(-0.1), 1.0, approx(0.0), nan],
        [approx(-0.6), approx(0.0), 1.0, nan],
        [nan, nan, nan, 1.0],
    ]
    assert summary["conflict"] == [
        [0.0, 0.5, 1.0, nan],
        [0.5, 0.0, 0.0, nan],
        [1.0, 0.0, 0.0, nan],
        [nan, nan, nan, 0.0],
    ]


def test_the_summary_is_the_mean_over_the_looks_that_had_both_tasks():
    assert_summary(recorded().summary())


def test_without_a_look_there_is_no_summary():
    assert Interactions(["a", "b"]).summary() is None


def test_the_looks_are_in_the_checkpoint():
    file = io.BytesIO()
    torch.save(recorded().state_dict(), file)
    file.seek(0)
    resumed = Interactions(list("abcd"))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert_summary(resumed.summary())
