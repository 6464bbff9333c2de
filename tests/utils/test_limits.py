"""Limits of the system in words, and nothing else."""

import errno
import os

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.limits import has_spare_files, told_of_limits


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.EMFILE, "Too many open files"), r"no more files can be opened.*ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), r"shared memory.*--shm-size"),
        (RuntimeError(f"unable to mmap: {os.strerror(errno.ENOSPC)} ({errno.ENOSPC})"), r"shared memory.*--shm-size"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), r"no more processes.*ulimit -u"),
    ],
)
def test_a_limit_is_named_with_both_remedies(error, words):
    with pytest.raises(UserError, match=words + ".*, or use fewer workers"), told_of_limits("use fewer workers"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        OSError(errno.ENOENT, "No such file", "a.jpg"),
        OSError(errno.ENOSPC, "No space left on device", "a.txt"),  # a file is no shared memory
        ZeroDivisionError(),
    ],
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, told_of_limits("use fewer workers"):
        raise error
    assert raised.value is error


def test_spare_files_are_counted_and_given_back():
    before = len(os.listdir("/proc/self/fd"))
    assert has_spare_files(20)
    assert len(os.listdir("/proc/self/fd")) == before
