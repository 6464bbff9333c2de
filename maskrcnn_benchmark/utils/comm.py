"""Small helpers for several processes; all of them work with a single process too, and then communicate nothing."""

import contextlib
import datetime
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from maskrcnn_benchmark.utils.errors import LostProcess, UserError

T = TypeVar("T")


def _is_distributed():
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _is_distributed() else 1


def get_rank() -> int:
    """Number of this process among all of them, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def get_local_rank() -> int:
    """Number of this process among those of its machine, as torchrun tells it; it is also the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _is_distributed() else 0


def is_main_process() -> bool:
    """Whether this is the one process that writes files and logs."""
    return get_rank() == 0


def message_device() -> torch.device:
    """Where small messages between processes are kept: the CPU, unless the processes can talk over GPUs alone."""
    if get_world_size() == 1 or "cpu:" in dist.get_backend_config():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


# Beyond any evaluation. A process that ends closes its connections, and those who wait for it are told at once.
PATIENCE = datetime.timedelta(days=14)
_patient = (None, None)  # the processes that `_patient_group` was made for, and their group


def _patient_group():
    """All processes, for waiting however long one of them works, in the place of a collective's usual ten minutes.

    They talk by gloo, so that waiting takes no GPU either.
    """
    global _patient
    if _patient[0] is not dist.group.WORLD:
        _patient = (dist.group.WORLD, dist.new_group(backend="gloo", timeout=PATIENCE))
    return _patient[1]


# Where gloo, whose errors are plain RuntimeErrors, says that a connection is closed or silent
_OF_GLOO = re.compile(r"gloo[/\\]transport")


def is_of_others(error: BaseException) -> bool:
    """Whether an error says that other processes are gone or cannot be reached: that of a collective, or of meeting."""
    return isinstance(error, dist.DistError) or bool(_OF_GLOO.search(str(error)))


@contextlib.contextmanager
def told_of_lost_processes() -> Iterator[None]:
    """Whoever waits for a process that has ended ends with one line, for the reason is told where it lies.

    The error of a collective is a `LostProcess` outside the block.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_of_others(error):
            raise  # this process's own, such as memory that does not suffice
        raise LostProcess("another process of this run has ended; its last lines say why") from error


def wait_for_others(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that waits for other processes: `function(*arguments)`. Signals are heard meanwhile.

    Python hears them between its own instructions, of which there are none in a collective. So another thread makes the
    call, and is left behind where a signal ends the wait: nothing can be sent to the other processes afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    outcome: Future[Any] = Future()

    def call():
        try:
            outcome.set_result(function(*arguments))
        except Exception as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    outcome.exception()  # this is where it waits, and where a signal is raised
    thread.join()  # Python must not end while it is on its way out of a library
    return outcome.result()


def synchronize() -> None:
    """Wait until all processes have come here, however long that takes.

    Raises `LostProcess` if one of them ends instead, as do `all_gather` and `run_once`.
    """
    if get_world_size() > 1:
        with told_of_lost_processes():
            wait_for_others(lambda: dist.barrier(_patient_group()))


def all_gather(data: T) -> list[T]:
    """The picklable object `data` of every process, as a list ordered by rank; objects may differ in size.

    It is waited for however long the others take.
    """
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] = [None] * get_world_size()
    with told_of_lost_processes():
        wait_for_others(lambda: dist.all_gather_object(gathered, data, _patient_group()))
    return gathered


BUCKET_BYTES = 25 * 2**20  # large enough to keep the number of messages low, small enough for a copy of it in memory


def average_over_ranks(tensors: Iterable[torch.Tensor], bucket_bytes: int = BUCKET_BYTES) -> None:
    """Replace each tensor, in place, by its mean over all processes, which all hold tensors of the same shapes."""
    if get_world_size() == 1:
        return
    with torch.no_grad():
        for bucket in buckets_of(tensors, bucket_bytes):
            message = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(message)
            message /= get_world_size()
            for tensor, mean in zip(bucket, message.split([t.numel() for t in bucket])):
                tensor.copy_(mean.view(tensor.shape))


def buckets_of(tensors: Iterable[torch.Tensor], limit: int) -> Iterator[list[torch.Tensor]]:
    """Neighbours of the same dtype and device, together at most `limit` bytes unless one alone is larger."""
    bucket: list[torch.Tensor] = []
    size = 0
    for tensor in tensors:
        alike = not bucket or (bucket[0].dtype, bucket[0].device) == (tensor.dtype, tensor.device)
        if bucket and (size + tensor.nbytes > limit or not alike):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def reduce_dict(input_dict: dict[str, torch.Tensor], average: bool = True) -> dict[str, torch.Tensor]:
    """Sum or average a dictionary of scalar tensors over all processes.

    All processes must hold the same keys. The result is valid on rank 0 only and carries no gradient.
    """
    if get_world_size() < 2 or not input_dict:
        return input_dict
    with torch.no_grad():
        names = sorted(input_dict)
        values = torch.stack([input_dict[name].float() for name in names])
        dist.reduce(values, dst=0)
        if is_main_process() and average:
            values /= get_world_size()
        return dict(zip(names, values))


def run_once(action: Callable[[], T], on_each_machine: bool = False) -> T | None:
    """Run `action()` in one process while the others wait, and fail in all of them if it fails there.

    Without this, a `UserError` in one process would leave the others waiting for it.

    Args:
        action: a function without arguments.
        on_each_machine: run it once per machine instead of once in all, for files on local disks.

    Returns:
        What `action` returned in the process that ran it; None in the others.
    """
    result, message = None, None
    if (get_local_rank() if on_each_machine else get_rank()) == 0:
        try:
            result = action()
        except UserError as error:
            message = str(error)
    message = next((m for m in all_gather(message) if m is not None), None)
    if message is not None:
        raise UserError(message)
    return result
