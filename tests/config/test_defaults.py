"""Every shipped configuration merges, and every option carries a comment."""

from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg, defaults
from maskrcnn_benchmark.multitask.tasks import TASKS, enabled_tasks

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configuration_merges(path):
    config = cfg.clone()
    config.merge_from_file(path)
    assert enabled_tasks(config)
    assert config.OUTPUT_DIR.endswith(path.stem)


@pytest.mark.parametrize("key", TASKS)
def test_single_task_configurations_turn_on_their_task(key):
    for name in (f"mini_{key}_R_18_FPN", f"e2e_{key}_R_50_FPN_1x"):
        config = cfg.clone()
        config.merge_from_file(Path(__file__).parents[2] / "configs" / "detail" / f"{name}.yaml")
        needed = {key} | ({"detection"} if key in ("instance", "keypoint", "part") else set())
        assert {task.key for task in enabled_tasks(config)} == needed


def test_every_loss_weight_belongs_to_a_task():
    assert {key.upper() for key in TASKS} == set(defaults._C.MULTITASK.LOSS_WEIGHTS)
