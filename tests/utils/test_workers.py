"""Calls in worker processes: in order, with errors where they belong, and nobody left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.workers import Workers, kill_workers_at_exit, leave_signals_to_parent, work_through


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


def wait_for_ever(_):
    threading.Event().wait()


@pytest.mark.parametrize("others", [lambda: None, lambda: stop_all(signal.SIGSTOP)], ids=["at work", "standing still"])
def test_an_error_ends_workers_that_would_never_end(end_of, others):
    def main():
        with Workers(wait_for_ever, 2) as pool:
            for number in range(4):
                pool.call(number)
            others()
            return 1 // 0

    code, said = end_of(main)
    assert code == 1 and "ZeroDivisionError" in said


def stop_all(number):
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)


def test_a_killed_worker_ends_a_pool_whose_others_are_at_work(end_of):
    def function(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for_ever(number)

    def main():
        with Workers(function, 2) as pool:
            pool.call(1)
            pool.call(2)
            for _ in range(20):
                pool.call(3)

    code, said = end_of(main)
    assert code == 2 and len(said.splitlines()) == 1 and "SIGKILL" in said and "use fewer workers" in said


def test_a_worker_that_is_killed_amid_its_result_is_noticed():
    def function(_):
        # it is ended while it writes: nobody could read the rest
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return b"a" * 400_000_000

    with pytest.raises(UserError, match="SIGKILL"), Workers(function, 1) as pool:
        pool.call(0)
        list(pool.rest())


class Unreadable(Exception):
    def __init__(self, first, second):
        super().__init__(first)


def test_errors_that_cannot_be_sent_come_in_words_and_all_with_their_trace(end_of):
    def raise_unreadable(_):
        raise Unreadable("what went wrong", 2)

    with pytest.raises(RuntimeError, match="Unreadable: what went wrong"):
        list(work_through(raise_unreadable, [0], 1))
    with pytest.raises(Exception, match="pickle"):
        list(work_through(lambda _: lambda: None, [0], 1))
    code, said = end_of(lambda: list(work_through(raise_unreadable, [0], 1)))
    assert code == 1 and 'raise Unreadable("what went wrong", 2)' in said


def wait_deaf(connection):
    leave_signals_to_parent()
    connection.send(None)
    wait_for_ever(None)


def start_deaf():
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=wait_deaf, args=(there,), daemon=True)
    worker.start()
    here.recv()
    return worker


def test_a_worker_is_deaf_to_signals_and_can_be_killed():
    worker = start_deaf()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker.pid, number)
    worker.kill()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL  # and none of the others


def test_a_process_does_not_wait_at_its_end_for_workers_that_are_deaf(end_of):
    def main():
        kill_workers_at_exit()
        start_deaf()
        return 1 // 0

    code, said = end_of(main)
    assert code == 1 and "ZeroDivisionError" in said


def test_workers_do_not_outlive_a_killed_parent():
    script = (
        "import os, time\n"
        "from maskrcnn_benchmark.utils.workers import Workers\n"
        "pool = Workers(lambda _: os.getpid(), 1)\n"
        "print(*pool.call(0), *pool.rest(), flush=True)\n"  # whichever of the two has it
        "time.sleep(600)\n"
    )
    # the worker holds the other end of the pipe too: it is closed once both are gone
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert worker != parent.pid
    parent.kill()
    assert parent.stdout.read() == ""
    parent.wait()
