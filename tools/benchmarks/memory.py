"""Memory of processes (Linux), and running a function in a process that holds nothing else."""

import multiprocessing
import os
import threading
from contextlib import suppress
from pathlib import Path

MIB = 2**20
# Looking costs the process that is looked at: its pages are counted one by one meanwhile
_SAMPLING_SECONDS = 0.2
_WATCHING_SECONDS = 0.5


def in_fresh_process(function, *args, watch=False):
    """Call a function of a module in a new process that has imported that module and the main one.

    Returns:
        what it returns; with `watch` a pair of that and of the MiB that the process and its children held at their
        peak, libraries included.

    Raises what the function raises, and `RuntimeError` if its process dies.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, args))
    process.start()
    sender.close()
    peak = 0.0
    try:
        while watch and not receiver.poll(_SAMPLING_SECONDS):
            peak = max(peak, tree_mib(process.pid))
        succeeded, value = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__}: its process ended with code {process.exitcode}") from None
    except BaseException:
        process.terminate()
        raise
    process.join()
    if not succeeded:
        raise value
    return (value, peak) if watch else value


def _answer(sender, function, args):
    try:
        sender.send((True, function(*args)))
    except Exception as error:
        sender.send((False, error))


def tree_mib(pid):
    """MiB that a process holds and its descendants hold alone; what they share with it counts once."""
    total, descendants = _figures(pid).get("Rss", 0), _children(pid)
    while descendants:
        child = descendants.pop()
        descendants += _children(child)
        total += _private(_figures(child))
    return total / 1024


class PeakMemory:
    """Greatest memory of this process and its descendants together while entered: `mib`, see `tree_mib`."""

    def __init__(self):
        self.mib = 0.0
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._watcher.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._watcher.join()

    def _watch(self):
        while True:
            self.mib = max(self.mib, tree_mib(os.getpid()))
            if self._done.wait(_WATCHING_SECONDS):
                return


def own_mib():
    """MiB of changeable memory that this process shares with no other."""
    return _figures("self")["Private_Dirty"] / 1024


class Growth:
    """How much memory a block takes: `mib` is the peak within the block less what the process held before it."""

    def __enter__(self):
        self._before = _figures("self")["Rss"] / 1024
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
        return self

    def __exit__(self, *error):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        self.mib = max(int(peak.split()[1]) / 1024 - self._before, 0.0)


def _private(figures):
    return figures.get("Private_Dirty", 0) + figures.get("Private_Clean", 0)


def _figures(pid):
    """{name: KiB} of /proc/PID/smaps_rollup; {} for a process that has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
        return {name.rstrip(":"): int(number) for name, number, *_ in map(str.split, lines)}
    return {}


def _children(pid):
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text(encoding="utf-8").split()]
    return found
