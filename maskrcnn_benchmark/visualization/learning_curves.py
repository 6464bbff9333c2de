"""Learning curves of several runs in one diagram, as pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Told apart by colour-blind readers: Wong 2011 (Nature Methods 8:441), its yellow, which is faint on white, replaced by
# wine. More runs than colours go on with other lines
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#882255")
LINES = ("-", "--", ":", "-.")
MOST_NAMES, LONGEST_NAME = 4, 28  # runs, and letters of each one's name, that the legend of a diagram has room for


@dataclass(frozen=True)
class Series:
    """One run's line.

    Attributes:
        run: number of the run, which has a colour and a line of its own.
        steps, values: [N], what is drawn.
        raw: values as logged, float [N], drawn faintly behind, or None.
    """

    run: int
    steps: np.ndarray | Sequence[float]
    values: np.ndarray | Sequence[float]
    raw: np.ndarray | Sequence[float] | None = None


def style_of(run: int) -> tuple[str, str]:
    """(colour, line style of Matplotlib) of the run of a number."""
    return COLOURS[run % len(COLOURS)], LINES[run // len(COLOURS) % len(LINES)]


def draw_learning_curves(
    title: str,
    y_label: str,
    series: Sequence[Series],
    labels: Sequence[str],
    names: Sequence[str],
    marked: bool = False,
) -> bytes:
    """A diagram as a PNG file.

    Args:
        title, y_label: texts.
        series: list of `Series`, at most one for each run.
        labels, names: of all runs; the legend has the names where there is room for them.
        marked: draw points at the values, of which there are few.

    Returns:
        bytes of the file, 768 x 512 pixels.
    """
    named = len(labels) <= MOST_NAMES and max(map(len, names)) <= LONGEST_NAME
    figure = Figure(figsize=(4.8, 3.2), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for one in series:
        colour, line = style_of(one.run)
        if one.raw is not None:
            axes.plot(one.steps, one.raw, color=colour, linewidth=0.7, alpha=0.25)
        marker = "o" if marked or len(one.steps) == 1 else None
        axes.plot(
            *(one.steps, one.values),
            color=colour,
            linestyle=line,
            linewidth=1.5,
            marker=marker,
            markersize=3.5,
            label=f"{labels[one.run]}  {names[one.run]}" if named else labels[one.run],
        )
    axes.set_title(title, fontsize=9.5)
    axes.set_xlabel("iteration", fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=7.5)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    columns = 1 if named else min(4, (len(series) + 3) // 4)
    axes.legend(fontsize=7, frameon=False, loc="best", ncols=columns)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
