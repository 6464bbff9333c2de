"""Several tasks' answers on one image as one picture: a grid of panels, or all of them on the photograph."""

import math

import numpy as np

from maskrcnn_benchmark.tasks.task import OWN_TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas, canvas_scale, text_strip
from maskrcnn_benchmark.visualization.image_drawers import (
    paint_boundary,
    paint_classification,
    paint_occlusion,
    paint_semantic,
)
from maskrcnn_benchmark.visualization.region_drawers import (
    paint_detection,
    paint_instance,
    paint_keypoint,
    paint_part,
)

GAP = 10  # pixels between panels
COLUMNS = 3
ON_PHOTOGRAPH = ("detection", "instance", "keypoint")  # what a photograph carries without losing its own content
FILL = 0.5  # share of a map's colours on a photograph


def draw_grid(image, panels, titles, scale=None):
    """The photograph and a panel per task below their titles, row by row.

    Args:
        image: uint8 [H, W, 3] RGB.
        panels: list of uint8 [h, w, 3], of the size of a canvas of the image.
        titles: a line for each.
        scale: of the panels, as the drawers take it.

    Returns:
        uint8 [height, width, 3].
    """
    panels = [Canvas(image, scale=scale).finish(), *panels]
    height, width = panels[0].shape[:2]
    size = max(12, round(width / 26))
    columns = min(COLUMNS, len(panels))
    cell = (height + size * 2 + GAP, width + GAP)
    grid = np.full((GAP + cell[0] * math.ceil(len(panels) / columns), GAP + cell[1] * columns, 3), 255, np.uint8)
    for place, (panel, title) in enumerate(zip(panels, ("image", *titles))):
        top, left = (GAP + step * k for step, k in zip(cell, divmod(place, columns)))
        grid[top : top + size * 2, left : left + width] = text_strip(width, size * 2, title, size, anchor="lm")
        grid[top + size * 2 : top + size * 2 + height, left : left + width] = panel
    return grid


def overlay_scale(width, height):
    """Pixels of an overlay per image pixel: its own, but a small image grows until its names can be read."""
    return max(1.0, canvas_scale(width, height))


def draw_overlay(image, answer, vocabulary, tasks, thresholds, scale=None):
    """The answers of several tasks on one photograph, names last.

    Args:
        image, answer, vocabulary: as `region_drawers.draw_detection` takes them; the answer holds all the tasks.
        tasks: keys of the tasks to paint. An object whose mask is painted is named there, and its box left out.
        thresholds: {task key: threshold}.
        scale: pixels of the picture per image pixel; None takes `overlay_scale`.

    Returns:
        uint8 [h, w, 3].

    Raises:
        UserError: one of the tasks is not of this package; how to paint it on a photograph is not known.
    """
    strange = [task for task in tasks if task not in OWN_TASKS]
    if strange:
        raise UserError(f"{strange[0]} has a panel, but is not painted on photographs; draw it in a grid")
    canvas = Canvas(image, scale=scale or overlay_scale(image.shape[1], image.shape[0]))
    has_names = "detection" in tasks or "instance" in tasks
    painters = {  # from the ground up
        "semantic": lambda *of: paint_semantic(*of, strength=FILL),
        "part": lambda *of: paint_part(*of, strength=FILL),
        "instance": lambda *of: paint_instance(*of, scores=True),
        "boundary": paint_boundary,
        "occlusion": paint_occlusion,
        "keypoint": lambda *of: paint_keypoint(*of, scores=not has_names),
        "detection": lambda *of: paint_detection(*of, below=thresholds["instance"] if "instance" in tasks else None),
        "classification": paint_classification,
    }
    found = [paint(canvas, answer, vocabulary, thresholds[task]) for task, paint in painters.items() if task in tasks]
    if set(tasks) <= {*ON_PHOTOGRAPH, "part"} and not any(found):
        canvas.note(f"none above score {min(thresholds[task] for task in tasks):g}")
    return canvas.finish()
