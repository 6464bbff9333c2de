"""The defaults agree with the table of tasks."""

from maskrcnn_benchmark.config import defaults
from maskrcnn_benchmark.multitask.tasks import TASKS


def test_every_loss_weight_belongs_to_a_task():
    assert {key.upper() for key in TASKS} == set(defaults._C.MULTITASK.LOSS_WEIGHTS)
