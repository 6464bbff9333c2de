"""An ablation's scores as tables for people and as one dictionary for programs."""

import math
from dataclasses import dataclass, field
from typing import Any

from maskrcnn_benchmark.experiments.seed_statistics import (
    EACH_ALONE,
    Network,
    comparable_base,
    each_alone,
    pair_gains,
    single_task_means,
    spread,
)
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import TASKS

NOT_FINISHED = "not finished"


@dataclass
class Ablation:
    """All scores of an ablation.

    Attributes:
        networks: list of `Network` that have results.
        facts: {name: text} on how they were trained.
        missing: {name of a run without results: why}.
        baseline: {task key: metric in 0..1} of single-task networks trained elsewhere, or None to take our own.
    """

    networks: list[Network]
    facts: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    baseline: dict[str, float] | None = None

    def __post_init__(self) -> None:
        self.single_task = self.baseline if self.baseline is not None else single_task_means(self.networks)
        self.base, self.left_out = comparable_base(self.single_task, self.networks) if self.single_task else ({}, {})
        self.pairs = pair_gains(self.networks, self.base)
        shown = {task for network in self.networks for task in network.tasks}
        self.tasks = [task for task in TASKS if task in shown]

    def rows(self) -> list[Network]:
        """The networks of the table: the single-task ones as the first row, then those of several tasks."""
        alone = each_alone(self.networks)
        return ([] if alone is None else [alone]) + [n for n in self.networks if len(n.tasks) > 1]


def table_rows(ablation: Ablation) -> list[list[str]]:
    """The table in percent: list of rows of text, the head first. A column per task, mean and spread over seeds."""
    compared = bool(ablation.base)
    head = ["tasks", "method", "seeds", *(f"{task} {TASKS[task].headline}" for task in ablation.tasks)]
    rows = [[*head, "delta_m", "spread"] if compared else head]
    for network in ablation.rows():
        cells = [_score(network.score(task), task=task) if task in network.tasks else "" for task in ablation.tasks]
        # the single-task networks of fewer seeds than asked for still have their means
        seeds = str(len(network.scores))
        row = [network.subset, network.method, seeds, *cells]
        if compared:
            delta_m = network.delta_m(ablation.base)
            row += [_percent(delta_m.mean, "+"), _percent(delta_m.deviation)]
        rows.append(row)
    return rows


def pair_rows(ablation: Ablation, method: str) -> list[list[str]]:
    """The matrix of pairs of a method in percent: list of rows of text, the head first."""
    gains = ablation.pairs[method]
    tasks = [task for task in TASKS if any(task in pair for pair in gains)]
    rows = [["gain of \\ trained with", *tasks]]
    for row in tasks:
        cells = (gains.get((row, column), spread([])) for column in tasks)
        rows.append([row, *(_score(cell, "+") if cell.count else "-" for cell in cells)])
    return rows


def notes(ablation: Ablation) -> list[str]:
    """Lines that a reader of the tables has to know."""
    lines = []
    if ablation.base:
        where = "given" if ablation.baseline is not None else "means over seeds of those above"
        scores = ", ".join(f"{task} {_percent(value, task=task)}" for task, value in ablation.base.items())
        lines.append(f"Delta_m is against single-task networks ({where}): {scores}.")
    elif ablation.networks and not ablation.single_task:
        lines.append("No Delta_m: add `single` to --tasks, or name single-task results with --baseline.")
    lines += [f"Delta_m is without {task}: {reason}." for task, reason in ablation.left_out.items()]
    waiting = sum(reason == NOT_FINISHED for reason in ablation.missing.values())
    lines += [f"{waiting} runs are not finished."] if waiting else []
    lines += [f"No results of {name}: {reason}" for name, reason in ablation.missing.items() if reason != NOT_FINISHED]
    return lines


def format_text(ablation: Ablation) -> str:
    """Tables and notes for the terminal."""
    pairs = list(ablation.pairs) if ablation.base else []
    matrices = [f"Relative gain over alone, {name}:\n{_aligned(pair_rows(ablation, name))}" for name in pairs]
    return "\n\n".join([_aligned(table_rows(ablation), names=2), *matrices, "\n".join(notes(ablation))]).rstrip()


def format_markdown(ablation: Ablation, picture: str | None = None) -> str:
    """Tables, notes and facts as a Markdown page; `picture` is the file name of the diagram, if there is one."""
    parts = ["# Ablation", "\n".join(f"- {name}: {text}" for name, text in ablation.facts.items())]
    parts.append("Percent; mean ± sample standard deviation over seeds. Delta_m: mean relative gain over tasks.")
    parts.append(_markdown_table(table_rows(ablation)))
    parts += ["\n".join(f"- {line}" for line in notes(ablation))]
    for method in ablation.pairs:
        if ablation.base:
            parts += [f"## Pairs, {method}", "Relative gain of the row's task, trained with the column's, over alone."]
            parts.append(_markdown_table(pair_rows(ablation, method)))
    if picture:
        parts.append(f"![Delta_m of each network]({picture})")
    return "\n\n".join(part for part in parts if part) + "\n"


def to_dict(ablation: Ablation) -> dict[str, Any]:
    """All scores, those of each seed included, values in 0..1: what ablation.json holds."""
    return {
        "facts": ablation.facts,
        "single_task": ablation.single_task,
        "left_out": ablation.left_out,
        "missing": ablation.missing,
        "networks": {f"{n.subset}/{n.method}": _network_dict(n, ablation.base) for n in ablation.networks},
        "each_alone": next((_network_dict(n, ablation.base) for n in ablation.rows() if n.subset == EACH_ALONE), None),
        "pairs": {
            method: {f"{row} with {column}": _spread_dict(gain) for (row, column), gain in gains.items()}
            for method, gains in ablation.pairs.items()
        },
    }


def _network_dict(network, base):
    delta_m = network.delta_m_by_seed(base)
    return {
        "delta_m": _spread_dict(network.delta_m(base)),
        "tasks": {
            task: {
                "metric": TASKS[task].headline,
                **_spread_dict(network.score(task)),
                "gain": _spread_dict(network.gain(task, base)),
            }
            for task in network.tasks
        },
        "seeds": {str(seed): {"scores": scores, "delta_m": delta_m[seed]} for seed, scores in network.scores.items()},
    }


def _spread_dict(value):
    return {"mean": value.mean, "deviation": value.deviation}


def _score(value, sign="-", task=None):
    """ "60.8 ± 0.4", or "60.8" from one seed; of a task's headline in its unit."""
    deviation = "" if math.isnan(value.deviation) else f" ± {_percent(value.deviation, task=task)}"
    return _percent(value.mean, sign, task) + deviation


def _percent(value, sign="-", task=None):
    return metric_text("" if task is None else f"{task}/{TASKS[task].headline}", value, sign)


def _aligned(rows, names=1):
    """Rows of text as lines; the first `names` columns at the left, numbers at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_cell(cell, *at, names) for cell, at in zip(row, enumerate(widths))).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _cell(text, place, width, names):
    return f"{text:<{width}}" if place < names else f"{text:>{width}}"


def _markdown_table(rows):
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
    return "\n".join(lines)
