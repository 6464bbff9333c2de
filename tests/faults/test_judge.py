"""What a good line is, and a good end."""

import pytest

from faults.child import Outcome
from faults.judge import check_end, check_line, trace_end

GOOD = "/data/a.json is damaged; remove it"


def test_a_good_line():
    assert check_line(GOOD, ("a.json",)) == []


@pytest.mark.parametrize(
    "line, problem",
    [
        ("", "says nothing"),
        ("/data/a.json is damaged", "no remedy"),
        ("something is damaged; remove it", "names none of a.json"),
        ("a.json is damaged;\nremove it", "not one line"),
        ("a.json; remove it " + "x" * 5000, "characters"),
    ],
)
def test_lines_that_are_not_good(line, problem):
    assert any(problem in each for each in check_line(line, ("a.json",)))


def test_a_place_in_a_file_is_a_remedy_for_data_alone():
    line = "a.json: entry 3 of 'images' is no dictionary"
    assert check_line(line, ("a.json",), place=True) == []
    assert any("no remedy" in each for each in check_line(line, ("a.json",)))


def test_a_good_end():
    assert check_end(Outcome(0)) == []
    assert check_end(Outcome(2, output=f"error: {GOOD}\n"), codes=(0, 2), names=("a.json",)) == []
    assert check_end(Outcome(130, output="stopped after iteration 3\n"), codes=(0, 130)) == []


@pytest.mark.parametrize(
    "outcome, problem",
    [
        (Outcome(1), "exit code 1, not 0"),
        (Outcome(-11), "signal 11"),
        (Outcome(0, output="Traceback (most recent call last):\nKeyError: 1\n"), "a trace: KeyError: 1"),
        (Outcome(0, growth=3 << 30), "took 3.0 GiB"),
        (Outcome(0, outside=["open /etc/x"]), "outside its folder: open /etc/x"),
        (Outcome(0, left=2), "left 2 process(es)"),
        (Outcome(-9, stopped="waited for more than 20 s"), "waited for more than 20 s"),
        (Outcome(2, output="no line"), "without a line"),
    ],
)
def test_ends_that_are_not_good(outcome, problem):
    assert any(problem in each for each in check_end(outcome))


def test_an_injected_error_wants_its_trace():
    output = "Traceback (most recent call last):\nZeroDivisionError: injected\n"
    assert check_end(Outcome(1, output=output), codes=(1,), trace="ZeroDivisionError") == []
    assert check_end(Outcome(1, output="error: x"), codes=(1,), trace="ZeroDivisionError") != []


def test_where_a_trace_ends():
    output = (
        'Traceback (most recent call last):\n  File "/a/maskrcnn_benchmark/experiments/run.py", line 3, in f\n    g()\n'
        '  File "/usr/lib/json.py", line 9, in g\n    h()\nValueError: bad\n'
    )
    assert trace_end(output) == "ValueError: bad at experiments/run.py:3"
