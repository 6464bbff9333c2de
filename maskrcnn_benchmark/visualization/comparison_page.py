"""The page of a comparison: results and options side by side, learning curves, every metric, how each run was made."""

import html
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.visualization.html_page import document, embedded
from maskrcnn_benchmark.visualization.learning_curves import style_of


@dataclass(frozen=True)
class Cell:
    """A value of a table: its text, the relative gain that is shown beside it or nan, whether it is the row's best."""

    text: str
    gain: float = math.nan
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a column for each run, or for each of some groups of runs.

    Attributes:
        title: its heading.
        rows: list of (name, list of cells, each a str or a `Cell`).
        explanation: a line above it.
        columns: heads of the columns; None: the runs.
        folded: shown only at a click.
    """

    title: str
    rows: list
    explanation: str = ""
    columns: list | None = None
    folded: bool = False


@dataclass(frozen=True)
class RunEntry:
    """What the page says about one run.

    Attributes:
        label, name: what tables call it, and the end of its folder.
        facts: list of (name, text): its line of the first table.
        record: list of (name, text): how it was made; texts of several lines are shown as they are.
    """

    label: str
    name: str
    facts: list = field(default_factory=list)
    record: list = field(default_factory=list)


def write_comparison_page(
    path: str | os.PathLike,
    title: str,
    runs: Sequence[RunEntry],
    notes: Iterable[tuple[str, str]],
    tables: Sequence[Table],
    curves: Sequence[tuple[str, bytes]],
    smoothing: str,
) -> Path:
    """Write the page: one HTML file that needs no other.

    Args:
        path: the file.
        title: its heading.
        runs: list of `RunEntry`.
        notes: list of (kind, text) above everything, the kind "note" or "problem".
        tables: list of `Table`; those that are folded stand below the curves.
        curves: list of (title, PNG file as bytes).
        smoothing: a line that says how the curves were smoothed.

    Returns:
        `Path` of the file.
    """
    path = Path(path)
    parts = [f"<style>{STYLE}{_run_styles(len(runs))}</style>", *map(_note, notes), _runs(runs)]
    parts.append(f'<div class="beside">{"".join(_table(table, runs) for table in tables if not table.folded)}</div>')
    parts.append(_curves(curves, runs, smoothing))
    parts.append(_section("All metrics", [_folded(table, runs) for table in tables if table.folded]))
    parts.append(_section("How the runs were made", [_record(run, at) for at, run in enumerate(runs) if run.record]))
    mkdir(path.parent)
    with atomic_write(path) as file:
        file.write(document(title, parts).encode())
    return path


def _note(note):
    kind, text = note
    return f'<p class="{kind}">{html.escape(text)}</p>'


def _runs(runs):
    """A line for each run."""
    names = list(dict.fromkeys(name for run in runs for name, _ in run.facts))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = ""
    for number, run in enumerate(runs):
        facts = dict(run.facts)
        cells = "".join(f"<td>{html.escape(facts.get(name, '-'))}</td>" for name in names)
        rows += f"<tr><th>{_tag(run, number)}</th>{cells}</tr>\n"
    return f'<section class="wide"><h2>Runs</h2><table class="runs"><tr><th></th>{head}</tr>\n{rows}</table></section>'


def _section(title, parts):
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>" if parts else ""


def _table(table, runs):
    return f"<section><h2>{html.escape(table.title)}</h2>{_table_body(table, runs)}</section>"


def _folded(table, runs):
    return f"<details><summary>{html.escape(table.title)}</summary>{_table_body(table, runs)}</details>"


def _table_body(table, runs):
    heads = [_tag(run, number) for number, run in enumerate(runs)]
    if table.columns is not None:
        heads = [html.escape(text) for text in table.columns]
    head = "".join(f"<th>{text}</th>" for text in heads)
    rows = ""
    for name, cells in table.rows:
        rows += f"<tr><th>{html.escape(name)}</th>{''.join(map(_cell, cells))}</tr>\n"
    text = f"<p>{html.escape(table.explanation)}</p>" if table.explanation else ""
    if not rows:
        return text
    return f'{text}<div class="wide"><table class="figures"><tr><th></th>{head}</tr>\n{rows}</table></div>'


def _cell(cell):
    if isinstance(cell, str):
        return f"<td>{html.escape(cell)}</td>"
    text = html.escape(cell.text)
    text = f"<b>{text}</b>" if cell.best else text
    if math.isnan(cell.gain):
        return f"<td>{text}</td>"
    kind = "up" if cell.gain > 0 else "down" if cell.gain < 0 else "same"
    return f'<td>{text} <span class="{kind}">{100 * cell.gain:+.1f}</span></td>'


def _curves(curves, runs, smoothing):
    if not curves:
        return "<section><h2>Learning curves</h2><p>No run has logged any.</p></section>"
    legend = "".join(f"<span>{_tag(run, number)} {html.escape(run.name)}</span>" for number, run in enumerate(runs))
    pictures = "".join(f"<div>{embedded(data, 'png', title)}</div>" for title, data in curves)
    return (
        f'<section><h2>Learning curves</h2><p>{html.escape(smoothing)}</p><div class="names">{legend}</div>'
        f'<div class="curves">{pictures}</div></section>'
    )


def _record(run, number):
    lines = ""
    for name, text in run.record:
        body = html.escape(text)
        lines += f"<dt>{html.escape(name)}</dt><dd>{f'<pre>{body}</pre>' if chr(10) in text else body}</dd>"
    title = f"{_tag(run, number)} {html.escape(run.name)}"
    return f'<details><summary>{title}</summary><dl class="record">{lines}</dl></details>'


def _tag(run, number):
    return f'<i class="run run{number}">{html.escape(run.label)}</i>'


def _run_styles(count):
    """A line under each run's letter, of the colour and kind that it has in the diagrams."""
    kinds = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "double"}
    return "".join(
        f".run{number} {{ border-bottom: 4px {kinds[line]} {colour}; }}\n"
        for number, (colour, line) in ((number, style_of(number)) for number in range(count))
    )


