"""The one table of all tasks: for the terminal, for results.json, and held against expected results."""

import csv
import difflib
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.engine.delta_m import DELTA_M, GAIN, SINGLE_TASK
from maskrcnn_benchmark.engine.image_subset import LISTED
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.multitask.interactions import INTERACTIONS
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS, Task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.small_json import read_small_json
from maskrcnn_benchmark.utils.text import counted

_logger = logging.getLogger(__name__)

# How many metrics beside the headline fit on a line of the table
_SECONDARY = 4


def _lines():
    """What the results can have a line for, in this order: {key: `Task`}."""
    return {PROPOSALS.key: PROPOSALS, **TASKS, DELTA_M.key: DELTA_M}


def tasks_by_iou_type() -> dict[str, Task]:
    """{the original library's name of what a network predicts per box: the task}, where it has one."""
    return {task.iou_type: task for task in (*TASKS.values(), PROPOSALS) if task.iou_type}


def gather_results(
    scores: Mapping[str, Scores], trivial: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """The results of a run.

    Args:
        scores: {task key: `Scores` of the network}.
        trivial: {task key: {metric: value in 0..1 or nan}} of the trivial predictor on the same images; tasks may be
            missing.

    Returns:
        {task key: {"headline": metric name, "metrics": {...}, "trivial": {...}, "protocol": text, "reason": why metrics
        are nan, "per_class": {metric: {class: value}}}} in the order of the table of tasks, after proposals
        ("box_proposal"); with "note", whose figures are measured alike, where an evaluator has one.

    Raises:
        ValueError: a task's evaluator does not measure its headline.
    """
    for key, task in _lines().items():
        if key in scores and task.headline not in scores[key].metrics:
            raise ValueError(
                f"the task {key!r} has the headline {task.headline!r}, but its evaluator measures "
                f"{', '.join(scores[key].metrics)}; name one of these"
            )
    return {
        key: {
            "headline": task.headline,
            "metrics": dict(scores[key].metrics),
            "trivial": dict(trivial.get(key, {})),
            "protocol": scores[key].protocol,
            "reason": scores[key].reason,
            "per_class": scores[key].per_class,
            **({"note": scores[key].note} if scores[key].note else {}),
        }
        for key, task in _lines().items()
        if key in scores
    }


def title_of(key: str) -> str:
    """What people call a line of the results; one of a task that this package does not know is called by its key."""
    lines = _lines()
    return lines[key].title if key in lines else key


def format_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as text, a line per task: the columns of `table_rows`.

    Below it why any of them is missing, how many images a list has, and which published figures are measured alike.
    """
    rows = table_rows(results)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    for key, result in results.items():
        shown = [result["metrics"][name] for name in (result["headline"], *_others(result))]
        if result.get("reason") and any(math.isnan(value) for value in shown):
            lines.append(f"{title_of(key)}: {result['reason']}")
    lists = dict.fromkeys((r[LISTED]["name"], r[LISTED]["images"]) for r in results.values() if LISTED in r)
    lines += [f"on {name}: the {counted(images, 'image')} of the list" for name, images in lists]
    lines += [f"{title_of(key)}: {result['note']}" for key, result in results.items() if result.get("note")]
    return "\n".join(lines)


def table_rows(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The table of results, in percent but for metrics with a unit: list of rows of text, the head first.

    Columns: task, headline metric, score, score on the images of a list, trivial score, score of the single-task
    network, relative gain over it, other metrics. Columns that hold nothing are left out.
    """
    names = {result[LISTED]["name"]: None for result in results.values() if LISTED in result}
    listed = f"on {', '.join(names)}"
    rows = [("task", "metric", "score", listed, "trivial", "single", "gain", "also")]
    for key, result in results.items():
        headline, metrics = result["headline"], result["metrics"]
        rows.append(
            (
                title_of(key),
                headline,
                metric_text(f"{key}/{headline}", metrics[headline]),
                metric_text(f"{key}/{headline}", _on_list(result, headline)),
                metric_text(f"{key}/{headline}", result["trivial"].get(headline, math.nan)),
                metric_text(f"{key}/{headline}", result.get(SINGLE_TASK, math.nan)),
                metric_text(GAIN, result.get(GAIN, math.nan), sign="+"),
                "  ".join(f"{name} {metric_text(f'{key}/{name}', metrics[name])}" for name in _others(result)),
            )
        )
    measured = {
        3: bool(names),
        4: any(result["trivial"] for result in results.values()),
        5: any(SINGLE_TASK in result for result in results.values()),
        6: any(GAIN in result for result in results.values()),
    }
    return [tuple(cell for column, cell in enumerate(row) if measured.get(column, True)) for row in rows]


def _on_list(result, name):
    """A metric on the images of a list, nan where there is no list."""
    return result[LISTED]["metrics"].get(name, math.nan) if LISTED in result else math.nan


def _others(result):
    """The metrics that are shown beside the headline."""
    return [name for name in result["metrics"] if name != result["headline"]][:_SECONDARY]


def _aligned(row, widths):
    """The cells of a row at their columns' widths: the names at the left, the numbers in between at the right."""
    last = len(row) - 1
    for place, (cell, width) in enumerate(zip(row, widths)):
        yield cell if place == last else f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"


def write_results(
    results: Mapping[str, Any], path: str | os.PathLike, interactions: Mapping[str, Any] | None = None
) -> None:
    """Write results as JSON (nan becomes null) in one step: a reader sees the old file or the whole new one.

    Args:
        results: what `gather_results` returned.
        path: the file.
        interactions: the gradient conflicts of the training, as `Interactions.summary` returns them; they become the
            entry "interactions" beside the tasks. None is left out.
    """
    content = results if interactions is None else {**results, INTERACTIONS: interactions}
    text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
    mkdir(Path(path).parent)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


def read_results(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """The results that `write_results` wrote, with nan where the file has null; `UserError` for anything else."""
    return _read(path)[0]


def read_interactions(path: str | os.PathLike) -> dict[str, Any] | None:
    """The gradient conflicts as `write_results` wrote them, with nan where the file has null, or None."""
    return _read(path)[1]


def _read(path):
    """(results, interactions or None) of a file."""
    remedy = "remove it and run again to evaluate anew"
    results = _with_nan(read_small_json(path, remedy))
    if not isinstance(results, dict):
        raise UserError(f"{path} is damaged: it holds no object with tasks; {remedy}")
    interactions = results.pop(INTERACTIONS, None)
    problems = [(key, _problem_of(result)) for key, result in results.items()]
    problems.append((INTERACTIONS, None if interactions is None else _problem_of_interactions(interactions)))
    for key, problem in problems:
        if problem:
            raise UserError(f"{path} is damaged: {key[:40]} {problem}; {remedy}")
    return results, interactions


def _problem_of(result):
    """What is wrong with a task's entry, in words that follow its key; None for a sound one."""
    if not isinstance(result, dict):
        return "has no metrics"
    headline, metrics, per_class = result.get("headline"), result.get("metrics"), result.get("per_class", {})
    if not isinstance(headline, str) or not _are_metrics(metrics) or headline not in metrics:
        return "has no metrics"
    if not _are_metrics(result.get("trivial")):
        return "has odd metrics of the trivial predictor"
    if not isinstance(per_class, dict) or not all(map(_are_metrics, per_class.values())):
        return "has odd metrics of classes"
    if not all(isinstance(result.get(name, ""), str) for name in ("protocol", "reason", "note")):
        return "has a protocol, reason or note that is no text"
    if LISTED in result and not _is_of_list(result[LISTED]):
        return "has odd metrics on the images of a list"
    if not all(_is_metric(result.get(name, 0)) for name in (SINGLE_TASK, GAIN)):
        return "has an odd comparison with single tasks"
    return None


def _is_of_list(listed):
    if not isinstance(listed, dict) or not _are_metrics(listed.get("metrics")):
        return False
    return isinstance(listed.get("name"), str) and type(listed.get("images")) is int


def _problem_of_interactions(found):
    names = ("looks", "norm", "cosine", "conflict")
    tasks, *columns = (found.get(name) for name in ("tasks", *names)) if isinstance(found, dict) else [None]
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        return "have no tasks"
    for name, column in zip(names, columns):
        if not isinstance(column, list) or len(column) != len(tasks):
            return f"have no {name} for each task"
        for row in column if name in ("cosine", "conflict") else [column]:
            if not isinstance(row, list) or len(row) != len(tasks) or not all(map(_is_metric, row)):
                return f"have an odd {name}"
    return None


def _are_metrics(values):
    return isinstance(values, dict) and all(map(_is_metric, values.values()))


def _is_metric(value):
    return type(value) in (int, float)


def _with_nan(value):
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def write_class_table(results: Mapping[str, Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Write every metric of every class as CSV with the columns task, metric, class, value; nothing where nan."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("task", "metric", "class", "value"))
    for task, result in results.items():
        for metric, values in result.get("per_class", {}).items():
            rows.writerows((task, metric, name, "" if math.isnan(v) else f"{v:.6f}") for name, v in values.items())
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def check_expected_results(
    results: Mapping[str, Mapping[str, Any]], dataset_name: str, expected_results: Iterable[Any], sigma_tolerance: float
) -> list[str]:
    """Hold results against TEST.EXPECTED_RESULTS; every expectation is logged, a missed one as an error.

    Args:
        results: what `gather_results` returned.
        dataset_name: the data set they were measured on; expectations of others are passed over.
        expected_results: [[data set, task, metric, mean, standard deviation], ...] or, for whatever data set is tested,
            the original library's [[kind, metric, [mean, standard deviation]], ...] with its names of the kinds: bbox,
            segm, keypoints, box_proposal.
        sigma_tolerance: standard deviations that a result may lie from the mean.

    Returns:
        The missed expectations as text: list of str.

    Raises:
        UserError: an expectation is not of that form, or names a task or metric that was not measured.
    """
    missed = []
    for index, expectation in enumerate(expected_results):
        where = f"TEST.EXPECTED_RESULTS[{index}]"
        name, task, metric, mean, deviation = _parse(expectation, where, dataset_name)
        if name != dataset_name:
            continue
        metrics = _look_up(results, task, f"{where}: task")["metrics"]
        value = _look_up(metrics, metric, f"{where}: metric of {task}")
        low, high = mean - sigma_tolerance * deviation, mean + sigma_tolerance * deviation
        text = f"{name} {task} {metric} = {value:.4f}, expected {low:.4f}..{high:.4f}"
        if low <= value <= high:
            _logger.info("as expected: %s", text)
        else:
            _logger.error("not as expected: %s", text)
            missed.append(text)
    return missed


def _parse(expectation, where, dataset_name):
    """(data set, task key, metric, mean, standard deviation) of an expectation in either form."""
    if isinstance(expectation, (list, tuple)) and len(expectation) == 3:
        kind, metric, spread = expectation
        if isinstance(spread, (list, tuple)) and len(spread) == 2:
            task = tasks_by_iou_type().get(kind)
            expectation = [dataset_name, kind if task is None else task.key, metric, *spread]
    if (
        not isinstance(expectation, (list, tuple))
        or len(expectation) != 5
        or not all(isinstance(number, (int, float)) for number in expectation[3:])
    ):
        raise UserError(
            f"{where} is {expectation!r}: give [data set, task, metric, mean, standard deviation] or [kind, metric, "
            f"[mean, standard deviation]] with a kind of {', '.join(tasks_by_iou_type())}"
        )
    return expectation


def _look_up(table, name, what):
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(str(name), list(table), n=1, cutoff=0.0)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise UserError(f"{what} {name!r} was not measured{hint}")
