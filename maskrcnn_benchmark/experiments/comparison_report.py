"""A comparison of runs as text for people, as tables for a page, and as one dictionary for programs."""

import math
import textwrap
from typing import Any

from maskrcnn_benchmark.engine.results import title_of
from maskrcnn_benchmark.experiments.comparison import Comparison, option_text
from maskrcnn_benchmark.experiments.planned_runs import duration
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import TASKS

# Letters of the widest cells of the terminal's table: what is longer goes on in the next line of its cell
WIDEST_NAME, WIDEST_CELL = 40, 20
GAP = "  "

Rows = list[tuple[str, list[str]]]  # a name, and a cell of each run or group


def run_rows(comparison: Comparison) -> Rows:
    """How the runs stand: rows of text, (name, cell of each run)."""
    runs = comparison.runs
    rows = [
        ("state", [run.state for run in runs]),
        ("iteration", [_iteration(run) for run in runs]),
        ("training time", [_time(run.training_seconds) for run in runs]),
    ]
    if any(run.best for run in runs):
        rows.append(("best", [run.best or "-" for run in runs]))
    if len({run.commit for run in runs} - {None}) > 1:
        rows.append(("commit", [run.commit or "-" for run in runs]))
    if len({run.test_set for run in runs}) > 1:
        rows.append(("tested on", [run.test_set or "-" for run in runs]))
    return rows


def option_rows(comparison: Comparison) -> Rows:
    """The options that differ: rows of text, (option, value of each run)."""
    return [(key, [option_text(value) for value in values]) for key, values in comparison.options.items()]


def score_rows(comparison: Comparison) -> Rows:
    """Headline metrics in percent, with the relative gain over the first in brackets, and Delta_m."""
    rows = []
    for key in comparison.tasks:
        cells = []
        for scores, gains in zip(comparison.scores, comparison.gains):
            gain = f" ({percent(gains[key], '+')})" if key in gains else ""
            cells.append(metric_text(_path(comparison, key), scores.get(key, math.nan)) + gain)
        rows.append((_line_title(comparison, key), cells))
    if any(comparison.gains):
        rows.append((f"Delta_m to {comparison.labels[0]}", [percent(value, "+") for value in comparison.delta_m]))
    return rows


def seed_sections(comparison: Comparison) -> tuple[Rows, Rows]:
    """Mean and spread over seeds: two lists of rows of text, (name, cell of each group), of options and of scores."""
    groups, options = comparison.groups, comparison.group_options
    differing = [key for key in comparison.options if len({repr(values.get(key)) for values in options}) > 1]
    tasks = [key for key in comparison.tasks if any(key in group.tasks for group in groups)]
    scores = [
        (
            _line_title(comparison, key),
            [_spread(g.score(key), path=_path(comparison, key)) if key in g.tasks else "-" for g in groups],
        )
        for key in tasks
    ]
    if comparison.base:
        scores.append(("Delta_m", [_spread(group.delta_m(comparison.base), "+") for group in groups]))
    return [(key, [option_text(values[key]) for values in options]) for key in differing], scores


def metric_rows(comparison: Comparison, key: str) -> Rows:
    """Every metric of a line of the results in percent: rows of text, (metric, cell of each run)."""
    names = dict.fromkeys(name for run in comparison.runs for name in _metrics(run, key))
    return [
        (name, [metric_text(f"{key}/{name}", _metrics(run, key).get(name, math.nan)) for run in comparison.runs])
        for name in names
    ]


def explanations(comparison: Comparison) -> list[str]:
    """Lines that say how the tables are to be read."""
    lines = ["Percent of the task's metric."]
    # the same options, but not the same code
    if any(name == "commit" for name, _ in run_rows(comparison)):
        lines.append("The runs are of different commits of the code; + stands for changes that were not committed.")
    if any(comparison.gains):
        first = comparison.labels[0]
        lines[0] = f"Percent; in brackets the relative gain over {first} in percent, and Delta_m is the mean of these."
    if comparison.groups:
        line = "Over seeds: mean ± sample standard deviation of the runs that differ in SOLVER.SEED alone"
        if comparison.base:
            line += "; Delta_m is taken over the mean of the first column, whose own spread is chance"
        lines.append(line + ".")
    return lines


