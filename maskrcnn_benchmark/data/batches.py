"""Waiting for the batches of a loader: a stop request is heard, a dead worker is named, and none is left behind."""

import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data import DataLoader

from maskrcnn_benchmark.data.handover import REMEDY
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.limits import told_of_limits
from maskrcnn_benchmark.utils.workers import describe_loss, end_processes, kill_workers_at_exit

_POLL_SECONDS = 0.5
_SHUTDOWN_SECONDS = 5
_SECONDS_TO_BE_SEEN = 1

# How PyTorch begins what it says of a worker that has ended. It may say so anywhere in this thread, for its source is
# the signal of a child's end
_OF_LOST_WORKER = "DataLoader worker (pid"


class StopWaiting(Exception):
    """A stop was asked for, and the batch that was waited for had not come."""


class Batches:
    """Iterates over a loader once. Used as a context, in the main thread, around all that is done with the batches.

    An error within the context ends the loader's worker processes, whatever they are at. Otherwise they stay for the
    loader's next iteration if it keeps them; whoever made the loader ends them by `end_workers`.

    Args:
        loader: a `DataLoader`, or any other iterable. Workers are those of a `DataLoader`; without any, a batch is made
            in `next` itself.
        wants_stop: function without arguments: is a stop asked for? It is called while a batch is waited for.
        patience: seconds for which a batch is waited for then, as others may need this process to go on.

    Raises:
        StopWaiting: in `next`, as said.
        UserError: a worker has ended, or a limit of the system is reached.
    """

    def __init__(
        self, loader: Iterable[Any], wants_stop: Callable[[], bool] = lambda: False, patience: float = 0.0
    ) -> None:
        self.loader: Any = loader
        self._wants_stop = wants_stop
        self._patience = patience
        self._iterator: Any = None
        self._processes: list[Any] = []
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # Of a `SimpleQueue` a wait with a limit has none any more when a signal's handler outlasts it (CPython 3.11)
        self._taken: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def __enter__(self) -> "Batches":
        kill_workers_at_exit()
        others = set(multiprocessing.active_children())
        try:
            with told_of_limits(REMEDY):
                _try_locks(self.loader)
                self._iterator = iter(self.loader)
            self._processes = _workers_of(self._iterator)
            if self._processes:
                arguments = self._iterator, self._wanted, self._taken
                threading.Thread(target=_take, args=arguments, name="batches", daemon=True).start()
            return self
        except RuntimeError as error:  # the first batches are asked for already, and a worker may have ended since
            told = _loss_in_words(error)
            if told is None:
                raise
            with _deaf_to_ends_of_children():  # another that ends would raise the next error, anywhere
                end_processes([child for child in multiprocessing.active_children() if child not in others])
            raise told from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._wanted.put(False)
        lost = [each for each in self._processes if not each.is_alive()]
        if kind is not None and self._processes:
            _end(self.loader, self._iterator)
        told = _loss_in_words(error, lost)
        if told is not None:
            raise told from None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self.loader)

    def __next__(self) -> Any:
        if not self._processes:
            return next(self._iterator)
        self._wanted.put(True)
        batch, error = self._wait()
        try:
            if error is not None:
                raise self._told(error)
            return batch
        finally:
            del error  # it holds this frame by its trace

    def _told(self, error: BaseException) -> BaseException:
        """The error to raise for one of taking a batch: a killed worker also takes the way to what it had sent."""
        if isinstance(error, EOFError | OSError):
            # its files are closed a moment before it is seen to have ended
            ended = wait([process.sentinel for process in self._processes], _SECONDS_TO_BE_SEEN)
            for process in self._processes:
                if process.sentinel in ended:
                    process.join(_SECONDS_TO_BE_SEEN)
                    return UserError(describe_loss(process, REMEDY))
        return error

    def _wait(self) -> tuple[Any, Any]:
        asked = None
        while True:
            try:
                return self._taken.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not self._wants_stop():
                    continue
            asked = time.monotonic() if asked is None else asked
            if time.monotonic() - asked >= self._patience:
                raise StopWaiting


def _take(iterator, wanted, taken):
    """Take a batch each time that one is wanted; in a thread of its own, for nothing can end the wait for a worker."""
    while wanted.get():
        try:
            found = next(iterator), None
        except BaseException as error:  # for whoever waits, in the other thread
            found = None, error
        taken.put(found)
        del found  # the batch is its taker's alone


@contextlib.contextmanager
def ending_workers(*loaders: Any) -> Iterator[None]:
    """End the loaders' worker processes at the end of this context; for whoever made the loaders.

    Raises `UserError` where a worker ends before.
    """
    try:
        yield
    except RuntimeError as error:
        told = _loss_in_words(error)
        if told is None:
            raise
        raise told from None
    finally:
        for loader in loaders:
            end_workers(loader)


def end_workers(loader: Any) -> None:
    """End the worker processes that a `DataLoader` has kept, at once; it starts others when it is used again."""
    iterator = getattr(loader, "_iterator", None)
    if _workers_of(iterator):
        _end(loader, iterator)


def _try_locks(loader: Any) -> None:
    """Raise what the system raises if it has no room for a loader's locks: PyTorch's iterator fails at its end, too."""
    if isinstance(loader, DataLoader) and loader.num_workers and getattr(loader, "_iterator", None) is None:
        context = loader.multiprocessing_context or multiprocessing
        _ = [context.Queue() for _ in range(loader.num_workers + 1)], context.Event()


def _workers_of(iterator: Any) -> list[Any]:
    """The processes of a `DataLoader`'s iterator, which PyTorch offers nothing public for; [] of any other one."""
    return list(getattr(iterator, "_workers", []))


def _end(loader: Any, iterator: Any) -> None:
    with _deaf_to_ends_of_children():
        end_processes(_workers_of(iterator), _SHUTDOWN_SECONDS)
        # It joins the thread that pins memory, which a worker's half message can hold for ever: in a thread, too
        rest = threading.Thread(target=iterator._shutdown_workers, daemon=True)
        rest.start()
        rest.join(_SHUTDOWN_SECONDS)
    if getattr(loader, "_iterator", None) is iterator:
        loader._iterator = None  # what PyTorch keeps for the next time


def _loss_in_words(error: BaseException | None, lost: Sequence[Any] = ()) -> UserError | None:
    """The `UserError` for what PyTorch raises when a worker has ended; None for any other error.

    Args:
        error: an exception or None.
        lost: the processes that have ended, where they are known.
    """
    if not (isinstance(error, RuntimeError) and str(error).startswith(_OF_LOST_WORKER)):
        return None
    return UserError(describe_loss(lost[0], REMEDY) if lost else f"{str(error).split('. ')[0]}: {REMEDY}")


@contextlib.contextmanager
def _deaf_to_ends_of_children() -> Iterator[None]:
    """PyTorch's handler would raise an error for a worker that is ended here."""
    handler = signal.getsignal(signal.SIGCHLD)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
