"""SIGINT, SIGTERM and SIGHUP as one kind of request to stop: what a tool of this package does about it, and when.

Ctrl-C, a batch system and a terminal that is closed ask for the same thing, and are told apart nowhere.

- While a tool is imported there is nothing to put in order: it ends at once, with a line (`end_at_once`).
- From then on the request is raised as KeyboardInterrupt, so that each `with` and `finally` is run (`raised`).
- Where that would lose work, whoever knows the next good moment takes it (`engine.interruption.StopRequest`).

The second request ends the process at once, by the signal's default action, also amid a call into a library that lets
Python's handlers wait. A signal that is ignored when the tool starts stays ignored: for SIGHUP that is what nohup does.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
STOPPED = 130  # the exit code after a request to stop, whichever signal it came by
LINE = "interrupted"

# One wish may come twice: `timeout` signals its command and then its whole group, a launcher passes on a Ctrl-C that
# the terminal sent to its children, too. What follows the first this closely is no second wish.
_ECHO_SECONDS = 0.2
_AGAIN_SECONDS = 0.05


def heard() -> list:
    """Those of `SIGNALS` that Python code may take in this process: ignored ones stay ignored."""
    return [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextlib.contextmanager
def handled_by(handler: Callable) -> Iterator[dict]:
    """Let `handler(number, frame)` take the signals that are heard, and put the former handlers back.

    Yields {number: former handler}; in a thread other than the main one, which Python lets set no handler, {}.
    """
    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.signal(number, handler) for number in heard()}
    try:
        yield former
    finally:
        set_handlers(former)


def set_handlers(handlers: dict) -> None:
    """Set {number: handler}."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def leave_the_next_to(handlers: dict) -> None:
    """Called by a handler that has taken the first request: let {number: handler} take the second."""
    set_handlers(dict.fromkeys(handlers, signal.SIG_IGN))
    time.sleep(_ECHO_SECONDS)
    set_handlers(handlers)


def taken_in_a_fork(number: int, owner: int) -> bool:
    """Whether a handler runs in a child that inherited it from the process `owner`; the signal is dealt with then.

    SIGTERM ends a child as always. The others reach it along with its parent, which may still need it.
    """
    if os.getpid() == owner:
        return False
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return True


def second_handler(handler: Callable | int) -> Callable | int:
    """Who takes the second request where `handler` would have taken the first: nobody, if that is a tool's."""
    return signal.SIG_DFL if isinstance(handler, _Raising) else handler


class _Raising:
    """Raises the first request."""

    def __init__(self) -> None:
        self.asked = False
        self._owner = os.getpid()
        self._numbers = heard()

    def __call__(self, number: int, frame: Any) -> None:
        if taken_in_a_fork(number, self._owner):
            return
        self.asked = True
        leave_the_next_to(dict.fromkeys(self._numbers, signal.SIG_DFL))
        raise KeyboardInterrupt

    def again(self) -> None:
        """Raise the request once more, a moment from now: where it was raised nothing comes through."""
        former = signal.getsignal(signal.SIGINT)

        def handle(number, frame):
            signal.signal(signal.SIGINT, former)
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, handle)
        timer = threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main)
        timer.daemon = True
        timer.start()


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within the block the first request is a KeyboardInterrupt, and the second ends the process at once."""
    handler, former_hook = _Raising(), sys.unraisablehook

    def hook(unraisable):
        # a __del__ or a callback of the garbage collector lets no exception through
        if handler.asked and unraisable.exc_type is KeyboardInterrupt:
            handler.again()
        else:
            former_hook(unraisable)

    with handled_by(handler) as former:
        if former:
            sys.unraisablehook = hook
        try:
            yield
        finally:
            sys.unraisablehook = former_hook


def end_at_once() -> None:
    """From now on a request ends this process with a line and without a trace: for a tool that is being imported."""
    owner = os.getpid()

    def handle(number, frame):
        if not taken_in_a_fork(number, owner):
            os.write(2, f"{LINE}\n".encode())
            os._exit(STOPPED)

    set_handlers(dict.fromkeys(heard(), handle))


def end_at_once_in_tools() -> None:
    """`end_at_once`, if the program that imports this package is a script of its tools/; any other is left alone.

    So is one of somebody's own that lies there, as those of the original's users do: unlike the package's, it does not
    hand itself to `run_tool`, which takes the signals over.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    package = Path(__file__).resolve().parents[1]
    if not program or threading.current_thread() is not threading.main_thread():
        return
    script = Path(program).resolve()
    if script.parent not in (package / "tools", package.parent / "tools"):
        return
    if script.is_file() and b"run_tool(main)" in script.read_bytes():  # typed into Python, it is none
        end_at_once()
