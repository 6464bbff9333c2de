"""Processes as Linux shows them: sessions, sizes, times; and those that may not outlive the suite."""

import contextlib
import ctypes
import os
import signal
import time

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """This process is killed when the one that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans():
    """Processes below this one whose parent has ended become its children, so that they can be found."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def resident(number):
    """Resident bytes of a process; 0 where it is gone."""
    try:
        with open(f"/proc/{number}/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _status(number):
    """(state, parent, session, seconds of processor time) or None."""
    try:
        with open(f"/proc/{number}/stat", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[1]), int(fields[3]), (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return None


def family(leader, known=()):
    """{process id: seconds of processor time} of a process, of all of its session and of all below them.

    Args:
        leader: the process, which leads a session.
        known: ids that were of the family before; their children are, too.
    """
    table = {int(name): _status(name) for name in os.listdir("/proc") if name.isdigit()}
    table = {number: status for number, status in table.items() if status is not None and status[0] not in "ZX"}
    found = {number for number, status in table.items() if number == leader or status[2] == leader or number in known}
    while True:
        more = {number for number, status in table.items() if status[1] in found} - found
        if not more:
            return {number: table[number][3] for number in found}
        found |= more


def children(number):
    """Ids of the processes whose parent it is: sorted list."""
    table = {int(name): _status(name) for name in os.listdir("/proc") if name.isdigit()}
    return sorted(n for n, status in table.items() if status is not None and status[1] == number and status[0] != "Z")


def kill_all(numbers):
    """SIGKILL to each, and to its group where it leads one."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)


def wait_until(condition, seconds, step=0.02):
    """Ask until `condition()` is true; returns what it said last, which is false after that many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(step)
