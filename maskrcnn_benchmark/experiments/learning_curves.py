"""What a training logged on its way, as series: losses, learning rate, periodic tests; from TensorBoard or log.txt."""

import contextlib
import logging
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.engine.progress import EVENTS
from maskrcnn_benchmark.tasks.task import task_of_loss
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable

LOG = "log.txt"
_LONGEST_LINE = 1 << 16  # characters
_MOST_BYTES = 1 << 30  # of a TensorBoard log
TOTAL, RATE = "total", "lr"
# Curves of a task are called so much and its key; those of tests also have the metric, "test/semantic/mIoU"
TASK, TEST = "task/", "test/"

_TIME = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \S+ INFO: "
_START = re.compile(_TIME + r"Start training at iteration (\d{1,15}) of \d+$")
_LINE = re.compile(_TIME + r"iteration (\d{1,15})/\d+ .* loss (\S+) .* lr (\S+) ")


@dataclass(frozen=True)
class Curve:
    """A series: steps are iterations, int64 [N], rising; values float64 [N]."""

    steps: np.ndarray
    values: np.ndarray


def read_curves(folder: str | os.PathLike) -> dict[str, Curve]:
    """The series that a run's OUTPUT_DIR holds.

    Returns:
        {"total": training loss, "lr": learning rate, "task/KEY": a task's loss without any weight, the sum of its
        single losses, "test/KEY/METRIC": of the tests on the way: `Curve`}. Without a TensorBoard log the first two
        alone, from log.txt; {} where nothing was logged.

    Raises:
        UserError: the TensorBoard log cannot be read.
    """
    series = _read_events(Path(folder) / EVENTS)
    curves = {"train/total": TOTAL, "train/lr": RATE}
    found = {name: series[tag] for tag, name in curves.items() if tag in series}
    for tag, points in series.items():
        kind, _, name = tag.partition("/")
        if kind == "val":
            found[TEST + name] = points
        elif tag.startswith("train/loss/"):
            # not train/task/KEY, which contains the weights: runs of different weights are to be compared
            sums = found.setdefault(TASK + _task_of(name.removeprefix("loss/")), {})
            for step, value in points.items():
                sums[step] = sums.get(step, 0.0) + value
    return {name: _curve(points) for name, points in (found or _of_log(Path(folder) / LOG)).items() if points}


def logged_seconds(folder: str | os.PathLike) -> float | None:
    """Seconds of training by log.txt, all starts of the run together, to the last iteration that it tells; or None."""
    seconds, start, last = 0.0, None, None
    for line in _log_lines(Path(folder) / LOG):
        begin, step = _START.match(line), _LINE.match(line)
        time = _time(begin or step)
        if begin and time:
            seconds += (last - start).total_seconds() if last else 0.0
            start, last = time, None
        elif step and start and time and time >= start:
            last = time
    if start is None:
        return None
    return seconds + ((last - start).total_seconds() if last else 0.0)


def smoothed(curve: Curve, width: float) -> Curve:
    """The curve with each value replaced by the mean of those less than half of `width` iterations away: `Curve`."""
    ends = np.searchsorted(curve.steps, curve.steps + width / 2, "left")
    begins = np.searchsorted(curve.steps, curve.steps - width / 2, "right")
    sums = np.concatenate([[0.0], np.cumsum(curve.values)])
    counts = np.maximum(ends - begins, 1)
    return Curve(curve.steps, np.where(ends > begins, (sums[ends] - sums[begins]) / counts, curve.values))


def _read_events(folder):
    """{tag: {step: value}} of a TensorBoard log; {} where there is none."""
    if not folder.is_dir():
        return {}
    # imported here: it takes a third of a second
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of restarted runs, which are no fault
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if size > _MOST_BYTES:
        raise UserError(f"{folder} has {size} bytes, more than a TensorBoard log; there are no learning curves of it")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    try:
        events.Reload()
        return {
            printable(tag): {event.step: float(event.value) for event in events.Scalars(tag)}
            for tag in events.Tags()["scalars"]
        }
    except Exception as error:  # whatever a damaged file makes the reader stumble over
        raise UserError(
            f"{folder} cannot be read as a TensorBoard log ({type(error).__name__}); there are no learning curves of it"
        ) from None


def _task_of(loss):
    """Key of the task that owns a loss; a loss that no task claims stands for itself."""
    try:
        return task_of_loss(loss).key
    except KeyError:
        return loss


def _of_log(path):
    """{"total": {step: value}, "lr": ...}: all that log.txt says without weights."""
    found = {TOTAL: {}, RATE: {}}
    for line in _log_lines(path):
        start, step = _START.match(line), _LINE.match(line)
        if start:  # what a killed training had logged beyond its last checkpoint was done anew
            found = {name: {s: v for s, v in points.items() if s <= int(start[2])} for name, points in found.items()}
        elif step:
            with contextlib.suppress(ValueError):  # a line that was cut off or is another program's
                total, rate = float(step[3]), float(step[4])
                found[TOTAL][int(step[2])], found[RATE][int(step[2])] = total, rate
    return found


def _log_lines(path):
    """The lines of a log, one in memory at a time and none longer than any that is written."""
    if not path.is_file():
        return
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            while line := file.readline(_LONGEST_LINE):
                yield line.rstrip("\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _time(match):
    """The time that a line begins with; None for one that is no time."""
    with contextlib.suppress(ValueError, TypeError):
        return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f")
    return None


def _curve(points):
    steps = sorted(points)
    return Curve(np.array(steps, np.int64), np.array([points[step] for step in steps], np.float64))
