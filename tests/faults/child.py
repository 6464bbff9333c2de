"""One process under test: forked from this one or a fresh interpreter, watched for waiting, memory and what it leaves.

A fork has everything imported, so that a case costs hundredths of a second and not the seconds of a start; it ends as
an interpreter does. It leads a session of its own and dies with this process.
"""

import atexit
import contextlib
import io
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field

from faults import inside, processes

WAIT = 20.0  # seconds that a process may do nothing, or take to end after it was asked to
GROWTH = 2 << 30  # bytes
_GRACE = 4.0  # seconds for helpers of a process that has ended
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True)
class Limits:
    """What a process may take: seconds in all, seconds without processor time, bytes beyond those at its start."""

    seconds: float = 150.0
    idle: float = WAIT
    growth: int = GROWTH


@dataclass
class Outcome:
    """How a process ended.

    Attributes:
        code: exit code, or minus the signal that killed it.
        seconds: how long it ran.
        growth: bytes of its peak beyond those at its start.
        output: what it said, standard error included.
        stopped: "" or why it had to be killed: a wait or its size.
        outside: changes outside its folders.
        left: number of processes that it left behind.
        value: what the function returned, or None.
    """

    code: int
    seconds: float = 0.0
    growth: int = 0
    output: str = ""
    stopped: str = ""
    outside: list = field(default_factory=list)
    left: int = 0
    value: object = None


class Child:
    """A process that runs a function.

    Args:
        function: called without arguments; what it returns must be small, and goes to `Outcome.value`.
        log: path of a file that takes what it says.
        settings: the `inside.Settings`, or None.
        limits: `Limits`.
        baseline: bytes that it has from the start; by default what a fork begins with.
    """

    def __init__(self, function, log, settings=None, limits=None, baseline=None):
        self.log, self.settings, self.limits = str(log), settings, limits or Limits()
        self.known, self.spent = set(), 0.0
        self.stopped, self.outcome = "", None
        (read, write), (ready, is_ready) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            os.close(ready)
            _be_child(function, self.log, settings, write, is_ready)
        os.close(write)
        os.close(is_ready)
        with open(ready, "rb") as pipe:
            pipe.read()  # its moments are counted from where the tool begins
        self.began = self.active = time.monotonic()
        # what of this process it has in its own tables: files that are mapped are not
        self.baseline = processes.resident(self.pid) if baseline is None else baseline
        self._result = read
        self._handle = os.pidfd_open(self.pid)
        self._looked = self.began

    def kill(self, number=signal.SIGKILL):
        """Send a signal to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def alive(self):
        """Look after the process for a moment; whether it still runs."""
        if self.outcome is not None:
            return False
        if not self._ended(0):
            self._look()
            return True
        self._reap()
        return False

    def pause(self, seconds):
        """Let it run for a while, at most until it ends; returns whether it still runs."""
        end = time.monotonic() + seconds
        while self.outcome is None and (left := end - time.monotonic()) > 0:
            if self._ended(min(left, 0.2)):
                self._reap()
            else:
                self._look()
        return self.outcome is None

    def wait(self, seconds=None):
        """Wait until it ends, at most `seconds` from now, or what its limits allow: `Outcome`."""
        end = time.monotonic() + seconds if seconds is not None else None
        while self.outcome is None:
            if self._ended(0.2):
                self._reap()
                break
            self._look()
            if end is not None and time.monotonic() > end and not self.stopped:
                self._stop(f"did not end within {seconds:.0f} s")
        return self.outcome

    def _ended(self, seconds):
        return bool(select.select([self._handle], [], [], seconds)[0])

    def _look(self):
        now = time.monotonic()
        if self.stopped:
            return
        if processes.resident(self.pid) - self.baseline > self.limits.growth:
            self._stop(f"took more than {self.limits.growth / 2**30:.1f} GiB")
        elif now - self.began > self.limits.seconds:
            self._stop(f"ran for more than {self.limits.seconds:.0f} s")
        elif now - self._looked > 1.0:
            self._looked = now
            family = processes.family(self.pid, self.known)
            self.known |= family.keys()
            if sum(family.values()) > self.spent + 0.2 or sum(family.values()) < self.spent:
                self.spent, self.active = sum(family.values()), now
            elif now - self.active > self.limits.idle:
                self._stop(f"waited for more than {self.limits.idle:.0f} s")

    def _stop(self, why):
        self.stopped = why
        processes.kill_all(processes.family(self.pid, self.known))

    def _reap(self):
        seconds = time.monotonic() - self.began
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._handle)
        with open(self._result, "rb") as pipe:
            # a helper that it left may hold the other end open
            os.set_blocking(self._result, False)
            data = pipe.read() or b""
        left = self._leftovers()
        with open(self.log, errors="replace") as file:
            output = file.read()
        self.outcome = Outcome(
            code=os.waitstatus_to_exitcode(status),
            seconds=seconds,
            growth=max(0, usage.ru_maxrss * 1024 - self.baseline),
            output=output,
            stopped=self.stopped,
            outside=_lines(self.settings.record) if self.settings is not None else [],
            left=left,
            value=_unpickled(data),
        )

    def _leftovers(self):
        if not self.known and not processes.family(self.pid):
            return 0
        left = {}

        def gone():
            left.clear()
            left.update(processes.family(self.pid, self.known))
            return not left

        processes.wait_until(gone, 0 if self.stopped else _GRACE, 0.1)
        processes.kill_all(left)
        return 0 if self.stopped else len(left)

    def end(self):
        """Kill it and its family, if they still run."""
        if self.outcome is None:
            self._stop(self.stopped or "was ended")
            self.wait()


def run(function, log, settings=None, limits=None, **options):
    """Run a function in a `Child`; returns the `Outcome`."""
    child = Child(function, log, settings, limits, **options)
    try:
        return child.wait()
    finally:
        child.end()


def fresh(arguments, environment=(), settings=None):
    """A function for `Child` that becomes a fresh interpreter with these arguments."""

    def become():
        variables = {**os.environ, **dict(environment)}
        if settings is not None:
            place = os.path.join(os.path.dirname(__file__), "startup")
            variables["PYTHONPATH"] = os.pathsep.join([place, variables.get("PYTHONPATH", "")]).rstrip(os.pathsep)
            variables.update(settings.to_environment())
        os.execve(sys.executable, [sys.executable, *arguments], variables)

    return become


def _be_child(function, log, settings, result, is_ready):
    """What a forked process does; never returns."""
    code = 70
    try:
        os.setsid()
        processes.die_with_parent()
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as an interpreter begins
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "w", closefd=False), errors="backslashreplace", write_through=True)
            for number in (1, 2)
        )
        os.set_inheritable(result, False)
        if settings is not None:
            inside.enter(settings)
        os.close(is_ready)
        code = _end_like_interpreter(function, result)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _end_like_interpreter(function, result):
    """Call the function; the exit code that an interpreter would have."""
    code = 0
    try:
        value = function()
        with contextlib.suppress(OSError):
            os.write(result, pickle.dumps(value))
    except SystemExit as end:
        if isinstance(end.code, int):
            code = end.code
        elif end.code is not None:
            print(end.code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # waits for threads that are no daemons
    atexit._run_exitfuncs()  # among them that of multiprocessing, which waits for its processes
    return code


def _lines(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _unpickled(data):
    try:
        return pickle.loads(data) if data else None
    except (pickle.UnpicklingError, EOFError):
        return None
