"""The one table of all tasks: for the terminal, for results.json, and held against expected results."""

import difflib
import json
import logging
import math
import os
from pathlib import Path

from maskrcnn_benchmark.multitask.tasks import PROPOSALS, TASKS
from maskrcnn_benchmark.utils.errors import UserError

_logger = logging.getLogger(__name__)

# What the results can have a line for, in this order
_LINES = {PROPOSALS.key: PROPOSALS, **TASKS}

# The original library's names for what a network answers per box
TASK_OF_IOU_TYPE = {"bbox": "detection", "segm": "instance", "keypoints": "keypoint", "box_proposal": PROPOSALS.key}

# How many metrics beside the headline fit on a line of the table
_SECONDARY = 4


def gather_results(metrics, trivial):
    """The results of a run.

    Args:
        metrics: {task key: {metric: value in 0..1 or nan}}, what the evaluators returned for the network.
        trivial: the same for the trivial predictor on the same images; tasks may be missing.

    Returns:
        {task key: {"headline": metric name, "metrics": {...}, "trivial": {...}}} in the order of the table of tasks,
        after proposals ("box_proposal").
    """
    return {
        key: {"headline": task.headline, "metrics": dict(metrics[key]), "trivial": dict(trivial.get(key, {}))}
        for key, task in _LINES.items()
        if key in metrics
    }


def format_table(results):
    """The results as text, a line per task: headline metric, score, trivial score, other metrics; all in percent.

    The trivial predictor has no column where it was not measured.
    """
    rows = [("task", "metric", "score", "trivial", "also")]
    for key, result in results.items():
        headline, metrics = result["headline"], result["metrics"]
        others = [name for name in metrics if name != headline][:_SECONDARY]
        rows.append(
            (
                _LINES[key].title,
                headline,
                _percent(metrics[headline]),
                _percent(result["trivial"].get(headline, math.nan)),
                "  ".join(f"{name} {_percent(metrics[name])}" for name in others),
            )
        )
    if not any(result["trivial"] for result in results.values()):
        rows = [row[:3] + row[4:] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _aligned(row, widths):
    """The cells of a row at their columns' widths: the names at the left, the figures in between at the right."""
    last = len(row) - 1
    for place, (cell, width) in enumerate(zip(row, widths)):
        yield cell if place == last else f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def write_results(results, path):
    """Write results as JSON (nan becomes null) in one step: a reader sees the old file or the whole new one."""
    path = Path(path)
    text = json.dumps(_without_nan(results), indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def check_expected_results(results, dataset_name, expected_results, sigma_tolerance):
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
            expectation = [dataset_name, TASK_OF_IOU_TYPE.get(kind, kind), metric, *spread]
    if (
        not isinstance(expectation, (list, tuple))
        or len(expectation) != 5
        or not all(isinstance(number, (int, float)) for number in expectation[3:])
    ):
        raise UserError(
            f"{where} is {expectation!r}: give [data set, task, metric, mean, standard deviation] or [kind, metric, "
            f"[mean, standard deviation]] with a kind of {', '.join(TASK_OF_IOU_TYPE)}"
        )
    return expectation


def _look_up(table, name, what):
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(str(name), list(table), n=1, cutoff=0.0)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise UserError(f"{what} {name!r} was not measured{hint}")
