"""What the test of `utils.comm` runs in each of two processes; it leaves what it saw in a file per rank."""

import os

import torch
import torch.distributed as dist

from maskrcnn_benchmark.utils import comm
from maskrcnn_benchmark.utils.errors import UserError


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
    torch.save((gathered, reduced, once, message), f"{folder}/{rank}.pth")
    dist.destroy_process_group()
