"""The best of a training's evaluations by one number, and how long ago that was."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from maskrcnn_benchmark.engine.delta_m import DELTA_M
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS, Task
from maskrcnn_benchmark.utils.errors import UserError

MEAN_GAIN = "gain"
BEST = "model_best"  # the checkpoint's name

Results = Mapping[str, Mapping[str, Any]]


def score_of(results: Results, metric: str) -> float:
    """The number that a training is judged by; nan where it was not measured.

    Args:
        results: as `engine.results.gather_results` returns them, with or without Delta_m.
        metric: "TASK/METRIC", such as "detection/AP", or "gain", the mean over tasks of what the network gains: Delta_m
            where the results have it, else over the trivial predictor, see `skill`.

    Raises:
        UserError: the results have no such metric.
    """
    if metric != MEAN_GAIN:
        key, _, name = metric.partition("/")
        return _found(_found(results, key, metric)["metrics"], name, metric)
    if DELTA_M.key in results:
        return results[DELTA_M.key]["metrics"][DELTA_M.headline]
    gains = []
    for key, result in results.items():
        name = result["headline"]
        gain = skill(result["metrics"][name], result["trivial"].get(name, math.nan), is_higher_better(f"{key}/{name}"))
        gains += [] if math.isnan(gain) else [gain]
    return sum(gains) / len(gains) if gains else math.nan


def skill(value: float, base: float, is_higher_better: bool) -> float:
    """How much of the way from a base to a perfect prediction has been made: (value - base) / (perfect - base).

    1 is perfect, 0 as good as the base. Unlike a relative gain it is also defined over a base of 0, and no task with a
    small base outweighs the others (Murphy 1988, "Skill scores based on the mean square error and their relationships
    to the correlation coefficient").

    Args:
        value, base: of a metric that is perfect at 1, or at 0 where less is better. Without a base, nan, more is better
            than 0, and less has no skill: nan.
    """
    perfect = 1.0 if is_higher_better else 0.0
    if is_higher_better and math.isnan(base):
        base = 0.0
    return (value - base) / (perfect - base) if base != perfect else math.nan


def is_higher_better(metric: str) -> bool:
    """The direction of a metric as `score_of` takes it: that of its task; a task without an entry has the usual one."""
    task = {PROPOSALS.key: PROPOSALS, **TASKS}.get(metric.partition("/")[0])
    return task is None or task.higher_is_better


def check_metric(metric: str, tasks: Sequence[Task], vocabulary: Vocabulary, protocols: Protocols) -> None:
    """Raise `UserError` for a metric that evaluations of these tasks will not measure, before hours of training.

    Args:
        metric: as `score_of` takes it.
        tasks: what is evaluated.
        vocabulary, protocols: as `build_evaluators` takes them.
    """
    key, _, name = metric.partition("/")
    if metric == MEAN_GAIN:
        return
    task = _found({each.key: each for each in tasks}, key, metric)
    if task.is_added:
        return  # its evaluator may need images: the first evaluation will tell
    evaluator = build_evaluators([task], vocabulary, protocols)[key]
    evaluator.evaluate()  # of no image: every metric is there, as nan
    _found(evaluator.scores.metrics, name, metric)


def _found(table, name, metric):
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, list(table), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    what = (
        "TASK/METRIC with a METRIC" if "/" in metric and name == metric.partition("/")[2] else "TASK/METRIC with a TASK"
    )
    raise UserError(
        f"SOLVER.BEST.METRIC is {metric!r}, but {name!r} is not measured{hint}; give {what} among "
        f"{', '.join(table)}, or {MEAN_GAIN!r}"
    )


def with_evaluation(
    best: Mapping[str, Any] | None, metric: str, value: float, iteration: int
) -> tuple[dict[str, Any], bool]:
    """What a checkpoint remembers of the evaluations, after one more.

    Args:
        best: what it remembered before, of whatever metric; None before the first.
        metric, value: as `score_of` takes and returns them.
        iteration: that was evaluated.

    Returns:
        ({"metric", "value", "iteration": of the best, None before any finite one; "evaluated": the last iteration that
        was evaluated; "since": evaluations since the best}, whether this one is the best).
    """
    if best is None or best["metric"] != metric:
        best = {"metric": metric, "value": None, "iteration": None, "since": 0}
    sign = 1 if is_higher_better(metric) else -1
    is_better = math.isfinite(value) and (best["value"] is None or sign * (value - best["value"]) > 0)
    if is_better:
        return {"metric": metric, "value": value, "iteration": iteration, "evaluated": iteration, "since": 0}, True
    return {**best, "evaluated": iteration, "since": best["since"] + 1}, False


def is_over(best: Mapping[str, Any] | None, metric: str, patience: int) -> bool:
    """Whether the last `patience` evaluations brought nothing better; never with a patience of 0."""
    return best is not None and best["metric"] == metric and 0 < patience <= best["since"]


def describe(best: Mapping[str, Any] | None) -> str:
    """ "detection/AP 35.6 at iteration 1500", or "" where there is none."""
    if best is None or best["value"] is None:
        return ""
    return f"{best['metric']} {metric_text(best['metric'], best['value'])} at iteration {best['iteration']}"
