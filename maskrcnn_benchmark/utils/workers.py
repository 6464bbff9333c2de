"""Worker processes that all call one function, with the results in order."""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

import cv2
import torch

from maskrcnn_benchmark.utils.errors import UserError

# Calls per worker that may wait to be taken: enough to keep it busy, little enough to hold in memory
_BACKLOG = 4


class Workers:
    """Calls a function in other processes. Used as a context; results come in the order of the calls.

    Workers leave interruptions to this process and do not outlive it.

    Args:
        function: what it holds on to is handed to the workers once; where processes are forked, they share it.
        workers: number of processes; 0 calls it in this one.
    """

    def __init__(self, function, workers):
        self._function = function
        self._pool = None
        self._waiting = deque()
        self._limit = _BACKLOG * workers
        self._threads = cv2.getNumThreads()
        if workers:
            # A garbage collection in a fork would touch, and so copy, all pages of what the function holds; and a fork
            # would wait for OpenCV's threads, which do not live on in it
            gc.collect()
            gc.freeze()
            cv2.setNumThreads(1)
            method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
            self._pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start, (function,))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            gc.unfreeze()
            cv2.setNumThreads(self._threads)

    def call(self, *arguments):
        """Call the function. Returns the results, of this and earlier calls, for which there is no more room to wait.

        Returns:
            list, often of one result.

        Raises what the function raised in one of those calls, and `UserError` if a worker was killed.
        """
        if self._pool is None:
            return [self._function(*arguments)]
        with _told_of_lost_workers():
            self._waiting.append(self._pool.submit(_work, *arguments))
        return [self._take() for _ in range(len(self._waiting) - self._limit)]

    def rest(self):
        """Yield the results of all calls that were not returned yet; raises as `call`."""
        while self._waiting:
            yield self._take()

    def _take(self):
        with _told_of_lost_workers():
            return self._waiting.popleft().result()


def work_through(function, jobs, workers):
    """Yield `function(job)` of each job, in order, from that many worker processes; see `Workers`."""
    with Workers(function, workers) as pool:
        for job in jobs:
            yield from pool.call(job)
        yield from pool.rest()


@contextlib.contextmanager
def _told_of_lost_workers():
    try:
        yield
    except BrokenProcessPool:
        raise UserError("a worker was ended from outside, most likely for lack of memory: use fewer workers") from None


_function = None


def _start(function):
    """Make this process a worker, for which one processor core is enough."""
    global _function
    _function = function
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(*arguments):
    return _function(*arguments)
