"""What a comparison of runs leaves: the page with its tables and learning curves, and the scores as JSON."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

from maskrcnn_benchmark.engine.results import write_results
from maskrcnn_benchmark.experiments.comparison import SEED, Comparison
from maskrcnn_benchmark.experiments.comparison_report import (
    explanations,
    metric_rows,
    option_rows,
    run_rows,
    score_rows,
    seed_sections,
    task_title,
    to_dict,
)
from maskrcnn_benchmark.experiments.learning_curves import RATE, TASK, TEST, TOTAL, smoothed
from maskrcnn_benchmark.experiments.run_folder import RunFolder
from maskrcnn_benchmark.tasks.metric_text import metric_scale, metric_text
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.comparison_page import Cell, RunEntry, Table, write_comparison_page
from maskrcnn_benchmark.visualization.learning_curves import Series, draw_learning_curves

PAGE, SCORES = "comparison.html", "comparison.json"
# Shares of the longest run that a smoothed curve is averaged over
SMOOTHING = 1 / 15


def write_comparison(comparison: Comparison, page: str | os.PathLike, scores: str | os.PathLike = "") -> list[Path]:
    """Write the page and the scores of a `Comparison`; "" leaves one out. Returns the list of `Path` written."""
    written = []
    if page:
        width = smoothing_width(comparison.runs)
        entries = [_entry(comparison, place) for place in range(len(comparison.runs))]
        notes = [("problem", line) for line in comparison.problems] + [("note", line) for line in comparison.notes]
        title = f"{len(comparison.runs)} runs side by side" if len(comparison.runs) > 1 else "One run"
        written.append(
            write_comparison_page(
                page, title, entries, notes, _tables(comparison), _diagrams(comparison, width), _smoothing_text(width)
            )
        )
    if scores:
        write_results(to_dict(comparison), scores)
        written.append(Path(scores))
    return written


def smoothing_width(runs: Iterable[RunFolder]) -> int:
    """Iterations that loss curves are averaged over: the same for all runs, so that they are smoothed alike."""
    return max([1, *(round(run.curves[TOTAL].steps[-1] * SMOOTHING) for run in runs if TOTAL in run.curves)])


def _smoothing_text(width):
    return (
        f"Losses: each point is the mean of those logged within {width} iterations around it; faint: as logged. Tasks' "
        "losses are without weights, so that runs of different weights can be compared. Learning rate and tests are as "
        "logged; the last point of a test is the final result. A click enlarges a diagram."
    )


def _entry(comparison, place):
    run = comparison.runs[place]
    start = run.record["starts"][-1] if run.record else {}
    facts = [
        ("folder", str(run.folder)),
        *((name, cells[place]) for name, cells in run_rows(comparison) if name != "commit"),
        *([] if SEED in comparison.options else [("seed", "-" if run.seed is None else str(run.seed))]),
        ("started", start.get("started", "-").replace("T", " ")[:16]),
        ("commit", run.commit or "-"),
    ]
    return RunEntry(comparison.labels[place], comparison.names[place], facts, _record_lines(run.record))


def _record_lines(record):
    """How a run was made: list of (name, text), the newest start first."""
    if record is None:
        return []
    lines = []
    for number, start in reversed(list(enumerate(record["starts"], 1))):
        count = f"{number} of {len(record['starts'])}: " if len(record["starts"]) > 1 else ""
        end = start.get("ended") or "-"
        span = f"{start.get('started')} to {end}, iterations {start.get('from_iteration')} to {start.get('iteration')}"
        lines += [
            ("start", f"{count}{span}, {start.get('state')}" + (f": {start['error']}" if start.get("error") else "")),
            ("command", str(start.get("command"))),
            ("in the folder", str(start.get("folder"))),
            ("git", _git_text(start.get("git"))),
            ("machine", _machine_text(start)),
            ("seed", str(start.get("seed"))),
        ]
    return lines


def _git_text(git):
    if not git:
        return "no checkout"
    changes = f"with changes, {git.get('untracked')} untracked files" if git.get("dirty") else "without changes"
    head = f"{git.get('commit')} on {git.get('branch') or 'no branch'}, {changes}"
    return "\n".join([head, *git.get("diff_stat", [])])


def _machine_text(start):
    known = start.get("environment") or {}
    packages = ", ".join(f"{name} {version}" for name, version in (known.get("packages") or {}).items())
    gpus = [f"{gpu.get('name')}, {gpu.get('memory_gib')} GiB" for gpu in known.get("gpus") or []]
    return "\n".join(
        [
            f"{start.get('host')}, processes: {start.get('processes')}, threads: {known.get('threads')}",
            f"{known.get('platform')}, Python {known.get('python')}",
            f"PyTorch {known.get('pytorch')} (CUDA {known.get('cuda') or 'none'}), {packages}",
            *gpus,
        ]
    )


def _tables(comparison):
    tables = []
    if comparison.tasks:
        words = "Percent; bold: the best."
        if any(comparison.gains):
            first = comparison.labels[0]
            words += f" Beside a score its relative gain over {first} in percent; Delta_m is the mean of these."
        tables.append(Table("Results", _score_cells(comparison), words))
    if comparison.groups:
        options, scores = seed_sections(comparison)
        columns = [group.subset for group in comparison.groups]
        tables.append(Table("Over seeds", [*options, *scores], explanations(comparison)[-1], columns))
    if comparison.options:
        rows = option_rows(comparison)
        tables.append(Table("Options that differ", rows, "All others are the same; places are left out."))
    elif len(comparison.runs) > 1:
        tables.append(Table("Options that differ", [], "None: the runs have the same options."))
    return tables + [Table(task_title(key), metric_rows(comparison, key), folded=True) for key in comparison.tasks]


def _score_cells(comparison):
    """The rows of `score_rows` with the best of each told from the others."""
    rows = []
    for (name, texts), key in zip(score_rows(comparison), [*comparison.tasks, None]):
        if key is None:
            rows.append((name, [Cell(text) for text in texts]))
            continue
        values = [scores.get(key, math.nan) for scores in comparison.scores]
        measured = [value for value in values if not math.isnan(value)]
        choose = max if key not in TASKS or TASKS[key].higher_is_better else min
        best = choose(measured) if len(measured) > 1 else math.nan
        cells = [
            Cell(metric_text(f"{key}/{comparison.headline(key)}", value), gains.get(key, math.nan), value == best)
            for value, gains in zip(values, comparison.gains)
        ]
        rows.append((name, cells))
    return rows


def _diagrams(comparison, width):
    """Learning curves: list of (title, PNG file)."""
    found = {name for run in comparison.runs for name in run.curves}
    known = [TOTAL, *(TASK + key for key in TASKS)]
    others = sorted(name for name in found if name.startswith(TASK) and name not in known)
    diagrams = []
    for name in (*known, *others, RATE):
        lines = [(place, run.curves[name]) for place, run in enumerate(comparison.runs) if name in run.curves]
        if not lines:
            continue
        if name == RATE:
            series = [Series(place, curve.steps, curve.values) for place, curve in lines]
            diagrams.append(_diagram(comparison, "learning rate", "learning rate", series))
        else:
            series = [Series(p, c.steps, smoothed(c, width).values, c.values) for p, c in lines]
            title = "total loss" if name == TOTAL else f"{task_title(name.removeprefix(TASK))}: loss"
            diagrams.append(_diagram(comparison, title, "loss", series))
    for key in comparison.tasks or [key for key in TASKS if any(name.startswith(f"{TEST}{key}/") for name in found)]:
        series, metric = _tests(comparison, key)
        if series:
            diagrams.append(
                _diagram(
                    comparison,
                    f"{task_title(key)}: tests",
                    f"{metric} [{metric_scale(f'{key}/{metric}')[1]}]",
                    series,
                    True,
                )
            )
    return diagrams


def _tests(comparison, key):
    """(list of `Series` of the tests on the way and the final one as shown, metric); none without the former."""
    metric = comparison.headline(key) if key in comparison.tasks else TASKS[key].headline
    name, (factor, _) = f"{TEST}{key}/{metric}", metric_scale(f"{key}/{metric}")
    series = []
    for place, run in enumerate(comparison.runs):
        curve = run.curves.get(name)
        points = {} if curve is None else dict(zip(curve.steps.tolist(), (factor * curve.values).tolist()))
        if key in run.results and run.iteration is not None:
            points[run.iteration] = factor * run.results[key]["metrics"].get(metric, math.nan)
        points = {step: value for step, value in points.items() if not math.isnan(value)}
        if points:
            series.append(Series(place, list(points), list(points.values())))
    return (series if any(name in run.curves for run in comparison.runs) else []), metric


def _diagram(comparison, title, y_label, series, marked=False):
    return title, draw_learning_curves(title, y_label, series, comparison.labels, comparison.names, marked)
