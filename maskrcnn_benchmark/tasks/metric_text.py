"""Metrics as people read them: in percent, or in the unit that their task says."""

import math

from maskrcnn_benchmark.tasks.task import TASKS


def metric_text(path: str, value: float, sign: str = "-") -> str:
    """A metric as tables show it: "34.1" in percent, or "0.51 m" where its task has a unit for it; "-" for nan.

    Args:
        path: "TASK/METRIC"; of a task that is not known, in percent.
        value: as an evaluator says it.
        sign: that of Python's format language.
    """
    key, _, metric = path.partition("/")
    unit = TASKS[key].units.get(metric) if key in TASKS else None
    if math.isnan(value):
        return "-"
    if unit is not None:
        return f"{value:{sign}.3g}{unit}"
    return f"{round(100 * value, 1) + 0.0:{sign}.1f}"  # 0 has no sign


def metric_scale(path: str) -> tuple[float, str]:
    """(what a metric is multiplied by to be shown, its unit) of "TASK/METRIC": (100, "%") without a unit of its own."""
    key, _, metric = path.partition("/")
    units = TASKS[key].units if key in TASKS else {}
    return (1.0, units[metric].strip()) if metric in units else (100.0, "%")
