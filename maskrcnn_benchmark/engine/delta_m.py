"""Delta_m: what training tasks together gains or loses against networks of one task each."""

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.multitask.interactions import INTERACTIONS
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json
from maskrcnn_benchmark.utils.text import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """A line of the results that is no task of its own."""

    key: str
    title: str
    headline: str


DELTA_M = Comparison("all", "all tasks", "delta_m")

# Which metric stands for a task in Delta_m where it is not the headline, and whose tables have it so: the field has two
# for saliency. All have the direction of the headline
METRICS: Mapping[str, Mapping[str, str]] = {
    "headline": {},
    "mti_net": {"saliency": "max-mIoU"},
    "atrc": {"saliency": "maxF"},
}

# What a task's results hold of the comparison
SINGLE_TASK, GAIN = "single_task", "gain"


def add_delta_m(
    results: dict[str, dict[str, Any]], single_task: Mapping[str, float], metrics: str = "headline"
) -> dict[str, dict[str, Any]]:
    """Hold results against those of single-task networks with the same backbone.

    Delta_m is the mean over tasks of (M - B) / B, M being the headline metric of the multi-task and B that of the
    single-task network; the sign is turned for metrics of which less is better. Above 0 the tasks help one another
    (Maninis et al. 2019, "Attentive single-tasking of multiple tasks", whose "average drop" is its negative).

    Args:
        results: what `results.gather_results` returned; it is not changed.
        single_task: {task key: B}, such as `read_single_task` returns for the same metrics.
        metrics: a key of `METRICS`.

    Returns:
        the results with "single_task" (B) and "gain" (the task's term) where both networks have a score, and a line
        "all" with the metric "delta_m", nan with a reason where no task could be compared.
    """
    compared, gains, left_out = {}, [], []
    for key, result in results.items():
        if key not in TASKS:
            compared[key] = result
            continue
        ours = result["metrics"].get(METRICS[metrics].get(key, result["headline"]), math.nan)
        base = single_task.get(key, math.nan)
        if math.isnan(ours) or math.isnan(base):
            left_out.append(key)
            compared[key] = result
            continue
        if base == 0:
            raise UserError(
                f"Delta_m: the single-task result of {key} is 0, a gain over it has no meaning; leave it out"
            )
        gain = relative_gain(key, ours, base)
        gains.append(gain)
        compared[key] = {**result, SINGLE_TASK: base, GAIN: gain}
    what = f"mean relative gain over single-task networks, {len(gains)} tasks, above 0 is better"
    named = ", ".join(f"{key} by {name}" for key, name in METRICS[metrics].items() if key in results)
    what += f" ({named})" if named else ""
    reason = f"Delta_m is without {', '.join(left_out)}: not measured in both" if left_out else ""
    compared[DELTA_M.key] = {
        "headline": DELTA_M.headline,
        "metrics": {DELTA_M.headline: sum(gains) / len(gains) if gains else math.nan},
        "trivial": {},
        "protocol": what,
        "reason": reason,
        "per_class": {},
    }
    return compared


def relative_gain(key: str, value: float, base: float) -> float:
    """A task's term of Delta_m: (value - base) / base, with the sign turned where less is better.

    Args:
        key: of the task.
        value, base: metrics of the network and of the single-task one; base is not 0.
    """
    return (value - base) / base * (1 if TASKS[key].higher_is_better else -1)


def read_single_task(
    path: str | os.PathLike, metrics: str = "headline", protocols: Mapping[str, str] | None = None
) -> dict[str, float]:
    """The metrics of single-task networks from a JSON file: {task key: value, or nan}.

    The file is a results.json, or an object that has for each task its value, or the path of the results.json of its
    network (from the file's folder). Values are in 0..1, but where less is better, as of an angle or a distance.

    Args:
        path: of the file.
        metrics: a key of `METRICS`.
        protocols: {task key: the protocol by which the other network was scored}; a warning tells of results that name
            another one.

    Raises:
        UserError: the file is missing, is of no such form, names an unknown task, or has a value out of range.
    """
    path = Path(path)
    content = _load(path)
    values = {}
    for key, entry in content.items():
        if key in (DELTA_M.key, INTERACTIONS):
            continue
        if key not in TASKS:
            raise UserError(f"{path}: there is no task {key!r}; there are {', '.join(TASKS)}")
        if isinstance(entry, str):
            source = path.parent / entry
            other = _load(source)
            if key not in other:
                raise UserError(f"{path}: {source} has no results of {key!r}; it has {', '.join(other)}")
            entry = other[key]
        else:
            source = path
        values[key] = _metric(entry, key, source, metrics)
        theirs = entry.get("protocol") if isinstance(entry, dict) else None
        ours = (protocols or {}).get(key, theirs)
        if theirs and theirs != ours:
            words = "Delta_m compares %s of two protocols: in %s it was scored by '%s', here by '%s'; score both alike"
            logger.warning(words, key, source, printable(str(theirs), 300), ours)
    return values


def _load(path):
    try:
        content = read_small_json(path, "give the results.json of a network")
    except UserError as error:
        raise UserError(f"the single-task results cannot be used: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no object: give {{task: value}} or a results.json")
    return content


def _metric(entry, key, path, metrics):
    name = METRICS[metrics].get(key, TASKS[key].headline)
    if isinstance(entry, dict):
        measured = entry.get("metrics", entry)
        if not isinstance(measured, dict) or name not in measured:
            raise UserError(f"{path}: {key} has no {name!r}, the metric that stands for the task")
        entry = measured[name]
    if entry is None:
        return math.nan
    most = 1 if TASKS[key].higher_is_better else math.inf
    if isinstance(entry, bool) or not isinstance(entry, (int, float)) or not 0 <= entry <= most:
        raise UserError(f"{path}: {key} is {entry!r}; give a value in 0..1 (68.3 % is 0.683), as results.json has it")
    return float(entry)
