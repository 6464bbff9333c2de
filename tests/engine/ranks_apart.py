"""What the tests of processes that differ, end or are stopped run in each of two; each leaves a file of what it saw."""

import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist
from fakes import make_cfg, run_training

from maskrcnn_benchmark.engine import rank_agreement
from maskrcnn_benchmark.engine.rank_agreement import check_same_command
from maskrcnn_benchmark.experiments.run_record import record_run
from maskrcnn_benchmark.experiments.setup import end_run, start_run
from maskrcnn_benchmark.utils.errors import Interrupted, LostProcess, UserError

CPU = torch.device("cpu")


def join(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2", RANK=str(rank))
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group("gloo", rank=rank, world_size=2)


def note(folder, rank, text):
    Path(folder, f"rank{rank}.txt").write_text(text)


def leave():
    """End at once: gloo's threads, whose other side is gone, may end the process while Python takes it down."""
    os._exit(0)


def message_of(function, *arguments):
    """The line of the `UserError` that it raises, or ""."""
    try:
        function(*arguments)
    except UserError as error:
        return str(error)
    return ""


# (what rank 1 has in the place of rank 0's, for `message_of`)
DIFFERENT = {
    "rate": ("SOLVER.BASE_LR", 0.25),
    "tasks": ("MODEL.SEMANTIC_ON", False),
    "width": ("MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
    "length": ("SOLVER.MAX_ITER", 7),
}
ALIKE = {
    "workers": ("DATALOADER.NUM_WORKERS", 1),
    "data": ("DATASETS.DATA_DIR", "/on/this/machine"),
    "weights": ("MODEL.WEIGHT", "/on/this/machine.pth"),
    "device": ("MODEL.DEVICE", "cuda:1"),
}


def differ(rank, port, folder):
    join(rank, port)
    seen = {}
    for name, options in {**DIFFERENT, **ALIKE, "nothing": ()}.items():
        seen[name] = message_of(check_same_command, make_cfg(folder, *(options if rank == 1 else ())), CPU)
    digests = rank_agreement.source_digests
    if rank == 1:
        rank_agreement.source_digests = lambda: {**digests(), "maskrcnn_benchmark/engine/step.py": "changed here"}
    seen["code"] = message_of(check_same_command, make_cfg(folder), CPU)
    rank_agreement.source_digests = digests
    os.environ["LOCAL_RANK"] = "0"
    seen["places"] = message_of(check_same_command, make_cfg(folder), CPU)
    torch.save(seen, f"{folder}/rank{rank}.pth")
    end_run()


def start(rank, port, folder, output):
    """The message with which `start_run` refuses the folder, or what is in it meanwhile."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2", RANK=str(rank))
    os.environ["LOCAL_RANK"] = str(rank)
    cfg = make_cfg(output)

    def run():
        with start_run(cfg):
            note(folder, rank, " ".join(sorted(os.listdir(output))))
            end_run()

    message = message_of(run)
    if message:
        note(folder, rank, message)
    leave()


def stop_one_amid_its_evaluation(rank, port, folder):
    """Rank 1 is asked to stop while it evaluates, and rank 0 waits for it."""
    join(rank, port)
    cfg = make_cfg(f"{folder}/stopped", "SOLVER.TEST_PERIOD", 3)
    try:
        run_training(cfg, evaluate=lambda: os.kill(os.getpid(), signal.SIGTERM) if rank == 1 else {})
    except (Interrupted, LostProcess) as ending:
        note(folder, rank, f"{type(ending).__name__}: {ending}")
    leave()


def go_on(rank, port, folder):
    join(rank, port)
    whole, stopped = (
        run_training(make_cfg(f"{folder}/{name}", "SOLVER.TEST_PERIOD", 3), evaluate=dict).state_dict()
        for name in ("whole", "stopped")
    )
    note(folder, rank, str(all(whole[name].equal(stopped[name]) for name in whole)))
    end_run()


def kill_the_first(rank, port, folder):
    """Rank 0 ends without a word amid its third step, and leaves the record of a run."""
    join(rank, port)
    cfg, calls = make_cfg(folder), []

    def maybe():
        calls.append(None)
        if rank == 0 and len(calls) == 3:
            leave()

    try:
        with record_run(cfg, {"iteration": 0}):
            run_training(cfg, before_forward=maybe)
    except LostProcess as ending:
        note(folder, rank, str(ending))
    leave()
