"""Distributions as inline SVG that takes its colours from the page, so that it suits light and dark alike."""

import html
import math
from collections.abc import Callable, Iterable

import numpy as np

from maskrcnn_benchmark.data.statistics import Histogram, nice_step

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 26, 42  # margins for the axes' numbers and names
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
MOST_BUBBLES = 400
MOST_TICKS = 8

STYLE = """
svg.chart { display: block; width: 100%; height: auto; overflow: visible; }
svg.chart text { font: 11.5px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg.chart .grid { stroke: var(--line); stroke-width: 1; }
svg.chart .axis { stroke: var(--soft); stroke-width: 1; }
svg.chart .bar { fill: var(--accent); }
svg.chart .hit { fill: transparent; }
svg.chart g:hover > .bar { fill: var(--ink); }
svg.chart .median { stroke: var(--ink); stroke-width: 1.25; stroke-dasharray: 4 3; }
svg.chart .mark { stroke: var(--second); stroke-width: 1.25; }
svg.chart .mark-name { fill: var(--second); }
svg.chart circle { fill: var(--accent); fill-opacity: .45; stroke: var(--accent); }
svg.chart circle:hover { fill-opacity: 1; }
"""


def thousands(number: float) -> str:
    """1234567 as "1,234,567"."""
    return f"{int(number):,}"


def short_number(number: float) -> str:
    """A number for an axis: 0.5, 950, 4,096, 34k, 5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= max(limit, 1e4):
            return f"{number / limit:.3g}{unit}"
    return f"{number:,.4g}" if abs(number) < 1000 else f"{number:,.0f}"


def ratio_tick(value: float) -> str:
    """A power of two as a ratio of sides: "1:4", "1:1", "4:1"."""
    return f"{value:g}:1" if value >= 1 else f"1:{1 / value:g}"


def histogram_chart(
    histogram: Histogram,
    x_label: str,
    y_label: str,
    median: float | None = None,
    tick: Callable[[float], str] = short_number,
    marks: Iterable[tuple[float, str]] = (),
) -> str:
    """A histogram as SVG text; a bar tells its numbers when it is pointed at.

    Args:
        histogram: `data.statistics.Histogram`.
        x_label, y_label: names of the axes.
        median: value at which a dashed line stands, or None.
        tick: function of a value to its text on the axis.
        marks: (value, name) of further lines that cut the axis into ranges.
    """
    edges, counts = histogram.edges, histogram.counts
    scale = _Scale(edges[0], edges[-1], histogram.log)
    most, parts = _vertical_axis(int(counts.max()), y_label)
    single = histogram.whole and edges[1] - edges[0] == 1  # the number stands under its bar, not at its edge
    for low, high, count, last in zip(edges[:-1], edges[1:], counts, np.arange(1, len(edges)) == len(counts)):
        left, right = scale(low), scale(high)
        gap = min(1.5, (right - left) * 0.12)
        height = PLOT_HEIGHT * count / most
        if count:
            height = max(height, 1.0)
        words = f"{_range_text(histogram, low, high, last, tick)}: {thousands(count)} {y_label}"
        parts.append(
            f"<g><title>{html.escape(words)}</title>{_rect('hit', left, TOP, right - left, PLOT_HEIGHT)}"
            f"{_rect('bar', left + gap / 2, TOP + PLOT_HEIGHT - height, right - left - gap, height)}</g>"
        )
    shift = (scale(edges[1]) - scale(edges[0])) / 2 if single else 0
    parts += [_horizontal_tick(scale(value) + shift, text) for value, text in _ticks(histogram, single, tick)]
    for value, name in marks:
        if edges[0] < value < edges[-1]:
            x = scale(value)
            parts.append(_line("mark", x, TOP, x, TOP + PLOT_HEIGHT))
            parts.append(f'<text class="mark-name" x="{x + 4:.1f}" y="{TOP - 3}">{html.escape(name)}</text>')
    if median is not None:
        x = min(scale(median) + shift, LEFT + PLOT_WIDTH)
        parts.append(_line("median", x, TOP, x, TOP + PLOT_HEIGHT))
    return _svg([*parts, _base_line(), _axis_name(x_label)], f"{y_label} by {x_label}")


def bubble_chart(points: np.ndarray, x_label: str, y_label: str, what: str) -> str:
    """Pairs of whole numbers as SVG text: circles whose areas say how often each pair occurs.

    Args:
        points: int [M, 2], x and y. Where more than `MOST_BUBBLES` pairs differ, near ones are drawn together.
        x_label, y_label: names of the axes.
        what: what is counted, such as "images".
    """
    cell = 1
    while True:
        pairs, counts = np.unique(np.asarray(points) // cell * cell + cell // 2, axis=0, return_counts=True)
        if len(pairs) <= MOST_BUBBLES:
            break
        cell *= 2
    x_step, y_step = (nice_step(0, max(side.max(), 1) * 1.06, most, True) for side, most in zip(pairs.T, (6, 4)))
    x_end, y_end = (math.ceil(side.max() * 1.06 / step) * step for side, step in zip(pairs.T, (x_step, y_step)))
    parts = [
        _horizontal_tick(LEFT + PLOT_WIDTH * v / x_end, short_number(v)) for v in range(0, int(x_end) + 1, int(x_step))
    ]
    for value in range(0, int(y_end) + 1, int(y_step)):
        parts += _grid_line(TOP + PLOT_HEIGHT * (1 - value / y_end), short_number(value))
    radii = 2.5 + 13.5 * np.sqrt(counts / counts.max())
    for (x, y), count, radius in sorted(zip(pairs.tolist(), counts.tolist(), radii), key=lambda item: -item[1]):
        place = f'cx="{LEFT + PLOT_WIDTH * x / x_end:.1f}" cy="{TOP + PLOT_HEIGHT * (1 - y / y_end):.1f}"'
        near = "about " if cell > 1 else ""
        parts.append(
            f'<circle {place} r="{radius:.1f}"><title>{near}{x} x {y}: {thousands(count)} {what}</title></circle>'
        )
    parts.append(_vertical_name(y_label))
    return _svg([*parts, _base_line(), _axis_name(x_label)], f"{y_label} over {x_label}")


def heat_map(grid: np.ndarray, x_label: str, y_label: str, what: str) -> str:
    """A table of counts as SVG text, the stronger the more; row 0 is at the top, as in an image.

    Args:
        grid: int [rows, columns].
        x_label, y_label: names of the axes, which run over 0 .. 100 %.
        what: what is counted, such as "objects".
    """
    rows, columns = grid.shape
    width, height = PLOT_WIDTH / columns, PLOT_HEIGHT / rows
    most = max(int(grid.max()), 1)
    parts = []
    for (row, column), count in np.ndenumerate(grid):
        cell = _rect("bar", LEFT + column * width, TOP + row * height, width + 0.3, height + 0.3)
        cell = cell.replace("/>", f' fill-opacity="{(count / most) ** 0.7:.3f}"/>')
        parts.append(f"<g><title>{thousands(count)} {html.escape(what)}</title>{cell}</g>")
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_horizontal_tick(LEFT + PLOT_WIDTH * share, f"{100 * share:.0f}%"))
        y = TOP + PLOT_HEIGHT * share
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f}%</text>')
    frame = f'<rect x="{LEFT}" y="{TOP}" width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}" fill="none" class="grid"/>'
    return _svg([*parts, frame, _axis_name(x_label)], f"{what} by {x_label} and {y_label}")


class _Scale:
    """From a value to its place on the horizontal axis."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self.log = log
        self.low, self.high = (math.log2(low), math.log2(high)) if log else (low, high)

    def __call__(self, value: float) -> float:
        value = math.log2(value) if self.log else value
        return LEFT + PLOT_WIDTH * (value - self.low) / (self.high - self.low)


