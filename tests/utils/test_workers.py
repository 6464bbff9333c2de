"""Calls in worker processes: in order, with errors where they belong, and nobody left behind."""

import os
import signal
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.workers import Workers, work_through


def square(number):
    if number < 0:
        raise UserError(f"{number} is negative")
    return number**2


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_jobs(workers):
    numbers = [7, 0, 3, 3, 9, 1] * 5
    assert list(work_through(square, numbers, workers)) == [number**2 for number in numbers]
    assert list(work_through(square, [], workers)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_call_is_raised_here_after_the_results_before_it(workers):
    results = work_through(square, [1, 2, -3, 4], workers)
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(UserError, match="-3 is negative"):
        next(results)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_call_is_answered_once_by_call_or_rest(workers):
    with Workers(pow, workers) as pool:
        results = [result for number in range(20) for result in pool.call(number, 2)]
        results += pool.rest()
        assert list(pool.rest()) == []
    assert results == [number**2 for number in range(20)]


def test_a_killed_worker_is_no_mystery():
    with pytest.raises(UserError, match="use fewer workers"):
        list(work_through(lambda _: os.kill(os.getpid(), signal.SIGKILL), [1], 1))


def test_workers_do_not_outlive_a_killed_parent():
    script = (
        "import os, time\n"
        "from maskrcnn_benchmark.utils.workers import Workers\n"
        "pool = Workers(lambda _: os.getpid(), 1)\n"
        "pool.call(0)\n"
        "print(next(pool.rest()), flush=True)\n"
        "time.sleep(600)\n"
    )
    # the worker holds the other end of the pipe too: it is closed once both are gone
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert worker != parent.pid
    parent.kill()
    assert parent.stdout.read() == ""
    parent.wait()
