"""Little of what a machine usually has much of: shared memory, open files, file sizes, a folder to write to."""

import os
import resource
import stat

from faults import namespace
from faults.case import FaultClass
from faults.child import Limits
from faults.judge import check_end
from faults.tools import TOOLS, check_same

# Batches of some 20 MB: those that two workers keep ready do not fit into 64 MB
_LARGE = (
    *("DATALOADER.NUM_WORKERS", 2, "SOLVER.MAX_ITER", 3, "SOLVER.IMS_PER_BATCH", 4),
    *("INPUT.MIN_SIZE_TRAIN", "(600,)", "INPUT.MAX_SIZE_TRAIN", 800),
)


def small_shared_memory(case):
    """Training or testing with loader workers and a /dev/shm of 64 MB, as in Docker, or of 1 MB."""
    size = (64 << 20, 1 << 20)[case.number % 2]
    name = ("train", "train", "test", "test", "evaluate", "evaluate")[case.number % 6]
    more = ("--workers", 2) if name == "evaluate" else ("DATALOADER.NUM_WORKERS", 2)
    large = name == "train" and size > 1 << 20  # batches that do not fit into 64 MB
    more = _LARGE if large else more
    tool = TOOLS[name]

    def inside_namespace():
        namespace.mount_small("/dev/shm", size)
        function = tool.function(case.workplace, case.out, more)
        outcome = case.run(function, limits=Limits(growth=6 << 30) if large else None)
        return check_end(outcome, codes=(0, 2), names=("/dev/shm", "shared memory", "NUM_WORKERS"), growth=6 << 30)

    return f"{name} with {size >> 20} MB of /dev/shm", namespace.within(inside_namespace)


def few_files(case):
    """Few open files."""
    number = (64, 48, 32)[case.number % 3]
    name = ("train", "test", "evaluate", "prepare")[case.number % 4]
    more = ("--workers", 2) if name in ("evaluate", "prepare") else ("DATALOADER.NUM_WORKERS", 2)
    tool = TOOLS[name]
    tool.prepare(case.workplace, case.out)
    outcome = case.run(_limited(tool.function(case.workplace, case.out, more), resource.RLIMIT_NOFILE, number))
    names = ("open files", "ulimit", "too many", "NUM_WORKERS", "worker")
    return f"{name} with {number} open files", check_end(outcome, codes=(0, 2), names=names)


def small_files(case):
    """Files that may not grow beyond a size (ulimit -f)."""
    name = ("train", "test", "predict", "prepare", "mini_detail")[case.number % 5]
    tool = TOOLS[name]
    tool.prepare(case.workplace, case.out)
    reference = case.workplace.references[name]
    largest = max(path.stat().st_size for path in reference.folder.rglob("*") if path.is_file())
    size = case.random.randrange(1, largest)
    outcome = case.run(_limited(tool.function(case.workplace, case.out), resource.RLIMIT_FSIZE, size))
    problems = check_end(outcome, codes=(0, 1, 2), names=(str(case.out), "large", "size"))
    again = case.run(tool.function(case.workplace, case.out))
    problems += [f"without the limit {problem}" for problem in check_end(again)]
    if not problems:
        problems = [f"without the limit {p}" for p in check_same(tool, case.out, reference.folder)]
    return f"{name} with files of at most {size:,} bytes", problems


def read_only(case):
    """An output folder that is there and cannot be written to."""
    name = ("train", "test", "predict", "evaluate", "prepare", "explore", "mini_detail", "compare")[case.number % 8]
    tool = TOOLS[name]

    def inside_namespace():
        tool.prepare(case.workplace, case.out)
        case.out.mkdir(exist_ok=True)
        os.chmod(case.out, stat.S_IRUSR | stat.S_IXUSR)
        namespace.make_read_only(case.out)
        outcome = case.run(tool.function(case.workplace, case.out))
        # a tool whose output is a warning's worth of difference may go on
        return check_end(outcome, codes=(2,), names=(str(case.out),))

    return f"{name} into a folder that is read only", namespace.within(inside_namespace)


def _limited(function, kind, value):
    def call():
        resource.setrlimit(kind, (value, value))
        return function()

    return call


CLASSES = [
    FaultClass("limits.shm", 6, small_shared_memory, skip=namespace.reason_against, weight=20.0),
    FaultClass("limits.files", 4, few_files),
    FaultClass("limits.size", 5, small_files),
    FaultClass("limits.read_only", 8, read_only, skip=namespace.reason_against),
]
