"""Which tasks take part in an iteration: start, stop, and drawing some."""

from collections import Counter

import pytest

from maskrcnn_benchmark.multitask.task_schedule import TaskSchedule
from maskrcnn_benchmark.utils.errors import UserError


def test_all_tasks_always_by_default():
    schedule = TaskSchedule(["a", "b"])
    assert [schedule.active(iteration) for iteration in (1, 2, 10**9)] == [["a", "b"]] * 3


def test_start_and_stop_are_the_first_and_the_last_iteration():
    schedule = TaskSchedule(["a", "b", "c"], start={"b": 3, "c": 2}, stop={"a": 2, "c": 2})
    active = {iteration: "".join(schedule.active(iteration)) for iteration in range(1, 6)}
    assert active == {1: "a", 2: "ac", 3: "b", 4: "b", 5: "b"}


def test_so_many_tasks_are_drawn_evenly_and_stay_in_order():
    schedule = TaskSchedule(list("abcd"), per_step=2)
    drawn = [schedule.active(iteration, seed=5) for iteration in range(1, 1201)]
    assert all(len(keys) == 2 and keys == sorted(keys) for keys in drawn)
    pairs = Counter("".join(keys) for keys in drawn)
    assert set(pairs) == {"ab", "ac", "ad", "bc", "bd", "cd"}
    assert all(150 < count < 250 for count in pairs.values())


def test_a_draw_depends_on_iteration_and_seed_alone():
    tasks = list("abcdefgh")
    first, again = TaskSchedule(tasks, per_step=3), TaskSchedule(tasks, per_step=3)
    again.active(1, seed=7)
    runs = [[schedule.active(i, seed=1) for i in range(50, 70)] for schedule in (first, again)]
    assert runs[0] == runs[1]
    assert runs[0] != [first.active(i, seed=2) for i in range(50, 70)]


def test_only_tasks_that_run_are_drawn():
    schedule = TaskSchedule(list("abc"), start={"c": 100}, per_step=1)
    assert {key for i in range(1, 60) for key in schedule.active(i)} == {"a", "b"}
    assert {key for i in range(100, 160) for key in schedule.active(i)} == {"a", "b", "c"}


def test_fewer_running_tasks_than_asked_for_all_take_part():
    schedule = TaskSchedule(list("abc"), start={"c": 10}, per_step=2)
    assert schedule.active(1) == ["a", "b"] and len(schedule.active(10)) == 2


def test_no_task_may_be_left():
    assert TaskSchedule(["a"], stop={"a": 3}).active(4) == []


def test_a_task_that_stops_before_it_starts_is_refused():
    with pytest.raises(UserError, match=r"MULTITASK\.STOP\.PART is 4, before MULTITASK\.START\.PART, 5"):
        TaskSchedule(["part"], start={"part": 5}, stop={"part": 4})
    assert TaskSchedule(["part"], start={"part": 5}, stop={"part": 5}).active(5) == ["part"]


def test_a_negative_number_of_tasks_is_refused():
    with pytest.raises(UserError, match=r"MULTITASK\.TASKS_PER_STEP is -1"):
        TaskSchedule(["a"], per_step=-1)
