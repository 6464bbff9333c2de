"""Which device a process works on: from what an option says to one `torch.device`, the same everywhere."""

import os

import torch

from maskrcnn_benchmark.utils.errors import UserError

AUTO = "auto"


def resolve_device(name: str | torch.device, option: str = "MODEL.DEVICE") -> torch.device:
    """The device of this process, on CUDA always with its index.

    "cuda" without an index is the GPU of this process's number among those of its machine (LOCAL_RANK, which torchrun
    sets), else PyTorch's current one, which is the first unless somebody chose another. Of several processes each takes
    the GPU of its number whatever index is named. A processor is asked for without touching CUDA.

    Args:
        name: "cpu", "cuda", "cuda:1", ..., or "auto" for a GPU where there is one and the processor elsewhere.
        option: what the user gave it by, for the error.

    Raises:
        UserError: it is no such name, or this machine has no such device.
    """
    device = _named(name, option)
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        why = " (this PyTorch was built without CUDA)" if torch.version.cuda is None else ""
        raise UserError(
            f"{option} is {name}, but PyTorch finds no CUDA device here{why}; add {option} cpu to the command to run "
            "on the processor"
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if device.index is None or processes > 1:
        device = torch.device("cuda", _own_index())
    count = torch.cuda.device_count()
    if device.index >= count:
        there = "there is 1 CUDA device" if count == 1 else f"there are {count} CUDA devices"
        remedy = f"start at most {count} processes here" if processes > 1 else f"the last is cuda:{count - 1}"
        raise UserError(f"{device} is asked for, but {there}; {remedy}")
    return device


def best_device_type() -> str:
    """What "auto" stands for here: "cuda" where PyTorch finds a CUDA device, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def names_cuda(name: str | torch.device, option: str = "MODEL.DEVICE") -> bool:
    """Whether what `resolve_device` takes stands for a GPU, without asking whether that GPU is there."""
    return _named(name, option).type == "cuda"


def _named(name, option):
    try:
        device = torch.device(best_device_type() if name == AUTO else name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"{option} is {str(name)!r}, but must be {AUTO}, cpu, cuda or cuda:NUMBER")
    return device


def _own_index():
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0
