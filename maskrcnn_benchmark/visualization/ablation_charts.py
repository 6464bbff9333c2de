"""An ablation as one picture: Delta_m of each network with its spread, and what each task does to each other."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskrcnn_benchmark.visualization.curves import COLOURS

BAR_HEIGHT, MATRIX_CELL = 0.3, 0.62  # inches


def draw_ablation(
    bars: Sequence[tuple[str, str, float, float]], matrices: Mapping[str, tuple[Sequence[str], np.ndarray]]
) -> bytes:
    """The diagram as a PNG file.

    Args:
        bars: list of (subset, method, mean, deviation) of Delta_m, 0.03 being 3 %; a deviation of nan draws no error
            bar. A few methods are told apart by colour.
        matrices: {method: (task keys, float [N, N] of the row's relative gain with the column's task, nan where there
            is none)}.

    Returns:
        bytes of the file.
    """
    heights = [0.9 + BAR_HEIGHT * max(1, len(bars))]
    heights += [1.5 + MATRIX_CELL * len(tasks) for tasks, _ in matrices.values()]
    figure = Figure(figsize=(8, sum(heights)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_bars(panels[0], bars)
    for axes, (method, (tasks, gains)) in zip(panels[1:], matrices.items()):
        _draw_matrix(axes, method, tasks, gains)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_bars(axes, bars):
    methods = list(dict.fromkeys(method for _, method, _, _ in bars))
    # more methods than colours are told apart by their names alone
    colours = dict(zip(methods, COLOURS if len(methods) <= len(COLOURS) else COLOURS[:1] * len(methods)))
    for place, (_, method, mean, deviation) in enumerate(bars):
        error = None if math.isnan(deviation) else 100 * deviation
        axes.barh(place, 100 * mean, xerr=error, color=colours[method], height=0.7, capsize=2.5, ecolor="#333333")
    axes.set_yticks(range(len(bars)), [", ".join(filter(None, bar[:2])) for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel("Delta_m over single-task networks [%]; above 0 the tasks help one another")
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _draw_matrix(axes, method, tasks, gains):
    gains = 100 * np.asarray(gains, float)
    known = gains[np.isfinite(gains)]
    limit = max(1.0, float(np.abs(known).max())) if known.size else 1.0
    axes.imshow(gains, cmap="RdBu", vmin=-limit, vmax=limit)
    for (row, column), gain in np.ndenumerate(gains):
        if np.isfinite(gain):
            colour = "white" if abs(gain) > 0.6 * limit else "black"
            axes.text(column, row, f"{gain:+.1f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(tasks)), tasks, fontsize=8)
    axes.set_xlabel("trained with")
    axes.set_title(f"Relative gain over alone [%], {method}", fontsize=10)
