"""The table of tasks is consistent with itself and with the options."""

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.tasks import TASKS, enabled_tasks, task_of_loss


def test_eight_tasks_with_their_own_losses():
    assert list(TASKS) == [
        "detection",
        "instance",
        "keypoint",
        "part",
        "semantic",
        "boundary",
        "occlusion",
        "classification",
    ]
    losses = [loss for task in TASKS.values() for loss in task.losses]
    assert len(losses) == len(set(losses))
    assert all(loss.startswith("loss_") for loss in losses)


def test_loss_finds_its_task():
    assert task_of_loss("loss_objectness").key == "detection"
    assert task_of_loss("loss_occlusion_direction").key == "occlusion"
    with pytest.raises(KeyError, match="loss_saliency"):
        task_of_loss("loss_saliency")


def test_switches_choose_the_tasks():
    config = cfg.clone()
    assert [task.key for task in enabled_tasks(config)] == ["detection"]
    config.merge_from_list(["MODEL.DETECTION_ON", False, "MODEL.BOUNDARY_ON", True])
    assert [task.key for task in enabled_tasks(config)] == ["boundary"]
