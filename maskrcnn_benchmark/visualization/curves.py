"""Diagrams of precision over recall and the like, as pictures."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskrcnn_benchmark.evaluation.scores import Curve

# Blue, orange, green, violet, grey: told apart by colour-blind readers (Wong 2011, Nature Methods 8:441)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#767676")
# F-measures whose lines are drawn in the background of a diagram of precision over recall
F_LEVELS = (0.2, 0.4, 0.6, 0.8)


def draw_curve(curve: Curve) -> bytes:
    """A diagram as a PNG file.

    Args:
        curve: `evaluation.scores.Curve`. Where the point of the best F is marked in a
            diagram of precision over recall, lines of equal F are drawn, too.

    Returns:
        bytes of the file, 960 x 840 pixels.
    """
    figure = Figure(figsize=(4.8, 4.2), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    low, high = curve.y_range
    if (curve.x_label, curve.y_label) == ("recall", "precision") and any(line.best for line in curve.lines):
        _draw_f_levels(axes)
    for line, colour in zip(curve.lines, _repeated(COLOURS)):
        (drawn,) = axes.plot(line.x, line.y, color=colour, linewidth=1.6, label=line.label, clip_on=False)
        if line.best is not None:
            axes.plot(*line.best, "o", color=drawn.get_color(), markersize=5, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(low, high), xlabel=curve.x_label, ylabel=curve.y_label)
    axes.set_title(curve.title, fontsize=10)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if curve.lines:
        axes.legend(fontsize=8, frameon=False, loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_f_levels(axes):
    for f in F_LEVELS:
        recall = np.linspace(f / (2 - f), 1, 100)  # precision is at most 1
        precision = f * recall / (2 * recall - f)
        axes.plot(recall, precision, color="#d5d5d5", linewidth=0.8, zorder=0.5)
        axes.annotate(f"F {f:.1f}", (1, precision[-1]), (3, 0), textcoords="offset points", fontsize=6, color="#999999")


def _repeated(values):
    while True:
        yield from values
