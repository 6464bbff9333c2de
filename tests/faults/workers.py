"""Helpers of a tool that are killed: loader workers, scoring workers, those of prepare and explore."""

import os
import signal

from faults import processes
from faults.case import FaultClass
from faults.child import WAIT
from faults.judge import check_end
from faults.tools import TOOLS, check_same

# Tool -> what gives it two workers, and what its line names
WORKERS = {
    "train": (("DATALOADER.NUM_WORKERS", 2, "SOLVER.MAX_ITER", 12), ("worker", "NUM_WORKERS")),
    "test": (("DATALOADER.NUM_WORKERS", 2), ("worker", "NUM_WORKERS")),
    "evaluate": (("--workers", 2), ("worker",)),
    "explore": (("--workers", 2), ("worker",)),
    "prepare": (("--workers", 2), ("worker",)),
}
EACH = {"train": 8, "test": 4, "evaluate": 3, "explore": 3, "prepare": 3}


def kill_worker(case, name):
    """Kill one helper of a tool; the tool ends in time, and the next run is as undisturbed."""
    tool = TOOLS[name]
    more, words = WORKERS[name]
    reference = case.workplace.references[name]
    tool.prepare(case.workplace, case.out)
    started = case.start(tool.function(case.workplace, case.out, more))
    helpers = processes.wait_until(lambda: processes.children(started.pid) or not started.alive(), 30.0)
    if not isinstance(helpers, list):
        return f"{name} ended before it had a helper", check_end(started.wait(WAIT))
    seconds = case.random.uniform(0.0, 0.6 * reference.seconds)
    started.pause(seconds)
    helpers = processes.children(started.pid)
    what = f"{name}: a worker killed {seconds:.2f} s after the first began"
    if not helpers:
        return f"{what}; there was none any more", check_end(started.wait(WAIT))
    os.kill(case.random.choice(helpers), signal.SIGKILL)
    outcome = started.wait(WAIT)
    # the one that was killed may have had nothing left to do
    problems = check_end(outcome, codes=(0, 1, 2), names=words)
    again = case.run(tool.function(case.workplace, case.out, more))
    problems += [f"the next run {problem}" for problem in check_end(again)]
    if not problems:
        problems = [f"after the next run: {p}" for p in check_same(tool, case.out, reference.folder)]
    return what, problems


CLASSES = [
    FaultClass(f"workers.{name}", EACH[name], lambda case, name=name: kill_worker(case, name), weight=8.0)
    for name in WORKERS
]
