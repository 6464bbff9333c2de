"""Combining losses: weights, absent tasks, learnt weights."""

import math

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.utils.errors import UserError


def combiner(*options):
    config = cfg.clone()
    config.merge_from_list(["MODEL.SEMANTIC_ON", True, "MULTITASK.LOSS_WEIGHTS.SEMANTIC", 0.5, *options])
    return build_loss_combiner(config)


def losses(**values):
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def test_fixed_weights_add_up_per_task():
    given = losses(loss_objectness=1.0, loss_box_reg=2.0, loss_semantic=4.0)
    total, logs = combiner()(given)
    total.backward()
    assert total.item() == 5.0
    assert {key: value.item() for key, value in logs.items()} == {"detection": 3.0, "semantic": 2.0}
    assert given["loss_semantic"].grad.item() == 0.5
    assert given["loss_box_reg"].grad.item() == 1.0


def test_absent_task_is_absent_not_zero():
    total, logs = combiner()(losses(loss_semantic=4.0))
    assert total.item() == 2.0
    assert list(logs) == ["semantic"]


def test_no_loss_at_all_gives_none():
    assert combiner()({}) == (None, {})


def test_uncertainty_follows_its_formula_and_leaves_absent_tasks_alone():
    module = combiner("MULTITASK.WEIGHTING", "uncertainty")
    total, _ = module(losses(loss_semantic=4.0))
    total.backward()
    assert total.item() == pytest.approx(2.0 / (2 * math.exp(-0.5)) - 0.25)
    assert module.weighting.log_variance["detection"].grad is None
    assert module.weighting.log_variance["semantic"].grad.item() == pytest.approx(-1.0 / math.exp(-0.5) + 0.5)


def test_state_round_trip():
    module = combiner("MULTITASK.WEIGHTING", "uncertainty")
    with torch.no_grad():
        module.weighting.log_variance["semantic"].fill_(1.5)
    other = combiner("MULTITASK.WEIGHTING", "uncertainty")
    other.load_state_dict(module.state_dict())
    assert other.weighting.log_variance["semantic"].item() == 1.5


def test_loss_of_a_task_that_is_off_is_an_error():
    with pytest.raises(KeyError, match="boundary"):
        combiner()(losses(loss_boundary=1.0))


def test_unknown_weighting_names_the_known():
    with pytest.raises(UserError, match="fixed, uncertainty"):
        combiner("MULTITASK.WEIGHTING", "magic")
