"""Limits of the system that end a program which does nothing wrong, in words: open files, shared memory, processes."""

import contextlib
import errno
import os
import resource
from collections.abc import Iterator

from maskrcnn_benchmark.utils.errors import UserError

SHARED_MEMORY = "/dev/shm"

# What a process needs beside the files that it knows of: a connection is being accepted, a module is loaded
_SPARE_FILES = 8


@contextlib.contextmanager
def told_of_limits(remedy: str) -> Iterator[None]:
    """Errors of the system that say that a limit is reached become a `UserError`; all others stay what they are.

    Args:
        remedy: what can be done beside raising the limit, such as "use fewer workers".
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = describe_limit(error)
        if reason is None:
            raise
        raise UserError(f"{reason}, or {remedy}") from error


def describe_limit(error: BaseException) -> str | None:
    """The limit that an error speaks of and how to raise it, or None: it speaks of none.

    Args:
        error: an `OSError`; or PyTorch's `RuntimeError` about shared memory, which has the system's words alone.
    """
    if _is(error, errno.EMFILE) or _is(error, errno.ENFILE) or not has_spare_files():
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"no more files can be opened, of which this process may have {limit}: raise the limit (ulimit -n)"
    if _is(error, errno.ENOSPC) and (isinstance(error, RuntimeError) or getattr(error, "filename", None) is None):
        return f"{_room()}: give it more (docker run --shm-size=1g, or --ipc=host)"
    if _is(error, errno.EAGAIN):
        return "no more processes can be started: raise the limit (ulimit -u; docker run --pids-limit)"
    return None


def has_spare_files(count: int = _SPARE_FILES) -> bool:
    """Whether this process may open that many files more."""
    try:
        with contextlib.ExitStack() as opened:
            for _ in range(count):
                opened.enter_context(open(os.devnull, "rb", buffering=0))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return False
    return True


def _is(error, number):
    """Whether an error is that of the system; PyTorch's ones end in its words and number."""
    if isinstance(error, OSError):
        return error.errno == number
    return f"{os.strerror(number)} ({number})" in str(error)


def _room():
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError:
        return "there is no shared memory"
    free, size = (blocks * room.f_frsize / 2**20 for blocks in (room.f_bavail, room.f_blocks))
    return f"no room is left in shared memory, {SHARED_MEMORY} has {free:.0f} of {size:.0f} MiB free"
