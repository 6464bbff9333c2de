"""Two processes: one is killed, both get a signal, they disagree, or they share an OUTPUT_DIR without knowing it."""

import json
import os
import signal
import socket

from faults.case import FaultClass
from faults.child import WAIT, fresh
from faults.judge import check_end, error_line
from faults.tools import STOPPED, TRAIN, check_whole
from faults.workplace import ROOT

# What rank 1 says otherwise, and what the line has to name
DIFFERENCES = (
    ("SOLVER.BASE_LR", 0.5),
    ("MODEL.KEYPOINT_ON", False),
    ("MODEL.DENSE_TRUNK.CHANNELS", 24),
    ("SOLVER.MAX_ITER", 5),
    ("SOLVER.IMS_PER_BATCH", 4),
    ("MULTITASK.LOSS_WEIGHTS.SEMANTIC", 2.0),
    ("DTYPE", "bfloat16"),
    ("SOLVER.SEED", 4),
)


def kill_rank(case):
    """One of two ranks is killed; the other ends in time, and the run goes on afterwards."""
    victim = case.number % 2
    seconds = case.random.uniform(0.3, 2.5 * case.workplace.references["train"].seconds)
    ranks = _start_ranks(case)
    ranks[0].pause(seconds)
    ranks[victim].kill()
    ended = ranks[1 - victim].outcome is not None
    outcome = ranks[1 - victim].wait(WAIT)
    for rank in ranks:
        rank.end()
    problems = [] if ended else check_end(outcome, codes=(0, 1, 2), names=("rank", "process"))
    return f"rank {victim} of 2 killed after {seconds:.2f} s", problems + _run_again(case)


def stop_ranks(case):
    """Both ranks get a signal, as from torchrun or a batch system."""
    number = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[case.number % 3]
    seconds = case.random.uniform(0.3, 1.5 * case.workplace.references["train"].seconds)
    ranks = _start_ranks(case)
    ranks[0].pause(seconds)
    for rank in ranks:
        rank.kill(number)
    problems = []
    for place, rank in enumerate(ranks):
        problems += [f"rank {place} {problem}" for problem in check_end(rank.wait(WAIT), codes=(0, *STOPPED))]
    return f"{number.name} to both ranks after {seconds:.2f} s", problems + _run_again(case)


def differing(case):
    """Rank 1 has another option."""
    key, value = DIFFERENCES[case.number % len(DIFFERENCES)]
    ranks = _start_ranks(case, (key, value))
    outcomes = [rank.wait(60.0) for rank in ranks]
    problems = []
    for place, outcome in enumerate(outcomes):
        problems += [f"rank {place} {p}" for p in check_end(outcome, codes=(2,))]
    lines = [error_line(outcome.output) or "" for outcome in outcomes]
    if not any(key in line for line in lines):
        problems.append(f"no line names {key}: {lines}")
    return f"rank 1 with {key} {value}", problems


def together(case):
    """Two trainings, which know nothing of each other, in one OUTPUT_DIR."""
    first = case.start(TRAIN.function(case.workplace, case.out))
    first.pause(case.random.uniform(0.0, 0.6 * case.workplace.references["train"].seconds))
    second = case.start(TRAIN.function(case.workplace, case.out))
    outcomes = [first.wait(60.0), second.wait(60.0)]
    problems = []
    refused = [outcome for outcome in outcomes if outcome.code == 2]
    for outcome in outcomes:
        problems += check_end(outcome, codes=(0, 2), names=(str(case.out),))
    if not refused and not problems:
        # the second may have come when the first had ended
        overlap = outcomes[0].seconds - (second.began - first.began)
        if overlap > 0.5:
            problems.append("two trainings worked in one OUTPUT_DIR at a time")
    if not problems:
        problems = _run_again(case)
    return "two trainings in one OUTPUT_DIR", problems


def launched(case):
    """torchrun itself, one of whose processes is killed."""
    words = [*map(str, TRAIN.arguments(case.workplace, case.out))]
    port = _free_port()
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}")
    started = case.start(fresh([*launcher, str(ROOT / "tools" / "train_net.py"), *words]))
    from faults import processes

    ranks = processes.wait_until(
        lambda: [n for n in processes.children(started.pid) if _is_python(n)][:2] if started.alive() else [0], 40.0
    )
    started.pause(case.random.uniform(6.0, 9.0))
    if started.alive() and len(ranks) > 1:
        os.kill(ranks[1], signal.SIGKILL)
    outcome = started.wait(60.0)
    # torchrun tells of a killed rank by a trace of its own
    problems = [p for p in check_end(outcome, codes=(0, 1)) if not p.startswith("a trace")]
    return "a rank of torchrun killed", problems + _run_again(case)


def _is_python(number):
    try:
        with open(f"/proc/{number}/cmdline", "rb") as file:
            return b"train_net.py" in file.read()
    except OSError:
        return False


def _start_ranks(case, difference=()):
    port = _free_port()
    ranks = []
    for rank in range(2):
        function = TRAIN.function(case.workplace, case.out, difference if rank else ())

        def call(rank=rank, function=function):
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            return function()

        ranks.append(case.start(call))
    return ranks


def _run_again(case):
    """Whether the folder can be gone on with by one process."""
    outcome = case.run(TRAIN.function(case.workplace, case.out))
    problems = check_end(outcome)
    if not problems and json.loads((case.out / "run.json").read_bytes())["state"] != "finished":
        problems = ["run.json does not say that it is finished"]
    if not problems:
        problems = check_whole(case.out)
    return [f"the next run {problem}" for problem in problems]


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


CLASSES = [
    FaultClass("ranks.killed", 6, kill_rank, weight=10.0),
    FaultClass("ranks.stopped", 6, stop_ranks, weight=10.0),
    FaultClass("ranks.differing", len(DIFFERENCES), differing, weight=10.0),
    FaultClass("ranks.together", 5, together, weight=8.0),
    FaultClass("ranks.torchrun", 1, launched, weight=20.0),
]
