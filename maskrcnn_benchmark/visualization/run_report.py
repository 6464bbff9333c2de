"""The report of one evaluation: the table, the curves, every class, and the images that went worst and best."""

import html
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.visualization.curves import draw_curve
from maskrcnn_benchmark.visualization.drawn_task import DrawnTask
from maskrcnn_benchmark.visualization.html_page import document, embedded, figure, legend
from maskrcnn_benchmark.visualization.interactions import draw_interactions


@dataclass(frozen=True)
class Example:
    """One image and what a network made of one task on it.

    Attributes:
        title: what the image is called.
        score: the task's score on this image alone, 0..1.
        ground_truth, prediction: uint8 [h, w, 3] RGB, the task's drawings.
    """

    title: str
    score: float
    ground_truth: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True)
class TaskReport:
    """What the report says about one task.

    Attributes:
        key: of the task, or of another line of the results.
        title: its name on the page.
        protocol: the definitions in use.
        reason: why metrics are missing, or "".
        metrics: {name: value as text}.
        per_class: {metric: {class: value}}.
        curves: list of `evaluation.scores.Curve`.
        worst, best: lists of `Example`, the worst and the best first.
    """

    key: str
    title: str
    protocol: str
    reason: str
    metrics: dict
    per_class: dict = field(default_factory=dict)
    curves: list = field(default_factory=list)
    worst: list = field(default_factory=list)
    best: list = field(default_factory=list)


def write_report(
    path: str | os.PathLike,
    title: str,
    facts: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    reports: Sequence[TaskReport],
    vocabulary: Vocabulary,
    tasks: Mapping[str, DrawnTask],
    interactions: Mapping[str, Any] | None = None,
    contradictions: Sequence[Sequence[str]] = (),
) -> Path:
    """Write the report: one HTML file that needs no other.

    Args:
        path: the file.
        title: its heading.
        facts: list of (name, text), such as the data set and the weights.
        rows: the table of results as text, the head first.
        reports: what it says about each task.
        vocabulary: `Vocabulary` that names the labels.
        tasks: {task key: task} of those that examples or `interactions` are of, such as the registry.
        interactions: of the tasks in training, as `Interactions.summary` returns them, or None.
        contradictions: between the tasks, a table as text, the head first; () where they are not known.

    Returns:
        `Path` of the file.
    """
    path = Path(path)
    drawn = [tasks[report.key] for report in reports if report.worst or report.best]
    parts = [f"<style>{STYLE}</style>", _facts(facts), _results(rows, reports)]
    if interactions is not None:
        parts.append(_interactions(interactions, tasks))
    if contradictions:
        parts.append(_contradictions(contradictions))
    if drawn:
        parts.append(f"<details><summary>colours</summary>{legend(vocabulary, drawn)}</details>")
    parts += [_task(report) for report in reports]
    with atomic_write(path) as file:
        file.write(document(title, parts).encode())
    return path


def _facts(facts):
    return "<p>" + "<br>".join(f"<b>{html.escape(name)}</b> {html.escape(text)}" for name, text in facts) + "</p>"


def _results(rows: Sequence[Sequence[str]], reports: Sequence[TaskReport]) -> str:
    """The table; each task's name leads to its section."""
    keys = {report.title: report.key for report in reports}
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = ""
    for row in rows[1:]:
        name = html.escape(row[0])
        link = f'<a href="#{keys[row[0]]}">{name}</a>' if row[0] in keys else name
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        body += f"<tr><td>{link}</td>{cells}</tr>\n"
    return f'<section><div class="wide"><table class="figures"><tr>{head}</tr>\n{body}</table></div></section>'


def _contradictions(rows: Sequence[Sequence[str]]) -> str:
    """The table of what the tasks say against each other."""
    head, *body = (
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(("th", *["td"] * len(rows)), rows)
    )
    table = f'<div class="wide"><table class="figures">{head}\n{"".join(body)}</table></div>'
    return (
        '<section id="consistency"><h2>Consistency</h2><p>Contradictions between the tasks of one image, means over '
        f"images. Annotations have some as well.</p>{table}</section>"
    )


def _interactions(interactions: Mapping[str, Any], tasks: Mapping[str, DrawnTask]) -> str:
    title = "Gradient conflicts of the tasks in training"
    picture = embedded(draw_interactions(interactions, tasks), "png", title)
    return (
        f'<section id="interactions"><h2>{title}</h2><p>Gradients of the weighted losses of tasks by the parameters '
        "of the shared backbone, over the sampled iterations. A cosine below 0 is a conflict: a step down one "
        f'loss goes up the other.</p><div class="wide"><div class="matrices">{picture}</div></div></section>'
    )


