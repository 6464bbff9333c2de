"""Working through images in several processes, with the results in order."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from maskrcnn_benchmark.utils.errors import UserError

_JOBS_PER_WORKER = 3  # that wait to be taken: enough to keep a worker busy, little enough to hold in memory


def work_through(function, jobs, workers):
    """Yield `function(job)` of each job, in order.

    Args:
        function: called in worker processes; what it holds on to is handed to them once.
        jobs: list of arguments.
        workers: number of processes; 0 works here.

    Raises what the function raises.
    """
    if not workers:
        yield from map(function, jobs)
        return
    # A garbage collection in a fork would touch, and so copy, all pages of what the function holds
    gc.collect()
    gc.freeze()
    # forked workers share that with this process; elsewhere it is sent to them
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start, (function,))
    waiting = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(_work, job))
            if len(waiting) > _JOBS_PER_WORKER * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError("a worker was ended from outside, most likely for lack of memory: use fewer workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        gc.unfreeze()


_function = None


def _start(function):
    """Make this process a worker, which leaves an interruption to its parent and does not outlive it."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(job):
    return _function(job)
