"""Several tasks on one image as one picture: a grid of panels, or all of them on the photograph."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.canvas import Canvas, canvas_scale, on_paper, text_strip
from maskrcnn_benchmark.visualization.drawn_task import DrawnTask, Known

GAP = 10  # pixels between panels
COLUMNS = 3


def draw_grid(
    image: np.ndarray, panels: Sequence[np.ndarray], titles: Sequence[str], scale: float | None = None
) -> np.ndarray:
    """The photograph and a panel per task below their titles, row by row.

    Args:
        image: uint8 [H, W, 3] RGB.
        panels: list of uint8 [h, w, 3]; the largest one decides how much room each has.
        titles: a line for each.
        scale: of the panels, as `Task.draw` takes it.

    Returns:
        uint8 [height, width, 3].
    """
    panels = [Canvas(image, scale=scale).finish(), *panels]
    size = max(12, round(panels[0].shape[1] / 26))
    height, width = (max(sides) for sides in zip(*(panel.shape[:2] for panel in panels)))
    columns = min(COLUMNS, len(panels))
    cell = (height + size * 2 + GAP, width + GAP)
    grid = np.full((GAP + cell[0] * math.ceil(len(panels) / columns), GAP + cell[1] * columns, 3), 255, np.uint8)
    for place, (panel, title) in enumerate(zip(panels, ("image", *titles))):
        top, left = (GAP + step * k for step, k in zip(cell, divmod(place, columns)))
        grid[top : top + size * 2, left : left + width] = text_strip(width, size * 2, title, size, anchor="lm")
        grid[top + size * 2 : top + size * 2 + height, left : left + width] = on_paper(panel, height, width)
    return grid


def overlay_scale(width: int, height: int) -> float:
    """Pixels of an overlay per image pixel: its own, but a small image grows until its names can be read."""
    return max(1.0, canvas_scale(width, height))


def draw_overlay(
    image: np.ndarray,
    known: Known,
    vocabulary: Vocabulary,
    tasks: Iterable[DrawnTask],
    thresholds: Mapping[str, float],
    scale: float | None = None,
    steady: bool = False,
) -> np.ndarray:
    """Several tasks on one photograph, in the order of their layers, names last.

    Args:
        image, known, vocabulary: as `Task.draw` takes them; `known` holds all the tasks.
        tasks: the tasks to paint; of which nothing is known are left out.
        thresholds: {task key: threshold}.
        scale: pixels of the picture per image pixel; None takes `overlay_scale`.
        steady: as `Canvas` takes it.

    Returns:
        uint8 [h, w, 3], the image's size times `scale` with a strip below it where a task has a legend.
    """
    canvas = Canvas(image, scale=scale or overlay_scale(image.shape[1], image.shape[0]), steady=steady)
    chosen = [task for task in tasks if task.can_draw(known, vocabulary)]
    values = {task: thresholds[task.key] for task in sorted(chosen, key=lambda task: task.layer)}
    found = [task.overlay(canvas, known, vocabulary, values) for task in values]
    if found and None not in found and not any(found):
        canvas.note(f"none above score {min(values.values()):g}")
    return canvas.finish()
