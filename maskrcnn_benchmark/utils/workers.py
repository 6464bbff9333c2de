"""Worker processes that all call one function, with the results in order."""

import contextlib
import functools
import gc
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

import cv2
import torch

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.limits import told_of_limits
from maskrcnn_benchmark.utils.stop_signals import SIGNALS

# Calls per worker that may wait to be taken: enough to keep it busy, little enough to hold in memory
_BACKLOG = 4

# Calls per worker that are on their way: the one that it is at and the next
_CALLS = 2


class Workers:
    """Calls a function in other processes. Used as a context; results come in the order of the calls.

    Workers leave interruptions to this process and do not outlive it. At the end of the context they are killed, for
    what they were doing is not wanted any more: an error ends the context at once, whatever a worker is at.

    Each worker has a pipe of its own, and here threads that talk to it: nothing is shared that a killed worker could
    leave locked, and the end of its pipe tells that it is gone.

    Args:
        function: what it holds on to is handed to the workers once; where processes are forked, they share it.
        workers: number of processes; 0 calls it in this one. They start with the first call.
    """

    def __init__(self, function: Callable[..., Any], workers: int) -> None:
        self._function = function
        self._workers = workers
        self._waiting: deque[Future] = deque()
        self._limit = _BACKLOG * workers
        self._processes: list[BaseProcess] = []
        self._free: queue.SimpleQueue[_Line] = queue.SimpleQueue()
        self._threads: Any = None
        self._cv2_threads = cv2.getNumThreads()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._threads is None:
            return
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)  # the pipes are closed now, so nobody waits
        end_processes(self._processes)
        gc.unfreeze()
        cv2.setNumThreads(self._cv2_threads)

    def call(self, *arguments: Any) -> list:
        """Call the function. Returns the results, of this and earlier calls, that are there or have no room to wait.

        Returns:
            list, often of one result.

        Raises what the function raised in one of those calls, and `UserError` if a worker was killed.
        """
        if not self._workers:
            return [self._function(*arguments)]
        if self._threads is None:
            self._start()
        self._waiting.append(self._threads.submit(self._ask, arguments))
        results = []
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > self._limit):
            results.append(self._waiting.popleft().result())
        return results

    def rest(self) -> Iterator[Any]:
        """Yield the results of all calls that were not returned yet; raises as `call`."""
        while self._waiting:
            yield self._waiting.popleft().result()

    def _start(self):
        # A garbage collection in a fork would touch, and so copy, all pages of what the function holds; and a fork
        # would wait for OpenCV's threads, which do not live on in it
        gc.collect()
        gc.freeze()
        cv2.setNumThreads(1)
        kill_workers_at_exit()
        self._threads = ThreadPoolExecutor(_CALLS * self._workers)
        context = multiprocessing.get_context(start_method())
        lines = []
        with told_of_limits("use fewer workers"):
            for _ in range(self._workers):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(self._function, there), daemon=True)
                process.start()
                there.close()  # before the next one is forked: no other process holds this end open
                self._processes.append(process)
                lines.append(_Line(process, here))
        for line in lines * _CALLS:
            self._free.put(line)

    def _ask(self, arguments):
        """One call, in a thread: there are no more threads than calls that the workers take, so that a line is free."""
        line = self._free.get()
        try:
            succeeded, result = line.ask(arguments)
        finally:
            self._free.put(line)
        if succeeded:
            return result
        error, trace = result
        raise error from _WorkerTrace(trace)


class _Line:
    """The pipe to a worker; while that is at one call, the next one is sent, so that it need not wait."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection
        self._sending, self._receiving = threading.Lock(), threading.Lock()

    def ask(self, arguments: tuple) -> tuple[bool, Any]:
        try:
            # The turn to receive is taken before that to send is given away: replies come in the order of the calls
            with self._sending:
                self._connection.send(arguments)
                self._receiving.acquire()
            try:
                return self._connection.recv()
            finally:
                self._receiving.release()
        except (EOFError, ConnectionError):
            self._process.join(1)
            raise UserError(describe_loss(self._process, "use fewer workers")) from None


def work_through(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yield `function(job)` of each job, in order, from that many worker processes; see `Workers`."""
    with Workers(function, workers) as pool:
        for job in jobs:
            yield from pool.call(job)
        yield from pool.rest()


def start_method() -> str:
    """How worker processes start: as forks, which share what this process holds in memory, where there are any."""
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


def describe_loss(process: BaseProcess, remedy: str) -> str:
    """One line on a worker, a `Process`, that has ended although nobody asked it to."""
    code = process.exitcode
    if code is None or code >= 0:
        return f"worker {process.pid} has ended by itself (exit code {code}); its last lines say why"
    name = signal.Signals(-code).name
    if code == -signal.SIGKILL:
        return f"worker {process.pid} was ended from outside ({name}), most likely for lack of memory: {remedy}"
    return f"worker {process.pid} was ended by {name}: {remedy}"


def end_processes(processes: Sequence[BaseProcess], seconds: float = 5) -> None:
    """Kill processes, and wait for their end as long as the system may take."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join(seconds)


def leave_signals_to_parent() -> None:
    """Make this process one that ends with its parent, or is killed by it, and is deaf to all else.

    A Ctrl-C, torchrun and batch systems send their signal to all processes at once, but the parent still needs its
    workers to end in good order. Such a parent calls `kill_workers_at_exit`.

    Called in the main thread of a process of `multiprocessing`.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def kill_workers_at_exit() -> None:
    """Kill what daemonic processes of `multiprocessing` there still are when this process ends.

    Python sends them a SIGTERM then and waits for their end, which would not come: they are deaf to it, stand still, or
    are within a library. Nothing can tell them who sent it, for it may come to any thread that a library has started.
    """
    _kill_at_exit_of(os.getpid())


@functools.cache
def _kill_at_exit_of(pid):  # a fork has to ask anew
    Finalize(None, _kill_workers, exitpriority=0)  # before Python waits, also in a process of multiprocessing


def _kill_workers():
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise an error
    end_processes([process for process in multiprocessing.active_children() if process.daemon])


def _serve(function, connection):
    """Serve calls until the process is ended. One processor core is enough for it."""
    torch.set_num_threads(1)
    leave_signals_to_parent()
    with contextlib.suppress(EOFError):
        while True:
            arguments = connection.recv()
            try:
                reply = ForkingPickler.dumps((True, function(*arguments)))
            except Exception as error:
                reply = _refusal(error)
            connection.send_bytes(reply)


def _refusal(error):
    """A pickled reply for an error, which comes with the trace that it has here."""
    trace = "".join(traceback.format_exception(error))
    try:
        reply = ForkingPickler.dumps((False, (error, trace)))
        ForkingPickler.loads(reply)  # some errors can be written and not read
    except Exception:
        reply = ForkingPickler.dumps((False, (RuntimeError(f"{type(error).__name__}: {error}"), trace)))
    return reply


class _WorkerTrace(Exception):
    """The trace of an error in the worker that it comes from; shown above the one of this process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
