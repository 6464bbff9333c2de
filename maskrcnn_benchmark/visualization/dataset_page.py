"""The page about a data set: what it holds, how that is distributed, and images to leaf through."""

from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.statistics import histogram_of_numbers, histogram_of_ratios, histogram_of_shares
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.visualization import charts, dataset_browser, dataset_tables
from maskrcnn_benchmark.visualization.charts import bubble_chart, heat_map, histogram_chart, short_number, thousands
from maskrcnn_benchmark.visualization.dataset_tables import escaped
from maskrcnn_benchmark.visualization.html_page import document

AREA_LIMITS = ((32, "medium"), (96, "large"))  # COCO's ranges of size: sides of squares of 32^2 and 96^2 pixels
CENTRE_CELLS = (20, 30)  # rows and columns of the map of centres


def write_dataset_page(path, title, facts, counts, samples, without_images=False):
    """Write the page: one HTML file that needs no other.

    Args:
        path: the file.
        title: its heading.
        facts: list of (name, text), such as the annotation file.
        counts: `data.statistics.DatasetCounts`.
        samples: list of `dataset_browser.Sample`, the images to leaf through.
        without_images: whether the samples were drawn without the images themselves.

    Returns:
        `Path` of the file.
    """
    path = Path(path)
    parts = [
        _facts(facts),
        NAVIGATION,
        f'<section id="counts"><h2>Counts</h2>{_tiles(counts)}{_tasks(counts)}</section>',
        dataset_browser.browser(samples, counts.vocabulary, without_images),
        f'<section id="distributions"><h2>Distributions</h2>{LEAD}<div class="charts">{_distributions(counts)}</div>'
        "</section>",
        dataset_tables.classes_section(counts),
        dataset_tables.parts_section(counts),
        dataset_tables.together_section(counts),
    ]
    style = STYLE + charts.STYLE + dataset_tables.STYLE + dataset_browser.STYLE
    script = dataset_browser.SCRIPT + dataset_tables.SCRIPT + READY
    with atomic_write(path) as file:
        file.write(document(title, parts, style, script).encode())
    return path


def _facts(facts):
    return '<p class="facts">' + "".join(f"<span><b>{escaped(k)}</b> {escaped(v)}</span>" for k, v in facts) + "</p>"


def _tiles(counts):
    vocabulary = counts.vocabulary
    figures = [
        ("images", len(counts)),
        ("objects", len(counts.labels)),
        ("crowds", counts.crowds),
        ("people with joints", counts.people),
        ("labelled joints", int(counts.joints[:, 1:].sum())),
        ("parts on objects", int(counts.part_objects.sum())),
        ("classes", len(counts.class_names)),
        ("object classes", len(vocabulary.thing_names)),
    ]
    tiles = "".join(
        f"<div{'' if number else ' class=none'}><b>{thousands(number)}</b><span>{name}</span></div>"
        for name, number in figures
    )
    return f'<div class="tiles">{tiles}</div>'


