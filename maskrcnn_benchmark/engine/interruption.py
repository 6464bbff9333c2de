"""A request to stop, taken where it suits: the training loop looks at it between two steps."""

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType

from maskrcnn_benchmark.utils.stop_signals import (
    handled_by,
    leave_the_next_to,
    second_handler,
    set_handlers,
    taken_in_a_fork,
)


class StopRequest:
    """While entered, the first of `utils.stop_signals.SIGNALS` only sets `requested`.

    The second one ends a tool at once; in a program of one's own it does what it did before. A request that nobody has
    answered by an exception when the block ends is raised there, as KeyboardInterrupt. In a thread other than the main
    one no signal is heard, and nothing is ever requested.

    Data loader workers that are forked meanwhile inherit the handler. In them SIGINT and SIGHUP are left to the parent,
    which they reach too and which still needs its batch, and SIGTERM ends the worker as always.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raises = False
        self._owner = os.getpid()
        self._stack = contextlib.ExitStack()
        self._former: dict = {}

    def __enter__(self) -> "StopRequest":
        self._former = self._stack.enter_context(handled_by(self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if not self.requested:
            return
        set_handlers(self._second())
        if kind is None:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """For what may be cut short: within this block a request, also one that came before, is a KeyboardInterrupt."""
        self._raises = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = False

    def _second(self):
        return {number: second_handler(handler) for number, handler in self._former.items()}

    def _handle(self, number, frame):
        if taken_in_a_fork(number, self._owner):
            return
        self.requested = True
        leave_the_next_to(self._second())
        if self._raises:
            raise KeyboardInterrupt
