"""What every subject of the benchmark shares: taking turns, medians, the table, the file."""

import argparse
import json
import math
import os
import platform
import statistics
import threading
import time
from pathlib import Path

import torch
from tqdm import tqdm

from maskrcnn_benchmark.utils.miscellaneous import atomic_write


def take_turns(actions, rounds, warmup, clock=time.perf_counter):
    """Time several actions alternately (A B C A B C ...), so that whatever slows the machine slows all of them.

    An interruption (Ctrl-C) after at least one whole round ends the measurement there.

    Args:
        actions: {name: function of the round's number, 0-based}; it must return when its work is done, not queued.
        rounds: timed rounds.
        warmup: rounds before them that are run but not timed.
        clock: seconds, as `time.perf_counter`.
    Returns:
        {name: list of seconds, one per whole round}.
    """
    seconds = {name: [] for name in actions}
    try:
        for turn in tqdm(range(-warmup, rounds), desc="rounds", unit="round", disable=None):
            times = {}
            for name, action in actions.items():
                start = clock()
                action(max(turn, 0))
                times[name] = clock() - start
            if turn >= 0:
                for name, taken in times.items():
                    seconds[name].append(taken)
    except KeyboardInterrupt:
        if not all(seconds.values()):
            raise
    return seconds


def medians(seconds):
    """{name: list of seconds} -> {name: median in seconds}."""
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def format_table(seconds):
    """A table of medians and spreads, one line per timed action; `seconds` as `take_turns` returns it."""
    width = max(len(name) for name in seconds)
    lines = [f"{'':{width}}  {'median':>10}  {'fastest':>10}  {'slowest':>10}"]
    for name, taken in seconds.items():
        figures = (statistics.median(taken), min(taken), max(taken))
        lines.append(f"{name:{width}}  " + "  ".join(f"{1000 * t:7.1f} ms" for t in figures))
    return "\n".join(lines)


def machine(device):
    """What a reader of the figures has to know about the machine: a dictionary for the JSON file."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


class PeakMemory:
    """Greatest memory of this process and its children together while entered, pages that they share counted once.

    It is looked at twice a second, on Linux (proportional set size); elsewhere `mib` stays nan.

    Attributes:
        mib: the peak so far.
    """

    def __init__(self):
        self.mib = math.nan
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
            self.mib = max(_tree_mib(os.getpid()), self.mib) if not math.isnan(self.mib) else _tree_mib(os.getpid())
            if self._done.wait(0.5):
                return


def _tree_mib(process):
    """Proportional set size of a process and all its descendants in MiB, nan where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # no Linux, or the process has just ended
        return math.nan
    own = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return own + sum(mib for mib in map(_tree_mib, children) if not math.isnan(mib))


def write_json(path, result):
    """Write a result as JSON in one instant."""
    with atomic_write(path) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())


def wait_for(device):
    """Return when the device has done what was asked of it: a GPU works on after the call."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def positive(text):
    """A whole number of at least 1 from the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
