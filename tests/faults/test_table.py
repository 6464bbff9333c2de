"""The table, the failures and how they are repeated."""

from faults.case import FaultClass
from faults.runner import REPEAT, choose, make_jobs, parse_arguments
from faults.table import Failure, Row, format_failures, format_table


def test_the_table_adds_up():
    rows = [Row("kills.train", 20, tried=20), Row("disk", 5, tried=3, failures=[Failure(1, "a", ["b"])])]
    rows.append(Row("demo", 6, skipped="gradio is not installed"))
    lines = format_table(rows).splitlines()
    assert lines[0].split() == ["class", "planned", "tried", "held", "failed", "seconds"]
    assert lines[2].split() == ["disk", "5", "3", "2", "1", "0"]
    assert lines[3].endswith("skipped: gradio is not installed")
    assert lines[4].split() == ["all", "31", "23", "22", "1", "0"]


def test_alike_failures_are_told_once_with_the_way_to_repeat_them():
    alike = [Failure(case, f"case {case}", [f"a wait of {case} s in 'x{case}'"]) for case in (3, 5)]
    text = format_failures([Row("kills.train", 9, failures=[*alike, Failure(7, "other", ["a trace"])])], 11, REPEAT)
    assert "kills.train 3: case 3 (and 1 alike)" in text and "kills.train 5" not in text
    assert 'make fault-test ARGS="--seed 11 --only kills.train --case 7"' in text


def some_classes():
    return [FaultClass(name, planned, None, chunk=4) for name, planned in (("kills.train", 9), ("disk.train", 2))]


def test_classes_are_named_by_their_beginning():
    assert [each.name for each in choose(some_classes(), "kills")] == ["kills.train"]
    assert len(choose(some_classes(), "")) == 2


def test_every_case_is_a_job_once_in_an_order_of_the_seed():
    classes = some_classes()
    rows = {each.name: Row(each.name, each.planned) for each in classes}
    jobs = make_jobs(classes, rows, parse_arguments(["--seed", "4"]))
    cases = sorted((name, case) for name, numbers in jobs for case in numbers)
    assert cases == [("disk.train", 0), ("disk.train", 1), *(("kills.train", case) for case in range(9))]
    assert jobs == make_jobs(classes, rows, parse_arguments(["--seed", "4"]))


def test_one_case_alone():
    classes = some_classes()[:1]
    rows = {"kills.train": Row("kills.train", 1)}
    assert make_jobs(classes, rows, parse_arguments(["--case", "7"])) == [("kills.train", [7])]
