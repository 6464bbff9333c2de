"""What a device does during a piece of work: its time, its memory, its kernels, and where the host waits for it."""

import os
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torchvision
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import maskrcnn_benchmark
from benchmarks import timing
from benchmarks.memory import Growth
from benchmarks.timing import wait_for

MIB = 2**20
SYNCHRONISES = "called a synchronizing"  # how PyTorch's warning begins
OURS, PEER = (f"{Path(package.__file__).parent}{os.sep}" for package in (maskrcnn_benchmark, torchvision))
TOOLS, TIMING = f"{Path(__file__).parents[1]}{os.sep}", timing.__file__  # installed, the tools lie in the package
# What the profiler itself does on the device's time line
OVERHEADS = {
    *("Activity Buffer Request", "Buffer Flush", "Command Buffer Full", "Driver Compiler", "Instrumentation"),
    *("Lazy Function Loading", "Resource", "Runtime Triggered Module Loading"),
}


class _Moment:
    """A point in the device's own time; the difference of two is in seconds."""

    def __init__(self):
        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record()

    def __sub__(self, earlier):
        self._event.synchronize()
        return earlier._event.elapsed_time(self._event) / 1000


def clock_of(device: str) -> Callable:
    """A clock for `benchmarks.timing.take_turns`: CUDA events, or `time.perf_counter` of a CPU."""
    return _Moment if torch.device(device).type == "cuda" else time.perf_counter


def median_ms(action: Callable[[], object], device: str, rounds: int, warmup: int = 2) -> float:
    """Median milliseconds of an action, which need not wait for the device."""
    clock, seconds = clock_of(device), []
    for turn in range(-warmup, rounds):
        wait_for(device)
        start = clock()
        action()
        taken = clock() - start
        if turn >= 0:
            seconds.append(taken)
    return 1000 * statistics.median(seconds)


def peak_mib(action: Callable[[], object], device: str) -> float:
    """MiB that an action holds at its peak: of the device's memory all in use, of a CPU's what it adds to that."""
    if torch.device(device).type != "cuda":
        with Growth() as growth:
            action()
        return growth.mib
    torch.cuda.reset_peak_memory_stats(device)
    action()
    wait_for(device)
    return torch.cuda.max_memory_allocated(device) / MIB


@contextmanager
def synchronisations():
    """Counts where the host waits for the CUDA device within a block: a `Counter` of "file:line".

    PyTorch tells of waits of its own, such as of `item` and `nonzero`, and of copies from and to pageable memory.
    """
    places = Counter()

    def take(message, category, filename, lineno, file=None, line=None):
        place = _place(f"{filename}:{lineno}") if SYNCHRONISES in str(message) else ""
        if place:
            places[place] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = take
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _place(otherwise):
    """Where in this package, else in torchvision, else anywhere the host waits; "" for a tool that times the device."""
    frame, peer = sys._getframe(2), ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name == TIMING:
            return peer
        if name.startswith(OURS) and not name.startswith(TOOLS):
            return f"{name.removeprefix(OURS)}:{frame.f_lineno}"
        if name.startswith(PEER) and not peer:
            peer = f"{name.removeprefix(PEER)}:{frame.f_lineno}"
        frame = frame.f_back
    return peer or otherwise


@dataclass
class Trace:
    """What a device did.

    Attributes:
        kernels: number of kernels (on a CPU: of operations of PyTorch).
        copies: number of copies and fills of memory.
        busy_ms: time during which at least one of them ran; 0 on a CPU.
        slowest: [(name, milliseconds in all, number)] of the kernels that take longest together.
    """

    kernels: int
    copies: int
    busy_ms: float
    slowest: list = field(default_factory=list)


def trace(action: Callable[[], object], device: str, most: int = 5) -> Trace:
    """Run an action once under PyTorch's profiler."""
    if torch.device(device).type != "cuda":
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            action()
        return Trace(sum(event.name.startswith("aten::") for event in profiler.events()), 0, 0.0)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        action()
        wait_for(device)
    spans = [
        (event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation and event.name not in OVERHEADS
    ]
    return summarise(spans, most)


def summarise(spans: list, most: int) -> Trace:
    """The `Trace` of a device's work: spans are (name, start, end) in microseconds, in any order."""
    total, number, busy, end = Counter(), Counter(), 0.0, float("-inf")
    copies = sum(name.startswith(("Memcpy", "Memset")) for name, *_ in spans)
    for name, first, last in sorted(spans, key=lambda span: span[1]):
        busy += max(0.0, last - max(first, end))
        end = max(end, last)
        total[name] += last - first
        number[name] += 1
    slowest = [(name, time / 1000, number[name]) for name, time in total.most_common(most)]
    return Trace(len(spans) - copies, copies, busy / 1000, slowest)
