"""How many threads PyTorch computes with on the processor, chosen before it is loaded, and how they wait."""

import os
import sys
import time
from functools import lru_cache, partial
from pathlib import Path

from maskrcnn_benchmark.utils.text import counted

# What the user, torchrun or a batch system may have chosen; such a choice stands
COUNT_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Says to the processes that this one starts that OMP_NUM_THREADS is this package's choice and nobody else's
CHOICE_VARIABLE = "MASKRCNN_BENCHMARK_THREADS"

_SAMPLE_SECONDS = 0.1
# Of GNU's OpenMP, which is the one of PyTorch's packages; others go by the policy
_SPINS = "1000"


def choose_threads() -> None:
    """Choose number and manner of the threads by environment variables; called when the package is imported.

    As many threads as there are cores for this process: those it may use (affinity, and a container's quota), less
    those that other processes keep busy now and have kept busy lately. Threads meet at the end of every operation, and
    one that has to wait for its core holds up all others: with two busy cores of two, two threads are several times as
    slow as one. Threads without work spin for microseconds, until the next operation of a network, and then sleep: by
    themselves they would spin for milliseconds and keep other processes, and each other, from theirs.

    OpenMP reads the variables once, when PyTorch is loaded, so nothing is done where it is loaded already.
    """
    if "torch" in sys.modules:
        return
    if not any(name in os.environ for name in WAIT_VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    if not any(name in os.environ for name in COUNT_VARIABLES):
        free = round(len(_physical_cores()) - busy_cores())
        os.environ["OMP_NUM_THREADS"] = os.environ[CHOICE_VARIABLE] = str(max(1, min(allowed_cores(), free)))


def chosen_by_user() -> str:
    """The variable, such as "OMP_NUM_THREADS=4", by which somebody else chose how many threads; "" if nobody did."""
    given = next((name for name in COUNT_VARIABLES if name in os.environ), None)
    if given is None or os.environ[given] == os.environ.get(CHOICE_VARIABLE):
        return ""
    return f"{given}={os.environ[given]}"


def describe_threads() -> str:
    """The number of PyTorch's threads in this process and who chose it, in one line."""
    import torch  # late: it must not be loaded before `choose_threads`

    count = torch.get_num_threads()
    what = f"{counted(count, 'thread')} on {counted(allowed_cores(), 'core')} that this process may use"
    if chosen_by_user():
        return f"{what}, by {chosen_by_user()}"
    if os.environ.get(CHOICE_VARIABLE) == str(count):
        return f"{what}, those that were free at the start; OMP_NUM_THREADS chooses another number"
    return f"{what}, set by the program"


def keep_threads(count: int) -> str:
    """Compute with as many threads as a training on the processor began with, for its sums depend on their number.

    Unless somebody chose another number, or this process may use fewer cores.

    Returns:
        what happened, for the log: "" where nothing changes.
    """
    import torch

    now = torch.get_num_threads()
    if count == now:
        return ""
    chosen, cores = chosen_by_user(), allowed_cores()
    if chosen or count > cores:
        why = f"by {chosen}" if chosen else f"for this process may use {counted(cores, 'core')}"
        return (
            f"this training began with another number of threads, {count}, and goes on with {now}, {why}: sums are "
            "added in another order, so that it will not end with the same numbers"
        )
    torch.set_num_threads(count)
    usual = counted(now, "thread")
    return f"computing with {count} instead of {usual}, as this training began; OMP_NUM_THREADS chooses others"


@lru_cache(maxsize=1)
def keep_forks_alive() -> None:
    """Let children that this process forks from now on compute with one thread; called before PyTorch computes.

    A child has none of the threads that PyTorch started in its parent, and would wait for them forever.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def allowed_cores() -> int:
    """Cores that this process may keep busy: its affinity, one for two hyperthreads, within a container's quota."""
    cores = len(_physical_cores())
    quota = cgroup_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def busy_cores() -> float:
    """How many of the allowed cores other processes keep busy, now as well as on average over the last minute."""
    lately = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if lately < 0.5:
        return 0.0  # as on most machines: no time is taken to look closer
    before = _ticks()
    time.sleep(_SAMPLE_SECONDS)
    passed = [(used - was_used, ticks - were) for (was_used, were), (used, ticks) in zip(before, _ticks())]
    if not any(ticks for _, ticks in passed):
        return lately
    return min(lately, sum(used / ticks for used, ticks in passed if ticks))


def _allowed_cpus():
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _physical_cores():
    """The allowed cores: a set of what tells two of them apart; hyperthreads of one core are one."""
    return {_siblings(cpu) for cpu in _allowed_cpus()}


def _siblings(cpu):
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="utf-8")
    except OSError:
        return str(cpu)


def _ticks():
    """[(ticks at work, all ticks)] of each allowed cpu since the machine started; work of low priority gives way."""
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    names = {f"cpu{cpu}" for cpu in _allowed_cpus()}
    counted = []
    for words in map(str.split, lines):
        if words and words[0] in names:
            user, nice, system, idle, waiting, *others = map(int, words[1:9])
            counted.append((user + system + sum(others), user + nice + system + idle + waiting + sum(others)))
    return counted


def cgroup_quota() -> float | None:
    """Processor time per time that the control groups of this process may use, in cores, or None without a limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += [_quota_of(folder / "cpu.max") for folder in _up(Path("/sys/fs/cgroup"), path)]
        elif "cpu" in controllers.split(","):
            folders = _up(Path("/sys/fs/cgroup") / controllers, path)
            quotas += [_quota_of(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us") for folder in folders]
    return min((quota for quota in quotas if quota is not None), default=None)


def _up(root, path):
    """The folder of a group and those that it lies in, up to the root; a container sees its own group as the root."""
    here = root / path.lstrip("/")
    return [here, *here.parents][: len(here.relative_to(root).parts) + 1]


def _quota_of(*files):
    """What "QUOTA PERIOD" in one file or two says in cores; None if it is "max", -1 or not there."""
    try:
        quota, period = " ".join(file.read_text(encoding="utf-8") for file in files).split()
    except (OSError, ValueError):
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