def _task(task: TaskReport) -> str:
    lines = [f'<section id="{task.key}"><h2>{html.escape(task.title)}</h2>']
    lines += [f"<p>{html.escape(text)}</p>" for text in (task.protocol, task.reason) if text]
    metrics = "  ".join(
        f"<span>{html.escape(name)} <b>{html.escape(text)}</b></span>" for name, text in task.metrics.items()
    )
    lines.append(f'<div class="metrics">{metrics}</div>')
    if task.curves:
        pictures = "".join(f"<div>{embedded(draw_curve(c), 'png', c.title)}</div>" for c in task.curves)
        lines.append(f'<div class="curves">{pictures}</div>')
    for word, examples in (("worst", task.worst), ("best", task.best)):
        if examples:
            lines.append(_examples(word, examples, task))
    if task.per_class:
        lines.append(_class_table(task.per_class))
    return "\n".join([*lines, "</section>"])


def _examples(word: str, examples: Sequence[Example], task: TaskReport) -> str:
    """A row of images: ground truth above prediction."""
    cells = ""
    for example in examples:
        pictures = ""
        for what, picture in (("ground truth", example.ground_truth), ("prediction", example.prediction)):
            pictures += f"<div>{figure(picture, f'{example.title}, {task.title}, {what}')}</div>"
        caption = f"{html.escape(example.title)} <b>{_percent(example.score)}</b>"
        cells += f'<div class="example"><h3>{caption}</h3>{pictures}</div>'
    return f'<h3>{word}: ground truth above prediction, score of the image</h3><div class="examples">{cells}</div>'


def _class_table(per_class):
    """Every class with its metrics, the classes of the first metric's order; a bar behind each value."""
    columns = list(per_class)
    names = list(dict.fromkeys(name for values in per_class.values() for name in values))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    rows = ""
    for name in names:
        cells = "".join(_bar_cell(per_class[column].get(name, math.nan)) for column in columns)
        rows += f"<tr><td>{html.escape(str(name))}</td>{cells}</tr>\n"
    table = f'<table class="figures"><tr><th>class</th>{head}</tr>\n{rows}</table>'
    return f'<details><summary>per class ({len(names)})</summary><div class="wide">{table}</div></details>'


def _bar_cell(value):
    share = 0 if math.isnan(value) else 100 * min(max(value, 0), 1)
    return f'<td class="bar" style="--share:{share:.1f}%">{_percent(value)}</td>'


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


STYLE = """
table.figures { width: auto; border-collapse: collapse; border-spacing: 0; font-variant-numeric: tabular-nums; }
table.figures th, table.figures td { padding: .25rem .9rem; text-align: right; min-width: 0; white-space: pre;
  border-bottom: 1px solid var(--line); }
table.figures th:first-child, table.figures td:first-child, table.figures th:nth-child(2), table.figures td:nth-child(2)
  { text-align: left; }
table.figures td:last-child, table.figures th:last-child { text-align: left; white-space: pre-wrap; }
@media (max-width: 600px) { table.figures th, table.figures td { padding: .25rem .2rem; font-size: .75rem;
  white-space: pre-wrap; } }
table.figures td.bar { text-align: left; min-width: 110px;
  background: linear-gradient(90deg, rgb(0 114 178 / .28) var(--share), transparent var(--share)); }
section p, section .metrics { margin: .4rem 0 .8rem; max-width: none; }
.metrics span { display: inline-block; margin-right: 1.2rem; color: var(--soft); white-space: nowrap; }
.metrics b { color: var(--ink); }
.curves, .examples { display: flex; flex-wrap: wrap; gap: 1rem; }
.curves div { width: 380px; background: #fff; border-radius: 6px; }
.matrices { min-width: 900px; max-width: 1500px; background: #fff; border-radius: 6px; }
.example { width: 300px; }
.example div { margin-bottom: .5rem; }
h3 { font-size: .9rem; font-weight: 600; color: var(--soft); margin: .9rem 0 .4rem; overflow-wrap: anywhere; }
h3 b { color: var(--ink); }
a { color: inherit; }
summary { cursor: pointer; color: var(--soft); margin: .6rem 0; }
"""
