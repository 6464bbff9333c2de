"""Making the next items of an iterator while the present ones are worked on."""

import queue
import threading
import time
from collections.abc import Generator
from typing import Any

_END = object()
_SECONDS_TO_END = 5


def prefetch(items: Generator[Any, None, None], count: int) -> Generator[Any, None, None]:
    """The items of an iterator, of which a thread makes up to `count` in advance.

    For items whose making leaves Python's lock, as the decoding of images does. An error of the iterator is raised
    where its item would have come. Whoever stops early ends the thread by closing this generator. A thread that is at
    an item then is waited for, though not for ever: what it reads may never come, and nothing can end it.

    Args:
        items: an iterator that nobody else uses.
        count: how many may wait, at least 1.
    """
    made, stopped = queue.Queue[Any](count), threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, stopped), daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        given_up = time.monotonic() + _SECONDS_TO_END
        while thread.is_alive() and time.monotonic() < given_up:  # it may wait for a free place
            while not made.empty():
                made.get()
            thread.join(0.01)


def _make(items, made, stopped):
    try:
        for item in items:
            made.put((item, None))
            if stopped.is_set():
                items.close()
                return
        made.put((_END, None))
    except BaseException as error:  # for whoever waits, in the other thread
        made.put((None, error))
