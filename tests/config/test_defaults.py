"""The defaults agree with the table of tasks."""

import pytest

from maskrcnn_benchmark.config import defaults
from maskrcnn_benchmark.multitask.tasks import TASKS


@pytest.mark.parametrize("node", ["LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS"])
def test_every_task_has_its_options(node):
    assert {key.upper() for key in TASKS} == set(defaults._C.MULTITASK[node])


def test_every_loss_has_a_weight():
    losses = [loss.upper() for task in TASKS.values() for loss in task.losses]
    assert sorted(losses) == sorted(defaults._C.MULTITASK.SINGLE_LOSS_WEIGHTS)