def format_text(comparison: Comparison, width: int = 120) -> str:
    """The comparison for a terminal of so many letters; columns that do not fit go into further tables below."""
    labels = comparison.labels
    keys = [f"{label}  {run.folder}" for label, run in zip(labels, comparison.runs)]
    sections = [run_rows(comparison), option_rows(comparison), score_rows(comparison)]
    parts = ["\n".join(keys), _columns(labels, sections, width)]
    if comparison.groups:
        parts.append(_columns([group.subset for group in comparison.groups], seed_sections(comparison), width))
    lines = [*explanations(comparison), *comparison.notes]
    parts.append("\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in lines))
    return "\n\n".join(part for part in parts if part)


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON holds it, metrics in 0..1 or nan; learning curves are not in it."""
    runs = []
    for place, (label, run) in enumerate(zip(comparison.labels, comparison.runs)):
        runs.append(
            {
                "label": label,
                "folder": str(run.folder),
                "state": run.state,
                "error": run.error,
                "iteration": run.iteration,
                "max_iteration": (run.options or {}).get("SOLVER.MAX_ITER"),
                "training_seconds": run.training_seconds,
                "seed": run.seed,
                "test_set": run.test_set,
                "options": {key: values[place] for key, values in comparison.options.items()},
                "metrics": {key: result["metrics"] for key, result in run.results.items()},
                "headline": comparison.scores[place],
                "gain": comparison.gains[place],
                "delta_m": comparison.delta_m[place],
                "not_compared": comparison.left_out[place],
                "record": run.record,
            }
        )
    groups = [
        {
            "runs": list(group.scores),
            "options": options,
            "headline": {key: _spread_dict(group.score(key)) for key in group.tasks},
            "delta_m": _spread_dict(group.delta_m(comparison.base)),
        }
        for group, options in zip(comparison.groups, comparison.group_options)
    ]
    return {"runs": runs, "over_seeds": groups, "notes": comparison.notes, "problems": comparison.problems}


def task_title(key: str) -> str:
    """What people call a line of the results; one that the table of tasks does not have is called by its key."""
    return title_of(key) if key in TASKS or key == "box_proposal" else key


def _metrics(run, key):
    return run.results.get(key, {}).get("metrics", {})


def _path(comparison, key):
    return f"{key}/{comparison.headline(key)}"


def _line_title(comparison, key):
    return f"{task_title(key)} {comparison.headline(key)}"


def percent(value: float, sign: str = "-") -> str:
    """A share as text: "34.1", with a sign "+1.2"; "-" for nan."""
    return metric_text("", value, sign)


def _columns(labels, sections, width):
    """Tables of a name and a cell for each label, as many labels beside one another as fit."""
    rows = [row for section in sections for row in section]
    names = min(WIDEST_NAME, width // 2, max(len(name) for name, _ in rows))
    cells = [
        min(WIDEST_CELL, max(len(text) for text in (label, *(row[1][column] for row in rows))))
        for column, label in enumerate(labels)
    ]
    blocks, used = [[]], names
    for column, size in enumerate(cells):
        if blocks[-1] and used + len(GAP) + size > width:
            blocks.append([])
            used = names
        blocks[-1].append(column)
        used += len(GAP) + size
    return "\n\n".join(_block(labels, sections, columns, names, cells) for columns in blocks)


def _block(labels, sections, columns, names, cells):
    sizes = [names, *(cells[column] for column in columns)]
    rule = "-" * (sum(sizes) + len(GAP) * len(columns))
    head = _lines(["", *(labels[column] for column in columns)], sizes)
    parts = [
        [line for name, texts in section for line in _lines([name, *(texts[column] for column in columns)], sizes)]
        for section in sections
        if section
    ]
    return "\n".join([*head, *(line for part in parts for line in (rule, *part))])


def _lines(texts, sizes):
    """A row as lines: cells that are too long go on below."""
    wrapped = [textwrap.wrap(text, size, break_on_hyphens=False) or [""] for text, size in zip(texts, sizes)]
    height = max(map(len, wrapped))
    return [_line([part[at] if at < len(part) else "" for part in wrapped], sizes) for at in range(height)]


def _line(texts, sizes):
    cells = [f"{text:>{size}}" for text, size in zip(texts[1:], sizes[1:])]
    return GAP.join([f"{texts[0]:<{sizes[0]}}", *cells]).rstrip()


def _iteration(run):
    goal = (run.options or {}).get("SOLVER.MAX_ITER")
    if run.iteration is None:
        return "-"
    early = ", ended early" if run.has_ended_early else ""
    return f"{run.iteration}" if goal in (None, run.iteration) else f"{run.iteration} of {goal}{early}"


def _time(seconds):
    return "-" if seconds is None else duration(seconds)


def _spread(value, sign="-", path=""):
    """ "60.8 ± 0.4", or "60.8" from one run."""
    deviation = "" if math.isnan(value.deviation) else f" ± {metric_text(path, value.deviation)}"
    return metric_text(path, value.mean, sign) + deviation


def _spread_dict(value):
    return {"mean": value.mean, "deviation": value.deviation, "runs": value.count}
