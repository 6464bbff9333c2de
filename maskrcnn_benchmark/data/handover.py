"""How a loader's worker hands a batch over: whatever fails on the way is heard of, and nothing needs much of a system.

PyTorch pickles the batches of a worker in a thread that prints its errors and goes on, while the parent waits for the
lost batch without end. Here a batch is pickled where it is made, and an error is raised there, from where it is told.
"""

import os
import pickle
from collections.abc import Callable, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import get_worker_info

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.limits import describe_limit, has_spare_files, told_of_limits

REMEDY = "lower DATALOADER.NUM_WORKERS (0 needs none of this)"


class HandedOver:
    """A collator whose batches are ready to be sent when it returns; outside of a worker the collator itself.

    Args:
        collator: list of samples -> batch.
    """

    def __init__(self, collator: Callable[[Sequence[Any]], Any]) -> None:
        self.collator = collator

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Raises what the collator raises, and `UserError` where a limit of the system is in the way."""
        if get_worker_info() is None:
            return self.collator(samples)
        with told_of_limits(REMEDY):
            parcel = Parcel(bytes(ForkingPickler.dumps(self.collator(samples))))
            if not has_spare_files():  # the thread that will hand the batch's files out could not tell anybody
                raise RuntimeError("no more files can be opened")
        return parcel


class Parcel:
    """A pickled batch: unpickling this gives the batch, or what PyTorch's loader raises where it takes the batch."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return _unpacked, (self.content,)


def _unpacked(content: bytes) -> Any:
    try:
        return pickle.loads(content)
    except Exception as error:
        reason = describe_limit(error)
        if reason is None:
            raise
        try:
            raise UserError(f"{reason}, or {REMEDY}") from error
        except UserError:  # also where a thread pins memory, which no error may end
            return ExceptionWrapper(where="while a batch was taken from a worker")


def shared_zeros(count: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> torch.Tensor:
    """Zeros [count] in memory that a worker can hand over without a copy.

    It is of no file system where the system has such memory: a container's /dev/shm has room for few batches.

    Args:
        count: number of elements.
        dtype: their type.
        device: the CPU; for callers that use it in the place of `torch.zeros`.
    """
    if torch.device(device).type != "cpu":
        raise ValueError(f"memory of {device} cannot be handed over by a worker")
    size = count * dtype.itemsize
    if not size:
        return torch.zeros(count, dtype=dtype)
    # PyTorch offers nothing public that does not copy; its own default_collate and unpickling do it in these ways. The
    # pages of a new shared file are zeros
    if hasattr(os, "memfd_create") and torch.multiprocessing.get_sharing_strategy() == "file_descriptor":
        handle = os.memfd_create("batch")
        try:
            os.ftruncate(handle, size)
            storage = torch.UntypedStorage._new_shared_fd_cpu(handle, size)  # type: ignore[attr-defined]
        finally:
            os.close(handle)
    else:
        storage = torch.UntypedStorage._new_shared(size)
    return torch.empty(0, dtype=dtype).set_(storage, 0, (count,), (1,))
