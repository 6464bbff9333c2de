"""Every option has a record: its default is in its range, and it agrees with the table of tasks."""

import pytest

from maskrcnn_benchmark.config import defaults
from maskrcnn_benchmark.config.options import show_default
from maskrcnn_benchmark.tasks.task import TASKS


def test_every_option_has_one_record_in_the_order_of_the_tree():
    keys = [option.key for option in defaults.OPTIONS]
    assert keys == list(dict.fromkeys(keys))
    assert keys == [key for key in defaults._C.keys_of_options() if defaults._C.record_of(key) is not None]


def test_every_default_is_in_its_range():
    assert [option.problem(option.default) for option in defaults.OPTIONS if option.problem(option.default)] == []


def test_every_record_has_a_comment_of_one_line_and_a_section():
    for option in defaults.OPTIONS:
        assert option.comment and option.section, option.key
        assert "\n" not in option.comment
        assert option.range.words and option.range.short


def test_a_file_of_the_package_is_shown_without_the_place_of_the_package():
    (catalog,) = [option for option in defaults.OPTIONS if option.key == "PATHS_CATALOG"]
    assert show_default(catalog.default) == '"maskrcnn_benchmark/config/paths_catalog.py"'


@pytest.mark.parametrize("node", ["LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS"])
def test_every_task_has_its_options(node):
    assert {key.upper() for key in TASKS} == set(defaults._C.MULTITASK[node])


def test_every_loss_has_a_weight():
    losses = [loss.upper() for task in TASKS.values() for loss in task.losses]
    assert sorted(losses) == sorted(defaults._C.MULTITASK.SINGLE_LOSS_WEIGHTS)
