"""Weights by the keys of tasks, for a `LossCombiner`."""

from maskrcnn_benchmark.tasks.task import TASKS


def of_tasks(weights):
    """{task: weight} of {key: weight}, or of keys with a weight of 1."""
    return {TASKS[key]: weights[key] if isinstance(weights, dict) else 1.0 for key in weights}