STYLE = """
:root { --up: #005f96; --down: #b34700; }
@media (prefers-color-scheme: dark) { :root { --up: #6fc0f0; --down: #f59a4a; }
  .run6 { border-color: #fff !important; } }
p.note, p.problem { max-width: none; margin: .5rem 0; padding: .55rem .9rem; border-radius: 8px; color: var(--ink);
  background: var(--card); border: 1px solid var(--line); border-left: 4px solid #e69f00; }
p.problem { border-left-color: #d55e00; font-weight: 600; }
.beside { display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: flex-start; }
.beside section { margin: 0; max-width: 100%; }
.beside section p { max-width: 62ch; }
section h2 { margin-bottom: .6rem; }
section p { max-width: none; margin: 0 0 .8rem; }
i.run { font-style: normal; font-weight: 700; color: var(--ink); padding: 0 .3rem; }
table.figures, table.runs { width: auto; border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.figures th, table.figures td, table.runs th, table.runs td { padding: .35rem .9rem; min-width: 0;
  text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
table.runs td:not(:nth-child(2)) { white-space: nowrap; }
table.runs td:nth-child(2) { overflow-wrap: anywhere; }
table.runs th, table.runs td, table.figures tr > :first-child { text-align: left; }
table.figures tr > :first-child { position: sticky; left: 0; background: var(--card); color: var(--ink);
  font-weight: 500; }
table.figures tr:hover > * { background: var(--ground); }
table.figures td { max-width: 22rem; overflow-wrap: anywhere; }
table.figures td:not(:first-child) { white-space: pre-wrap; }
.up { color: var(--up); } .down { color: var(--down); } .same { color: var(--soft); }
.up, .down, .same { font-size: .85em; display: inline-block; min-width: 3.2em; }
.names { margin: 0 0 .9rem; } .names span { display: inline-block; margin: 0 1.4rem .4rem 0; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 1rem; }
.curves div { background: #fff; border-radius: 6px; }
summary { cursor: pointer; overflow-wrap: anywhere; margin: .5rem 0; }
dl.record { margin-top: .8rem; } dl.record dd { overflow-wrap: anywhere; min-width: 0; }
pre { margin: 0; white-space: pre-wrap; font: 12.5px/1.5 ui-monospace, monospace; }
"""
