"""SIGINT and SIGTERM as a polite request: the loop looks at it between two steps."""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets `requested`; the second one acts as it does by default.

    Data loader workers that are forked meanwhile inherit the handler. In them SIGINT is left to the parent, which a
    Ctrl-C reaches too and which still needs its batch, and SIGTERM ends the worker as always.
    """

    def __init__(self):
        self.requested = False
        self._owner = os.getpid()
        self._former = {}

    def __enter__(self):
        for number in SIGNALS:
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception):
        self._restore()

    def _restore(self):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number, frame):
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.requested = True
        self._restore()
