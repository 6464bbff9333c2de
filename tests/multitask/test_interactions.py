"""Gradient conflicts are summed up over a training, and lies in its checkpoint."""

import json
import math

import pytest
import torch
from task_weights import of_tasks

from maskrcnn_benchmark.multitask.interactions import GradientStatistics, Interactions
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.utils.errors import UserError

TASKS = ["part", "semantic", "boundary"]


def test_the_statistics_are_norms_and_cosines_of_the_gradients_that_are_there():
    gradients = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    look = GradientStatistics.of_gramian(gradients @ gradients.T, TASKS)
    assert look.norms == {"part": pytest.approx(5.0), "boundary": pytest.approx(2.0)}
    assert look.cosines == {("part", "boundary"): pytest.approx(-0.8)}


def seen():
    combiner = LossCombiner(of_tasks(TASKS))
    for part, cosine in ((1.0, -0.5), (3.0, 0.1)):
        combiner.interactions.record(
            GradientStatistics({"part": part, "semantic": 2.0}, {("part", "semantic"): cosine}),
        )
    return combiner


def test_the_summary_is_of_means_and_shares_in_plain_lists():
    summary = seen().interactions.summary()
    assert json.loads(json.dumps(summary)).keys() == summary.keys() == {"tasks", "looks", "norm", "cosine", "conflict"}
    assert summary["tasks"] == TASKS and summary["looks"] == [2, 2, 0]
    assert summary["norm"][:2] == [2.0, 2.0] and math.isnan(summary["norm"][2])
    assert summary["cosine"][0][:2] == [1.0, pytest.approx(-0.2)] and summary["cosine"][1][0] == pytest.approx(-0.2)
    assert summary["conflict"][0][1] == summary["conflict"][1][0] == 0.5
    assert math.isnan(summary["cosine"][0][2]) and math.isnan(summary["conflict"][2][1])
    assert LossCombiner(of_tasks(TASKS)).interactions.summary() is None


def test_a_checkpoint_says_it_without_its_config(tmp_path):
    combiner = seen()
    torch.save(combiner.state_dict(), tmp_path / "state.pth")
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    assert str(Interactions.of_state(state).summary()) == str(combiner.interactions.summary())
    assert Interactions.of_state({}) is None and Interactions.of_state({"weighting.scalar": 1.0}) is None


def test_a_state_of_other_tasks_is_the_users_error():
    with pytest.raises(
        UserError, match="trained on the tasks part, semantic, boundary, and this config turns on a, b, c"
    ):
        Interactions(["a", "b", "c"]).load_state_dict(seen().interactions.state_dict())


def test_one_task_alone_is_not_looked_at():
    network = torch.nn.Module()
    network.backbone = torch.nn.Linear(2, 1)
    for weights, looks in (({"part": 1.0}, False), ({"part": 1.0, "semantic": 1.0}, True)):
        combiner = LossCombiner(of_tasks(weights), log_period=1)
        combiner.attach(network)
        combiner.begin()
        features = network.backbone(torch.ones(1, 2)).sum()
        combiner.backward({"loss_part": features})
        assert (combiner.finish().gradients is not None) == looks
        network.zero_grad()