def _tasks(counts):
    """How many images carry each task, in all and by phase."""
    phases = counts.images_by_phase()
    head = "".join(f"<th>{escaped(phase)}</th>" for phase in phases)
    numbers = counts.task_table.sum(0)
    rows = [("all images", len(counts), [images for images, _ in phases.values()])]
    rows += [
        (task.title, int(numbers[i]), [int(of_tasks[i]) for _, of_tasks in phases.values()])
        for i, task in enumerate(TASKS.values())
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


def _distributions(counts):
    sizes, ratios = counts.object_sizes, counts.aspect_ratios
    cards = [
        _numbers_card("Objects per image", counts.objects_per_image, "objects", "images"),
        _ratios_card("Size of objects", sizes, "square root of the box's area, pixels", "objects", marks=AREA_LIMITS),
        _ratios_card("Aspect ratio of objects", ratios, "width : height", "objects", tick=charts.ratio_tick),
        _centres_card(counts),
        _shares_card("Share of its box that a mask fills", counts.mask_fill, "share", "objects"),
        _ratios_card("Run-length code of a mask", counts.mask_bytes, "bytes, COCO's compressed form", "objects", 2),
        _sizes_card(counts),
        _joints_card(counts),
        _numbers_card("Labels per image", counts.labels_per_image, "labels", "images"),
        _shares_card("Share of an image's pixels with a semantic label", counts.labelled_share, "share", "images"),
        _numbers_card("Boundary pixels per image", counts.boundary_pixels, "edge pixels", "images"),
        _numbers_card("Occlusion pixels per image", counts.occlusion_pixels, "edge pixels", "images"),
    ]
    return "\n".join(sorted(cards, key=lambda card: EMPTY in card))  # those without a chart at the end


def _card(title, caption, chart):
    chart = chart or EMPTY
    return f'<figure class="card"><figcaption><b>{title}</b><span>{caption}</span></figcaption>{chart}</figure>'


def _numbers_card(title, values, x_label, y_label):
    if not len(values):
        return _card(title, "", "")
    chart = histogram_chart(histogram_of_numbers(values), x_label, y_label, float(np.median(values)))
    mean = f"{values.mean():,.0f}" if values.mean() >= 100 else f"{values.mean():.1f}"
    summary = f"median {np.median(values):,g}, mean {mean}, {values.min():,} to {values.max():,}"
    return _card(title, summary, chart)


def _shares_card(title, values, x_label, y_label):
    if not len(values):
        return _card(title, "", "")
    chart = histogram_chart(histogram_of_shares(values), x_label, y_label, float(np.median(values)), _percent)
    low, middle, mean, high = values.min(), np.median(values), values.mean(), values.max()
    return _card(title, f"median {middle:.0%}, mean {mean:.0%}, {low:.0%} to {high:.0%}", chart)


def _ratios_card(title, values, x_label, y_label, per_octave=4, tick=short_number, marks=()):
    values = values[values > 0]
    if not len(values):
        return _card(title, "", "")
    median = float(np.median(values))
    histogram = histogram_of_ratios(values, per_octave)
    caption = f"median {_significant(median)}, {_significant(values.min())} to {_significant(values.max())}"
    if marks:
        small, large = (values < marks[0][0]).mean(), (values >= marks[1][0]).mean()
        caption += f"; small {small:.0%}, medium {1 - small - large:.0%}, large {large:.0%}"
    return _card(title, caption, histogram_chart(histogram, x_label, y_label, median, tick, marks))


def _centres_card(counts):
    title = "Where objects are"
    if not len(counts.box_centres):
        return _card(title, "", "")
    x, y = counts.box_centres.T
    grid, _, _ = np.histogram2d(y, x, bins=CENTRE_CELLS, range=((0, 1), (0, 1)))
    return _card(title, "centres of boxes", heat_map(grid.astype(np.int64), "image width", "image height", "objects"))


def _sizes_card(counts):
    if not len(counts):
        return _card("Sizes of images", "", "")
    width, height = counts.sizes.T
    landscape = (width > height).mean()
    caption = f"median {np.median(width):,.0f} x {np.median(height):,.0f}; {landscape:.0%} wider than high"
    return _card("Sizes of images", caption, bubble_chart(counts.sizes, "width, pixels", "height, pixels", "images"))


def _joints_card(counts):
    """A bar per joint: visible, occluded, not annotated."""
    title = "Visibility of joints"
    if not counts.people:
        return _card(title, "", "")
    joints = counts.vocabulary.joints
    occluded = joints.occluded_code
    table = counts.joints[:, [3 - occluded, occluded, 0]]
    shares = table / table.sum(1, keepdims=True)
    rows = ""
    for name, numbers, share in zip(joints.names, table.tolist(), shares.tolist()):
        words = ", ".join(
            f"{thousands(n)} {kind} ({s:.0%})" for n, s, kind in zip(numbers, share, ("visible", "occluded", "absent"))
        )
        bars = "".join(f'<i style="flex-grow:{max(s, 1e-6):.4f}"></i>' for s in share)
        rows += (
            f'<div class="joint" title="{escaped(name)}: {words}"><span>{escaped(name.replace("_", " "))}</span>'
            f'<div class="stack">{bars}</div><em>{share[0]:.0%}</em></div>'
        )
    key = "".join(f"<span><i></i>{kind}</span>" for kind in ("visible", "occluded", "not annotated"))
    key = f'<div class="key">{key}</div>'
    return _card(title, f"of {thousands(counts.people)} people; the figure is the visible share", key + rows)


def _significant(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share):
    return f"{100 * share:.0f}%"


EMPTY = '<p class="empty">not annotated in this data set</p>'
LEAD = """<p class="lead">Dashed lines are medians. Crowds are left out. Point at a bar to read its numbers.</p>"""
NAVIGATION = """<nav><a href="#counts">counts</a><a href="#images">images</a>
<a href="#distributions">distributions</a><a href="#classes">classes</a><a href="#parts">parts</a>
<a href="#together">what comes together</a></nav>"""
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
