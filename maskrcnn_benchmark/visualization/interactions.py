"""Gradient conflicts of the tasks in training as a picture: cosines, conflicts and norms of their gradients."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from maskrcnn_benchmark.visualization.drawn_task import DrawnTask

# Inches: a cell of the matrices and what they measure at least, the bars, the names of tasks beside and below, the gaps
CELL, LEAST_SIDE, BARS = 0.62, 2.8, 2.2
LEFT, BELOW, ABOVE, GAP = 1.7, 1.3, 0.5, 0.2
UNKNOWN = "#ececec"  # the diagonal, and pairs that never met
BAR = "#0072b2"
# Cosines are mostly small: the colours end at the largest of them, but noise about 0 is not blown up
LEAST_RANGE = 0.1


def draw_interactions(summary: Mapping[str, Any], tasks: Mapping[str, DrawnTask]) -> bytes:
    """The conflict matrix as a PNG file: mean cosines, shares of sampled iterations in conflict, mean norms.

    Args:
        summary: what `multitask.interactions.Interactions.summary` returned; nan where two tasks never met.
        tasks: {task key: task}, for their titles, such as the registry.

    Returns:
        bytes of the file.
    """
    titles = [tasks[key].title for key in summary["tasks"]]
    side = max(CELL * len(titles), LEAST_SIDE)
    width, height = LEFT + 2 * side + BARS + 3 * GAP, BELOW + side + ABOVE
    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)
    # placed by hand, so that the bars stand in the rows of the matrices
    places = ((LEFT, side), (LEFT + side + GAP, side), (LEFT + 2 * (side + GAP), BARS))
    axes = [figure.add_axes((x / width, BELOW / height, w / width, side / height)) for x, w in places]
    cosine, conflict = (_off_diagonal(summary[name]) for name in ("cosine", "conflict"))
    known = np.abs(cosine[np.isfinite(cosine)])
    most = max(LEAST_RANGE, known.max(initial=0))
    _draw_matrix(axes[0], cosine, titles, "RdBu", (-most, most), lambda value: f"{value:+.2f}")
    _draw_matrix(axes[1], conflict, titles, "Oranges", (0, 1), lambda value: f"{100 * value:.0f}")
    _draw_norms(axes[2], summary["norm"])
    axes[0].set_yticks(range(len(titles)), titles)
    axes[0].set_title("Mean cosine of two tasks' gradients\n(below 0, red: conflict)", fontsize=10)
    axes[1].set_title("Share of sampled iterations\nin conflict (cosine below 0), %", fontsize=10)
    samples = max(summary["looks"])
    axes[2].set_title(f"Mean norm on the backbone\n({samples} iteration{'s' if samples > 1 else ''})", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _off_diagonal(rows):
    matrix = np.array(rows, dtype=float)
    np.fill_diagonal(matrix, math.nan)  # what a task does to itself says nothing
    return matrix


def _draw_matrix(axes, matrix, titles, colours, limits, text):
    """A coloured table with a value in each cell, but for those that are nan."""
    colours = colormaps[colours].with_extremes(bad=UNKNOWN)
    axes.imshow(matrix, cmap=colours, vmin=limits[0], vmax=limits[1])
    for (row, column), value in np.ndenumerate(matrix):
        if row == column:
            continue
        shade = colours(Normalize(*limits)(value)) if math.isfinite(value) else (1, 1, 1, 1)
        dark = np.dot(shade[:3], (0.299, 0.587, 0.114)) < 0.5
        words = text(value) if math.isfinite(value) else "-"
        axes.text(column, row, words, ha="center", va="center", fontsize=8.5, color="white" if dark else "black")
    axes.set_xticks(range(len(titles)), titles, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(titles)), [""] * len(titles))
    axes.set_xticks(np.arange(len(titles) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(titles) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_norms(axes, norms):
    """A bar per task, in the rows of the matrices beside it, with its value."""
    lengths = np.nan_to_num(np.array(norms, dtype=float))
    axes.barh(range(len(norms)), lengths, height=0.6, color=BAR)
    for row, norm in enumerate(norms):
        words = f"{norm:.3g}" if math.isfinite(norm) else "-"
        axes.annotate(words, (lengths[row], row), (3, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set(ylim=(len(norms) - 0.5, -0.5), xlim=(0, 1.3 * max(lengths.max(), 1e-12)), xticks=[], yticks=[])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
