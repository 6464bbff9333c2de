"""Runs stages in processes of their own, each within a time of its own, and tells what became of them at once."""

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from checks.stage import FAIL, PASS, SKIP, Result, Row, Setting, Stage
from checks.worker import RAISED, READY, ROW, SHOW_STACKS, SKIPPED, work

# A stage may take so many times its share of what is left: the quick ones before it leave theirs to it
GENEROSITY = 2.0
SHORTEST_SECONDS = 5.0  # with less there is no point in beginning a stage
START_SECONDS = 120.0  # for a process to import PyTorch and open the device
END_SECONDS = 5.0  # for a process to end, by itself or killed
STACK_SECONDS = 1.0  # for a process that hangs to write where
OUTPUT_CHARACTERS = 6000  # of what a failed stage wrote


class _Gone(Exception):
    """The process ended, or said nothing in time."""


class Runner:
    """Runs stages one after the other. Used as a context, at whose end no process is left.

    Stages share a process as long as all is well, for opening a CUDA device takes seconds. After one that failed in any
    way the next gets a new one: an error of a kernel, or memory that is still held, must not fail the others.

    Args:
        setting: `Setting`.
        seconds: that all stages together may take, beginning now.
    """

    def __init__(self, setting: Setting, seconds: float):
        self.setting = setting
        self._end = time.monotonic() + seconds
        self._processes = 0
        self._process = self._connection = self._log = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        if kind is None and self._process is not None:
            self._connection.close()  # it ends by itself, and leaves nothing behind
            self._process.join(END_SECONDS)
        self._close()

    def run(self, stages: Sequence[Stage], found: Callable[[Stage, Row], None]) -> Iterator[Result]:
        """Yield the `Result` of each stage as soon as there is one; `found(stage, row)` is told each row at once."""
        for index, stage in enumerate(stages):
            yield self._result(stage, stages[index + 1 :], found)

    def _result(self, stage, later, found):
        if stage.module and importlib.util.find_spec(stage.module) is None:
            reason = f'needs {stage.module}: pip install "maskrcnn-benchmark[{stage.extra}]"'
            return Result(stage, SKIP, 0.0, 0.0, [], reason)
        left = self._end - time.monotonic()
        if left < SHORTEST_SECONDS:
            return self._skipped(
                stage, 0.0, 0.0, [], "no time was left; give more --minutes, or choose stages by --only"
            )
        rows, start = [], time.monotonic()
        limit = limit_of(stage, later, left)
        try:
            self._open(min(left, START_SECONDS))
            start = time.monotonic()  # the time of opening is shared by those that follow
            limit = min(limit, max(self._end - start, SHORTEST_SECONDS))
            written = self._log.stat().st_size
            self._connection.send((stage, replace(self.setting, deadline=start + limit)))
            word, value = self._follow(stage, start + limit, limit, rows, found)
        except (_Gone, ConnectionError) as gone:
            self._close()
            reason, output = str(gone), self._output()
            return Result(stage, FAIL, time.monotonic() - start, limit, rows, reason, output=output)
        seconds = time.monotonic() - start
        if word == RAISED:
            self._close()
            return Result(stage, FAIL, seconds, limit, rows, *value, self._output(written))
        if word == SKIPPED:
            return self._skipped(stage, seconds, limit, rows, value)
        wrong = [row.name for row in rows if row.verdict == FAIL]
        reason = f"not as it should be: {', '.join(dict.fromkeys(wrong))}" if wrong else ""
        output = self._output(written) if wrong else ""
        if wrong:
            self._close()
        return Result(stage, FAIL if wrong else PASS, seconds, limit, rows, reason, output=output)

    def _skipped(self, stage, seconds, limit, rows, reason):
        """On a CUDA machine nothing that speaks of the device may be left out, or the machine is not proved."""
        verdict = FAIL if self.setting.on_cuda and stage.on_device else SKIP
        return Result(stage, verdict, seconds, limit, rows, f"left out: {reason}" if verdict == FAIL else reason)

    def _open(self, seconds):
        """Have a process that waits for a stage."""
        if self._process is not None and self._process.is_alive():
            return
        self._close()
        self._processes += 1
        self._log = Path(self.setting.folder) / f"process_{self._processes}.log"
        self._log.touch()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, self.setting.device, str(self._log)))
        self._process.start()
        theirs.close()
        word, _ = self._receive(time.monotonic() + seconds, f"its process was not ready after {seconds:.0f} s")
        assert word == READY

    def _follow(self, stage, deadline, limit, rows, found):
        """Take in rows until the stage is over; returns its last message."""
        late = (
            f"out of time, ended after the {limit:.0f} s that it was given; a slow or busy machine needs more --minutes"
        )
        while True:
            word, value = self._receive(deadline, late)
            if word != ROW:
                return word, value
            rows.append(value)
            found(stage, value)

    def _receive(self, deadline, late):
        try:
            if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                self._show_stacks()
                raise _Gone(late)
            return self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(STACK_SECONDS)
            raise _Gone(f"its process ended with {_ending(self._process.exitcode)}") from None

    def _show_stacks(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, SHOW_STACKS)
        self._process.join(STACK_SECONDS)

    def _output(self, since=0):
        """The end of what the process has written after its first `since` bytes."""
        return self._log.read_bytes()[since:].decode(errors="replace")[-OUTPUT_CHARACTERS:]

    def _close(self):
        """End the process and all that it started."""
        if self._process is None:
            return
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # it may not have made a group of its own yet
        self._process.join(END_SECONDS)  # one that waits within a driver cannot even be killed
        self._process = None


def limit_of(stage: Stage, later: Sequence[Stage], left: float) -> float:
    """Seconds that a stage may take of those left, so that the stages after it have their turn even if it hangs."""
    share = left * stage.weight / (stage.weight + sum(each.weight for each in later))
    return min(left, max(SHORTEST_SECONDS, GENEROSITY * share))


def _ending(code):
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"code {code}"
