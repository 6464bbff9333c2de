"""The tables of a data set's page: classes and parts, sorted by a click, and what comes together in one image."""

import html
import math
from collections.abc import Sequence

import numpy as np

from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.visualization.charts import short_number, thousands
from maskrcnn_benchmark.visualization.palette import class_colours

CLASSES_TOGETHER = 14  # classes in the table of pairs
PAIRS_LISTED = 12
EMPTY = '<p class="empty">not annotated in this data set</p>'


def classes_section(counts: DatasetCounts) -> str:
    """The table of classes; a click on a column's name sorts it."""
    columns = counts.per_class()
    colours = class_colours(counts.vocabulary)
    most = [max(np.nan_to_num(columns[key]).max(initial=0), 1e-9) for key in ("objects", "images", "pixels", "size")]
    rows = ""
    for k in np.argsort(-columns["images"], kind="stable"):
        name = counts.class_names[k]
        objects, crowds, images = (int(columns[key][k]) for key in ("objects", "crowds", "images"))
        pixels, size = float(columns["pixels"][k]), float(columns["size"][k])
        share = images / max(len(counts), 1)
        rows += (
            f'<tr><td data-value="{escaped(name)}">{_swatch(colours[name])}'
            f'<a href="#images" data-class="{k}">{escaped(name)}</a></td>'
            f"{_sortable(objects, thousands, most[0])}{_sortable(crowds, thousands)}"
            f"{_sortable(images, thousands, most[1])}{_sortable(share, _percent_1)}"
            f"{_sortable(pixels, _percent_2, most[2])}{_sortable(size, '{:,.0f}'.format, most[3])}</tr>\n"
        )
    heads = ("class", "objects", "crowds", "images", "of all images", "of labelled pixels", "mean size, px")
    lead = "Size is the square root of a box's area. A click on a class shows its images, on a column's name sorts."
    table = _sortable_table(heads, rows, ordered_by=3)
    return f'<section id="classes"><h2>Classes</h2><p class="lead">{lead}</p><div class="tall">{table}</div></section>'


def parts_table(
    rows: Sequence[tuple[str, Sequence[str], int, int, int]], colours: Sequence[Sequence[int]], lead: str
) -> str:
    """HTML of a table of parts, one a row.

    Args:
        rows: of each part its name, the things that have it, the objects that show it, the annotated objects of those
            things, and its pixels.
        colours: (red, green, blue) of each.
        lead: HTML of what stands above.
    """
    most = max([1, *(objects for _, _, objects, _, _ in rows)])
    body = ""
    for (name, owners, objects, annotated, pixels), colour in zip(rows, colours):
        body += (
            f'<tr><td data-value="{escaped(name)}">{_swatch(colour)}{escaped(name)}</td>'
            f'<td class="text">{escaped(", ".join(owners))}</td>'
            f"{_sortable(objects, thousands, most)}"
            f"{_sortable(objects / annotated if annotated else math.nan, _percent_1, 1)}"
            f"{_sortable(pixels / objects if objects else math.nan, '{:,.0f}'.format)}</tr>\n"
        )
    heads = ("part", "of", "objects that show it", "of annotated objects", "mean pixels")
    return f'<p class="lead">{lead}</p><div class="tall">{_sortable_table(heads, body, text_columns=2)}</div>'


def together_section(counts: DatasetCounts) -> str:
    """Tasks and classes that the same images carry."""
    titles = [task.title for task in counts.tasks]
    tasks = _pair_table(titles, counts.task_pairs(), "images annotated for both")
    pairs = counts.class_pairs()
    order = np.argsort(-pairs.diagonal(), kind="stable")
    order = order[pairs.diagonal()[order] > 0]
    top = order[:CLASSES_TOGETHER]
    classes = _pair_table([counts.class_names[k] for k in top], pairs[np.ix_(top, top)], "images with both")
    if not len(top):
        classes = '<p class="empty">no class occurs</p>'
    return f"""<section id="together"><h2>What comes together</h2>
<p class="lead">Images that carry both; the shade is their share of the row's images.</p>
<div class="halves"><div><h3>Tasks</h3>{tasks}</div>
<div><h3>Classes of the most images</h3>{classes}</div>
{_listed_pairs(counts, pairs)}</div></section>"""


def _pair_table(names, table, words):
    head = "".join(f"<th><span>{escaped(name)}</span></th>" for name in names)
    body = ""
    for i, row_name in enumerate(names):
        cells = ""
        for j, column_name in enumerate(names):
            number, own = int(table[i, j]), int(table[i, i])
            share = number / own if own else 0
            tip = f"{row_name} and {column_name}: {thousands(number)} {words}, {share:.0%} of those with {row_name}"
            kind = ' class="own"' if i == j else ""
            cells += f'<td{kind} style="--share:{100 * share:.0f}%" title="{escaped(tip)}">{short_number(number)}</td>'
        body += f"<tr><th>{escaped(row_name)}</th>{cells}</tr>\n"
    return f'<div class="wide"><table class="pairs"><tr><th></th>{head}</tr>{body}</table></div>'


