"""Networks of several tasks and seeds beside single-task networks: means, spreads over seeds, and Delta_m."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.engine.delta_m import relative_gain

EACH_ALONE = "each alone"


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) of the values that are not nan; nan where there are too few."""

    mean: float
    deviation: float
    count: int


def spread(values: Iterable[float]) -> Spread:
    """The `Spread` of numbers."""
    values = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(values) if values else math.nan
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return Spread(mean, deviation, len(values))


@dataclass(frozen=True)
class Network:
    """One subset of tasks trained in one way.

    Attributes:
        subset, method: their names.
        tasks: keys of the tasks that are compared.
        scores: {seed: {task key: headline metric in 0..1 or nan}}.
    """

    subset: str
    method: str
    tasks: tuple[str, ...]
    scores: dict[Any, dict[str, float]]

    def score(self, task: str) -> Spread:
        """`Spread` over seeds of a task's metric."""
        return spread(scores[task] for scores in self.scores.values())

    def gain(self, task: str, base: Mapping[str, float]) -> Spread:
        """`Spread` over seeds of a task's relative gain over `base`, {task key: value}; nan where that lacks it."""
        if task not in base:
            return spread([])
        return spread(relative_gain(task, scores[task], base[task]) for scores in self.scores.values())

    def delta_m_by_seed(self, base: Mapping[str, float]) -> dict[Any, float]:
        """{seed: mean over tasks of the relative gain}, over the tasks that `base` has; nan without any."""
        tasks = [task for task in self.tasks if task in base]
        gains = {
            seed: [relative_gain(task, scores[task], base[task]) for task in tasks]
            for seed, scores in self.scores.items()
        }
        return {seed: statistics.fmean(values) if values else math.nan for seed, values in gains.items()}

    def delta_m(self, base: Mapping[str, float]) -> Spread:
        """`Spread` over seeds of Delta_m."""
        return spread(self.delta_m_by_seed(base).values())


def each_alone(networks: Iterable[Network]) -> Network | None:
    """The single-task networks seen as one, for the seeds that all of them have: its Delta_m over seeds is pure chance.

    Args:
        networks: list of `Network`.

    Returns:
        `Network`, or None if there are none of one task.
    """
    singles = {network.tasks[0]: network for network in networks if len(network.tasks) == 1}
    if not singles:
        return None
    seeds = [seed for seed in next(iter(singles.values())).scores if all(seed in n.scores for n in singles.values())]
    scores = {seed: {task: n.scores[seed][task] for task, n in singles.items()} for seed in seeds}
    return Network(EACH_ALONE, "", tuple(singles), scores)


def single_task_means(networks: Iterable[Network]) -> dict[str, float]:
    """{task key: mean metric over the seeds of its single-task network}, for the tasks that have one."""
    return {network.tasks[0]: network.score(network.tasks[0]).mean for network in networks if len(network.tasks) == 1}


def comparable_base(base: Mapping[str, float], networks: Sequence[Network]) -> tuple[dict[str, float], dict[str, str]]:
    """The tasks that Delta_m is taken over: the same for all networks, so that no network's is flattered by a gap.

    Args:
        base: {task key: single-task metric in 0..1 or nan}.
        networks: list of `Network`.

    Returns:
        ({task key: value} without tasks that cannot be compared, {task key: why it was left out}).
    """
    reasons = {}
    for task in dict.fromkeys(task for network in networks for task in network.tasks):
        unmeasured = [n for n in networks if task in n.tasks and any(math.isnan(s[task]) for s in n.scores.values())]
        if task not in base:
            reasons[task] = "there is no single-task network of it"
        elif math.isnan(base[task]):
            reasons[task] = "its single-task network has no score"
        elif base[task] == 0:
            reasons[task] = "its single-task network scores 0, and a gain over that has no meaning"
        elif unmeasured:
            reasons[task] = f"{unmeasured[0].subset}, {unmeasured[0].method} has no score of it"
    return {task: value for task, value in base.items() if task not in reasons}, reasons


def pair_gains(networks: Iterable[Network], base: Mapping[str, float]) -> dict[str, dict[tuple[str, str], Spread]]:
    """What a second task does to a first: {method: {(row task, column task): `Spread` of the row's relative gain}}."""
    gains: dict[str, dict[tuple[str, str], Spread]] = {}
    for network in networks:
        if len(network.tasks) == 2:
            for row, column in (network.tasks, network.tasks[::-1]):
                gains.setdefault(network.method, {})[row, column] = network.gain(row, base)
    return gains
