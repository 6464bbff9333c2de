"""What the test of `utils.comm` runs in each of two processes; it leaves what it saw in a file per rank."""

import datetime
import os
import time

import torch
import torch.distributed as dist

from maskrcnn_benchmark.utils import comm
from maskrcnn_benchmark.utils.errors import UserError


class TooLarge:
    """Does not fit into the memory of the process that would send it."""

    def __reduce__(self):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")


def main(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    gathered = comm.all_gather("x" * (rank + 1))
    reduced = comm.reduce_dict({"b": torch.tensor(float(rank)), "a": torch.tensor(3.0)})
    once = comm.run_once(lambda: "ran")

    def fail():
        raise UserError(f"rank {rank} could not")

    try:
        comm.run_once(fail)
        message = None
    except UserError as error:
        message = str(error)
    try:
        comm.all_gather(TooLarge())
        own = None
    except torch.OutOfMemoryError as error:
        own = str(error)
    torch.save((gathered, reduced, once, message, own), f"{folder}/{rank}.pth")
    dist.destroy_process_group()


LIMIT = datetime.timedelta(seconds=2)


def begin_with_a_limit(rank, port):
    """The processes, whose collectives may take `LIMIT`; they begin when both are there."""
    store = dist.TCPStore("127.0.0.1", port, 2, is_master=rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=LIMIT)


def wait_for_the_first(rank, port, folder):
    """Rank 0 works for longer than a collective may take; rank 1 waits, at last in a collective's own way."""
    begin_with_a_limit(rank, port)

    def work():
        if rank == 0:
            time.sleep(1.5 * LIMIT.total_seconds())
        return "worked"

    seen = [comm.run_once(work)]
    work()
    comm.synchronize()
    work()
    try:
        dist.barrier()
        seen.append("no limit")
    except RuntimeError:
        seen.append("limit")
    torch.save(seen, f"{folder}/{rank}.pth")


def wait_for_one_that_ends(rank, port, folder):
    begin_with_a_limit(rank, port)
    comm.synchronize()
    if rank == 0:
        os._exit(0)
    try:
        comm.run_once(lambda: None)
    except UserError as error:
        torch.save(str(error), f"{folder}/message.pth")
    os._exit(0)  # gloo's threads, whose other side is gone, may end the process while Python takes it down