def _listed_pairs(counts, pairs):
    """The pairs of classes that come together the most often against what chance would give."""
    upper = np.triu(pairs, 1)
    order = np.argsort(-upper, axis=None, kind="stable")[:PAIRS_LISTED]
    rows = ""
    for i, j in zip(*np.unravel_index(order, upper.shape)):
        number = int(upper[i, j])
        if number:
            lift = number * len(counts) / (int(pairs[i, i]) * int(pairs[j, j]))
            names = f"{escaped(counts.class_names[i])} and {escaped(counts.class_names[j])}"
            rows += (
                f'<tr><td data-value="{names}">{names}</td>{_sortable(number, thousands, upper.max())}'
                f"{_sortable(lift, '{:.2f}'.format)}</tr>\n"
            )
    if not rows:
        return ""
    table = _sortable_table(("classes", "images", "times chance"), rows, ordered_by=1)
    return f"<div><h3>Most frequent pairs of classes</h3>{table}</div>"


def _sortable_table(names, rows, text_columns=1, ordered_by=None):
    """HTML of a table that a click on one of the columns' names sorts.

    Args:
        names: of the columns.
        rows: HTML of the rows, cells of `_sortable` or with an attribute data-value.
        text_columns: how many of the first columns hold words.
        ordered_by: the column by which the rows are in descending order already, or None.
    """
    cells = ""
    for i, name in enumerate(names):
        kind = ' class="text"' if i < text_columns else ""
        order = ' aria-sort="descending"' if i == ordered_by else ""
        cells += f'<th{kind}{order}><button type="button">{escaped(name)}</button></th>'
    table = f'<table class="counts sortable"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _sortable(value, words, most=None):
    """A cell with its value for sorting and, where the column has a greatest value, a bar. -1 and nan are no value."""
    if math.isnan(value) or value < 0:
        return '<td data-value="">–</td>'
    if most is None:
        return f'<td data-value="{value:.6g}">{words(value)}</td>'
    return bar_cell(words(value), value / most, f' data-value="{value:.6g}"')


def bar_cell(text: str, share: float, attributes: str = "") -> str:
    """HTML of a cell with a bar, a share 0..1 of its width, behind the text."""
    return f'<td class="bar"{attributes} style="--share:{100 * share:.1f}%">{text}</td>'


def _swatch(colour):
    red, green, blue = colour
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'


def _percent_1(share):
    return f"{100 * share:.1f}%"


def _percent_2(share):
    return f"{100 * share:.2f}%"


def escaped(words: object) -> str:
    """Anything's text, safe within HTML."""
    return html.escape(str(words))


STYLE = """
table.counts { border-collapse: collapse; border-spacing: 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
table.counts th, table.counts td { padding: .28rem .8rem; text-align: right; min-width: 0; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
table.counts th:first-child, table.counts td:first-child, table.counts .text { text-align: left; }
table.counts td.bar { min-width: 90px; background: linear-gradient(90deg,
  color-mix(in srgb, var(--accent) 28%, transparent) var(--share), transparent var(--share))
  8px 50% / calc(100% - 8px) 72% no-repeat; }
table.counts tr.absent td { color: var(--soft); }
table.counts thead th { position: sticky; top: 0; background: var(--card); z-index: 1; }
table.counts td:first-child, table.counts th:first-child, table.pairs th:first-child { position: sticky; left: 0;
  background: var(--card); }
table.counts thead th:first-child { z-index: 2; }
table.counts th button { all: unset; cursor: pointer; color: var(--soft); }
table.counts th button:hover, table.counts th button:focus-visible, th[aria-sort] button { color: var(--ink); }
table.counts th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort="descending"] button::after { content: " \\25be"; }
th[aria-sort="ascending"] button::after { content: " \\25b4"; }
.tall .wide { max-height: 620px; overflow: auto; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .5em; }
table.pairs { width: auto; border-spacing: 2px; font-size: .78rem; font-variant-numeric: tabular-nums; }
table.pairs th { font-weight: 500; text-align: right; white-space: nowrap; font-size: .8rem; padding-right: .4rem; }
table.pairs tr:first-child th { vertical-align: bottom; padding: 0 0 .3rem; text-align: left; }
table.pairs tr:first-child span { writing-mode: vertical-rl; rotate: 180deg; }
table.pairs td { min-width: 2.7em; padding: .25rem .15rem; text-align: center; border-radius: 4px;
  background: color-mix(in srgb, var(--accent) calc(var(--share) * .62), var(--ground)); }
table.pairs td.own { background: none; font-weight: 650; outline: 1px solid var(--line); outline-offset: -1px; }
"""
# A column sorts downwards first, names upwards; cells without a value stay at the end
SCRIPT = """
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").onclick = () => {
    const words = head.classList.contains("text");
    const before = head.getAttribute("aria-sort");
    const ascending = before ? before === "descending" : words;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = (a, b) => words ? a.localeCompare(b) : a - b;
    body.append(...[...body.rows].sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      if (one === "" || other === "") return (one === "") - (other === "");
      return ascending ? order(one, other) : order(other, one);
    }));
  });
});
"""
