"""Every option has a record: its default is in its range, and it agrees with the tasks."""

import subprocess
import sys

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.options import show_default
from maskrcnn_benchmark.tasks.task import TASKS


def test_every_option_has_one_record():
    keys = [option.key for option in cfg.records()]
    assert len(keys) == len(set(keys))
    assert sorted(keys) == sorted(cfg.keys_of_options())


def test_the_options_of_tasks_are_in_the_config_with_their_defaults():
    for task in TASKS.values():
        assert cfg.MODEL[task.switch] == (task.key == "detection")
        for option in task.options():
            assert cfg.record_of(option.key) == option and cfg.value_of(option.key) == option.default


def test_every_default_is_in_its_range():
    assert [option.problem(option.default) for option in cfg.records() if option.problem(option.default)] == []


def test_every_record_has_a_comment_of_one_line_and_a_section():
    for option in cfg.records():
        assert option.comment and option.section, option.key
        assert "\n" not in option.comment
        assert option.range.words and option.range.short


def test_a_file_of_the_package_is_shown_without_the_place_of_the_package():
    assert show_default(cfg.record_of("PATHS_CATALOG").default) == '"maskrcnn_benchmark/config/paths_catalog.py"'


@pytest.mark.parametrize("node", ["LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS"])
def test_every_task_has_its_options(node):
    assert {key.upper() for key, task in TASKS.items() if task.losses} == set(cfg.MULTITASK[node])


def test_every_loss_has_a_weight():
    losses = [loss.upper() for task in TASKS.values() for loss in task.losses]
    assert sorted(losses) == sorted(cfg.MULTITASK.SINGLE_LOSS_WEIGHTS)


def test_the_config_is_one_object_that_is_whole_wherever_it_is_first_asked_for():
    code = """
import maskrcnn_benchmark.config as first
assert "torch" not in __import__("sys").modules
from maskrcnn_benchmark.config import *
from maskrcnn_benchmark.config import cfg as again
import maskrcnn_benchmark.engine.inference as engine
assert first.cfg is cfg is again is engine.global_cfg
print(len(cfg.records()), hasattr(first, "nothing"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [str(len(cfg.records())), "False"], done.stderr
