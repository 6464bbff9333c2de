"""How a tool ends that is run in a process of its own."""

import multiprocessing
import os
import sys
import tempfile

import pytest

from maskrcnn_benchmark.utils.cli import run_tool

_LONGEST = 60  # seconds until a process counts as one that does not end


def end_of(main):
    """Run `main` as a tool in a fork of this process, which has to end and to leave no process behind.

    Returns:
        (exit code, what it wrote to the standard error).
    """
    with tempfile.TemporaryFile() as said:
        process = multiprocessing.get_context("fork").Process(target=_run, args=(main, said.fileno()))
        process.start()
        process.join(_LONGEST)
        left = _kill_group(process.pid)
        if process.exitcode is None:
            process.kill()
            process.join()
            pytest.fail("the process does not end")
        assert not left
        said.seek(0)
        return process.exitcode, said.read().decode()


def _run(main, handle):
    os.setpgid(0, 0)
    os.dup2(handle, 2)
    sys.stderr = os.fdopen(handle, "w", buffering=1)
    run_tool(main)


def _kill_group(number):
    """End what is left of a group of processes; returns whether there was anything."""
    try:
        os.killpg(number, 9)
    except ProcessLookupError:
        return False
    return True
