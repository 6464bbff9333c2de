"""What every subject of the benchmark shares: taking turns, medians, the table, the file."""

import gc
import json
import platform
import random
import statistics
import time

import torch
from tqdm import tqdm

from maskrcnn_benchmark.utils.files import atomic_write


def take_turns(actions, rounds, warmup, clock=time.perf_counter, shuffled=False):
    """Time several actions alternately (A B C A B C ...), so that whatever slows the machine slows all of them.

    An interruption (Ctrl-C) after at least one whole round ends the measurement there.

    Args:
        actions: {name: function of the round's number, 0-based}; it must return when its work is done, not queued.
        rounds: timed rounds.
        warmup: rounds before them that are run but not timed.
        clock: seconds, as `time.perf_counter`.
        shuffled: each round has an order of its own, so that no action always comes after the same one, whose traces in
            caches and allocator can cost a percent or two.
    Returns:
        {name: list of seconds, one per whole round}.
    """
    seconds = {name: [] for name in actions}
    try:
        for turn in tqdm(range(-warmup, rounds), desc="rounds", unit="round", disable=None):
            times = {}
            order = random.Random(turn).sample(list(actions), len(actions)) if shuffled else list(actions)
            for name in order:
                start = clock()
                actions[name](max(turn, 0))
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


def write_json(path, result):
    """Write a result as JSON in one instant."""
    with atomic_write(path) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())


def wait_for(device):
    """Return when the device has done what was asked of it: a GPU works on after the call."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def free_memory():
    """Give back what nobody holds any more, so that what follows finds the memory of a device as it was at first."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
