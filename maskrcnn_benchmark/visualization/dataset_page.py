"""The page about a data set: what it holds, how that is distributed, and images to leaf through."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.statistics import (
    DatasetCounts,
    histogram_of_numbers,
    histogram_of_ratios,
    histogram_of_shares,
    histogram_of_values,
)
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.visualization import charts, dataset_browser, dataset_tables
from maskrcnn_benchmark.visualization.charts import bubble_chart, histogram_chart, short_number, thousands
from maskrcnn_benchmark.visualization.dataset_tables import EMPTY, escaped
from maskrcnn_benchmark.visualization.html_page import document


def write_dataset_page(
    path: str | Path,
    title: str,
    facts: Sequence[tuple[str, str]],
    counts: DatasetCounts,
    samples: Sequence[dataset_browser.Sample],
    without_images: bool = False,
) -> Path:
    """Write the page: one HTML file that needs no other.

    Args:
        path: the file.
        title: its heading.
        facts: list of (name, text), such as the annotation file.
        counts: `data.statistics.DatasetCounts`, with the tasks that the page is to speak of.
        samples: list of `dataset_browser.Sample`, the images to leaf through.
        without_images: whether the samples were drawn without the images themselves.

    Returns:
        `Path` of the file.
    """
    path = Path(path)
    of_tasks = [section for task in counts.tasks for section in task.sections(counts)]
    parts = [
        _facts(facts),
        _navigation([title for title, _ in of_tasks]),
        f'<section id="counts"><h2>Counts</h2>{_tiles(counts)}{_tasks(counts)}</section>',
        dataset_browser.browser(samples, counts.vocabulary, counts.tasks, without_images),
        f'<section id="distributions"><h2>Distributions</h2>{LEAD}<div class="charts">{_distributions(counts)}</div>'
        "</section>",
        dataset_tables.classes_section(counts),
        *(f'<section id="{_anchor(title)}"><h2>{escaped(title)}</h2>{body}</section>' for title, body in of_tasks),
        dataset_tables.together_section(counts),
    ]
    style = STYLE + charts.STYLE + dataset_tables.STYLE + dataset_browser.STYLE
    script = dataset_browser.SCRIPT + dataset_tables.SCRIPT + READY
    with atomic_write(path) as file:
        file.write(document(title, parts, style, script).encode())
    return path


def _navigation(titles: Sequence[str]) -> str:
    """Links to the sections, those of tasks among them."""
    links = [("counts", "counts"), ("images", "images"), ("distributions", "distributions"), ("classes", "classes")]
    links += [(_anchor(title), title.lower()) for title in titles]
    links.append(("together", "what comes together"))
    return "<nav>" + "\n".join(f'<a href="#{anchor}">{escaped(text)}</a>' for anchor, text in links) + "</nav>"


def _anchor(title: str) -> str:
    return escaped(title.lower().replace(" ", "-"))


def _facts(facts):
    return '<p class="facts">' + "".join(f"<span><b>{escaped(k)}</b> {escaped(v)}</span>" for k, v in facts) + "</p>"


def _tiles(counts: DatasetCounts) -> str:
    numbers = [
        ("images", len(counts)),
        *(tile for task in counts.tasks for tile in task.tiles(counts)),
        ("classes", len(counts.class_names)),
        ("object classes", len(counts.vocabulary.thing_names)),
    ]
    tiles = "".join(
        f"<div{'' if number else ' class=none'}><b>{thousands(number)}</b><span>{name}</span></div>"
        for name, number in numbers
    )
    return f'<div class="tiles">{tiles}</div>'


def _tasks(counts: DatasetCounts) -> str:
    """How many images carry each task, in all and by phase."""
    phases = counts.images_by_phase()
    head = "".join(f"<th>{escaped(phase)}</th>" for phase in phases)
    numbers = counts.task_table.sum(0)
    rows = [("all images", len(counts), [images for images, _ in phases.values()])]
    rows += [
        (task.title, int(numbers[i]), [int(of_tasks[i]) for _, of_tasks in phases.values()])
        for i, task in enumerate(counts.tasks)
    ]
    body = ""
    for name, number, by_phase in rows:
        share = number / max(len(counts), 1)
        absent = "" if number else ' class="absent"'
        cells = "".join(f"<td>{thousands(n)}</td>" for n in by_phase)
        body += (
            f"<tr{absent}><td>{escaped(name)}</td><td>{thousands(number)}</td>"
            f"{dataset_tables.bar_cell(f'{100 * share:.1f}%', share)}{cells}</tr>\n"
        )
    head = f"<tr><th>annotated for</th><th>images</th><th>share</th>{head}</tr>"
    return f'<div class="wide"><table class="counts tasks">{head}{body}</table></div>'


def _distributions(counts: DatasetCounts) -> str:
    cards = [_sizes_card(counts), *(card for task in counts.tasks for card in task.cards(counts))]
    return "\n".join(sorted(cards, key=lambda card: EMPTY in card))  # those without a chart at the end


def card(title: str, caption: str, chart: str) -> str:
    """HTML of a chart with its heading; without a chart it says that nothing is annotated."""
    chart = chart or EMPTY
    return f'<figure class="card"><figcaption><b>{title}</b><span>{caption}</span></figcaption>{chart}</figure>'


def cards_of_numbers(key: str, title: str, counts: DatasetCounts) -> list[str]:
    """A card for each name under which a task counts a number, whole or not, or one that says that there are none.

    Args:
        key, title: of the task.
        counts: of the data set.
    """
    title = title[:1].upper() + title[1:]
    numbers = [item for image in counts.images for item in image.counts.get(key, {}).items()]
    cards = []
    for name in dict.fromkeys(name for name, number in numbers if isinstance(number, (int, float))):
        values = np.array(counts.each(key, name))
        draw = numbers_card if values.dtype.kind == "i" else values_card
        cards.append(draw(escaped(f"{title}: {name}"), values[np.isfinite(values)], name, "images"))
    return cards if any(key in image.counts for image in counts.images) else [card(escaped(title), "", "")]


def numbers_card(title: str, values: np.ndarray, x_label: str, y_label: str) -> str:
    """The `card` of the histogram of whole numbers from 0, int [N]."""
    if not len(values):
        return card(title, "", "")
    chart = histogram_chart(histogram_of_numbers(values), x_label, y_label, float(np.median(values)))
    mean = f"{values.mean():,.0f}" if values.mean() >= 100 else f"{values.mean():.1f}"
    summary = f"median {np.median(values):,g}, mean {mean}, {values.min():,} to {values.max():,}"
    return card(title, summary, chart)


def values_card(title: str, values: np.ndarray, x_label: str, y_label: str) -> str:
    """The `card` of the histogram of any finite numbers, float [N]."""
    if not len(values):
        return card(title, "", "")
    median = float(np.median(values))
    caption = f"median {median:.3g}, mean {values.mean():.3g}, {values.min():.3g} to {values.max():.3g}"
    return card(title, caption, histogram_chart(histogram_of_values(values.tolist()), x_label, y_label, median))


def shares_card(title: str, values: np.ndarray, x_label: str, y_label: str) -> str:
    """The `card` of the histogram of shares 0..1, float [N]."""
    if not len(values):
        return card(title, "", "")
    chart = histogram_chart(histogram_of_shares(values), x_label, y_label, float(np.median(values)), _percent)
    low, middle, mean, high = values.min(), np.median(values), values.mean(), values.max()
    return card(title, f"median {middle:.0%}, mean {mean:.0%}, {low:.0%} to {high:.0%}", chart)


def ratios_card(
    title: str,
    values: np.ndarray,
    x_label: str,
    y_label: str,
    per_octave: int = 4,
    tick: Callable[[float], str] = short_number,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """The `card` of the histogram of positive numbers [N] over a logarithmic axis; see `histogram_chart`."""
    values = values[values > 0]
    if not len(values):
        return card(title, "", "")
    median = float(np.median(values))
    histogram = histogram_of_ratios(values, per_octave)
    caption = f"median {_significant(median)}, {_significant(values.min())} to {_significant(values.max())}"
    if marks:
        small, large = (values < marks[0][0]).mean(), (values >= marks[1][0]).mean()
        caption += f"; small {small:.0%}, medium {1 - small - large:.0%}, large {large:.0%}"
    return card(title, caption, histogram_chart(histogram, x_label, y_label, median, tick, marks))


def _sizes_card(counts: DatasetCounts) -> str:
    if not len(counts):
        return card("Sizes of images", "", "")
    width, height = counts.sizes.T
    landscape = (width > height).mean()
    caption = f"median {np.median(width):,.0f} x {np.median(height):,.0f}; {landscape:.0%} wider than high"
    return card("Sizes of images", caption, bubble_chart(counts.sizes, "width, pixels", "height, pixels", "images"))


def stacked_bars(names: Sequence[str], table: np.ndarray, kinds: Sequence[str]) -> str:
    """HTML of a bar for each name that is cut into three kinds; the number beside it is the share of the first.

    Args:
        names: of N rows.
        table: int [N, 3], how often each kind.
        kinds: what the three are called.
    """
    shares = table / table.sum(1, keepdims=True)
    rows = ""
    for name, numbers, share in zip(names, table.tolist(), shares.tolist()):
        words = ", ".join(f"{thousands(n)} {kind} ({s:.0%})" for n, s, kind in zip(numbers, share, kinds))
        bars = "".join(f'<i style="flex-grow:{max(s, 1e-6):.4f}"></i>' for s in share)
        rows += (
            f'<div class="joint" title="{escaped(name)}: {words}"><span>{escaped(name.replace("_", " "))}</span>'
            f'<div class="stack">{bars}</div><em>{share[0]:.0%}</em></div>'
        )
    key = "".join(f"<span><i></i>{kind}</span>" for kind in kinds)
    return f'<div class="key">{key}</div>{rows}'


def _significant(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share):
    return f"{100 * share:.0f}%"


LEAD = """<p class="lead">Dashed lines are medians. Crowds are left out. Point at a bar to read its numbers.</p>"""
STYLE = """
:root { --accent: #0072b2; --second: #c2410c; --third: #e69f00; }
@media (prefers-color-scheme: dark) { :root { --accent: #4aa3df; --second: #f0883e; --third: #d9a132; } }
html { scroll-padding-top: 1rem; }
body { max-width: 1500px; }
h1 { overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 1.2rem 0 .2rem; }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
p.facts { max-width: none; margin: .3rem 0 .8rem; }
p.facts span { display: inline-block; margin-right: 1.4rem; overflow-wrap: anywhere; }
p.facts b { color: var(--ink); font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .95rem; }
p.lead { margin: 0 0 .7rem; font-size: .9rem; max-width: none; }
p.empty { margin: .5rem 0; padding: 1.2rem; text-align: center; max-width: none;
  border: 1px dashed var(--line); border-radius: 8px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(125px, 1fr)); gap: .6rem;
  margin: .8rem 0 1rem; }
.tiles div { background: var(--ground); border-radius: 10px; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.45rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles .none b { color: var(--soft); font-weight: 400; }
table.tasks td.bar { width: 40%; }
.tiles span { color: var(--soft); font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 380px), 1fr)); gap: 1.4rem 1.8rem; }
figure.card { margin: 0; min-width: 0; }
figure.card figcaption { margin-bottom: .5rem; line-height: 1.35; }
figure.card figcaption span { display: block; color: var(--soft); font-size: .85rem; }
.joint { display: grid; grid-template-columns: 92px 1fr 3em; gap: .6rem; align-items: center; font-size: .8rem;
  line-height: 1.3; }
.joint span { color: var(--soft); text-align: right; white-space: nowrap; }
.joint em { font-style: normal; font-variant-numeric: tabular-nums; }
.stack { display: flex; height: .72rem; border-radius: 3px; overflow: hidden; }
.stack i { flex-basis: 0; }
.stack i:nth-child(1), .key span:nth-child(1) i { background: var(--accent); }
.stack i:nth-child(2), .key span:nth-child(2) i { background: var(--third); }
.stack i:nth-child(3), .key span:nth-child(3) i { background: var(--line); }
.key { font-size: .8rem; color: var(--soft); margin: 0 0 .35rem; }
.key span { margin-right: 1rem; white-space: nowrap; }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .35em; }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 1rem 2.5rem; }
.halves > div { min-width: 0; }
@media (max-width: 600px) { body { padding: 1rem .6rem 3rem; } section { padding: .8rem .7rem; }
  table.counts th, table.counts td { padding: .28rem .5rem; } }
"""
# What tells a reader of the page's source, such as a test, that no script has failed
READY = """
document.documentElement.dataset.ready = "yes";
"""