def _ticks(histogram, single, tick):
    """(value, text) of the numbers on the horizontal axis."""
    low, high = histogram.edges[0], histogram.edges[-1]
    if histogram.log:
        powers = np.arange(math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9) + 1)
        every = math.ceil(len(powers) / MOST_TICKS) if len(powers) else 1
        values = 2.0 ** powers[powers % every == 0]
        return [(value, tick(value)) for value in values]
    last = histogram.edges[-2]
    step = nice_step(low, high, MOST_TICKS - 1, histogram.whole)
    values = np.arange(math.ceil(low / step - 1e-9) * step, (last if single else high) + step * 1e-6, step)
    if not histogram.open_end:
        return [(value, tick(value)) for value in values]
    return [(value, tick(value)) for value in values if last - value >= step * 0.7] + [(last, f"{tick(last)}+")]


def _range_text(histogram, low, high, is_last, tick):
    if is_last and histogram.open_end:
        return f"{low:,.0f} or more"
    if histogram.whole:
        return f"{low:,.0f}" if high - low == 1 else f"{low:,.0f} to {high - 1:,.0f}"
    number = (lambda value: f"{value:.3g}") if tick in (short_number, ratio_tick) else tick
    return f"{number(low)} to {number(high)}"


def _vertical_axis(most, name):
    """(value at the top, grid lines with their numbers and the axis's name)."""
    step = nice_step(0, max(most, 1), 4, whole=True)
    top = math.ceil(max(most, 1) / step) * step
    parts = [_vertical_name(name)]
    for value in range(0, top + 1, step):
        parts += _grid_line(TOP + PLOT_HEIGHT * (1 - value / top), short_number(value))
    return top, parts


def _grid_line(y, text):
    number = f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    return [_line("grid", LEFT, y, LEFT + PLOT_WIDTH, y), number]


def _horizontal_tick(x, text):
    y = TOP + PLOT_HEIGHT
    number = f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle">{html.escape(text)}</text>'
    return _line("axis", x, y, x, y + 4) + number


def _base_line():
    return _line("axis", LEFT, TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT)


def _vertical_name(text):
    return f'<text x="0" y="11">{html.escape(text)}</text>'


def _axis_name(text):
    x = LEFT + PLOT_WIDTH / 2
    return f'<text x="{x}" y="{HEIGHT - 7}" text-anchor="middle">{html.escape(text)}</text>'


def _line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(kind, x, y, width, height):
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.3):.1f}" height="{height:.1f}"/>'


def _svg(parts, words):
    body = "\n".join(parts)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(words)}">{body}</svg>'
    )
