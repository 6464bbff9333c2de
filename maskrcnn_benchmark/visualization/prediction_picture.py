"""Several tasks' answers on one image as one picture."""

import math

import numpy as np

from maskrcnn_benchmark.visualization.canvas import Canvas, text_strip

GAP = 10  # pixels between panels
COLUMNS = 3


def draw_grid(image, panels, titles):
    """The photograph and a panel per task below their titles, row by row.

    Args:
        image: uint8 [H, W, 3] RGB.
        panels: list of uint8 [h, w, 3], of the size of a canvas of the image.
        titles: a line for each.

    Returns:
        uint8 [height, width, 3].
    """
    cells = [_titled("image", Canvas(image).finish()), *map(_titled, titles, panels)]
    columns = min(COLUMNS, len(cells))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (math.ceil(len(cells) / columns) * columns - len(cells))
    cells = [np.pad(cell, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for cell in cells]
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.pad(np.concatenate(rows), ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)


def _titled(title, panel):
    width = panel.shape[1]
    size = max(12, round(width / 26))
    return np.concatenate([text_strip(width, size * 2, title, size, anchor="lm"), panel])
