"""Whether a process is there, by what it said of itself."""

import os
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.processes import is_same_machine, is_there, process_identity, this_process


@pytest.fixture
def dead():
    """What a process said of itself that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {**this_process(), "process": process_identity(process.pid)}
    assert is_there(owner)
    process.communicate(b"\n")
    return owner


def test_this_process_is_there_and_one_that_has_ended_is_not(dead):
    assert is_there(this_process()) is True and is_there(dead) is False


def test_a_process_that_ended_and_was_not_waited_for_is_not_there():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()  # until its end
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity(process.pid) is None
    process.communicate()


def test_another_process_of_the_same_number_is_another():
    owner = this_process()
    if owner["process"]["born"] is None:
        pytest.skip("this system does not say when a process was started")
    owner["process"]["born"] += 1
    assert is_there(owner) is False


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"host": "elsewhere"}, None),  # which cannot be looked at from here
        ({"namespace": "pid:[1]"}, None),  # nor can another container
        ({"boot": "an earlier start of this machine"}, False),
        ({"boot": None, "namespace": None}, True),
        ({"process": None}, False),
        ({"process": {"id": "x"}}, False),
    ],
)
def test_what_can_be_told_from_here(change, known):
    if this_process()["boot"] is None or this_process()["namespace"] is None:
        pytest.skip("this system does not say which start or which numbers are meant")
    assert is_there({**this_process(), **change}) is known


def test_a_container_is_on_the_machine_that_its_kernel_is_on():
    if this_process()["boot"] is None:
        pytest.skip("this system does not say which start is meant")
    assert is_same_machine({**this_process(), "host": "a container", "namespace": "pid:[1]"})
    assert not is_same_machine({**this_process(), "boot": "x"}) and not is_same_machine({"host": "x"})


def test_numbers_that_no_process_has():
    assert [process_identity(number) for number in (0, -1, 2**70, "7")] == [None] * 4
