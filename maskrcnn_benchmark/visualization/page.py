"""The page of pictures: ground truth and prediction of every task, as one HTML file and one PNG per image."""

import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.miscellaneous import unique_name
from maskrcnn_benchmark.visualization.canvas import Canvas, on_paper, stacked, text_strip
from maskrcnn_benchmark.visualization.drawn_task import DrawnTask, Known
from maskrcnn_benchmark.visualization.html_page import document, encoded, figure, legend

ROWS = ("ground truth", "prediction")
GAP = 10  # pixels between the panels of a montage
MONTAGE_COLUMNS = 4  # all eight tasks side by side would be too small to read on a screen
# As many tasks beside one another as have room, so that none is cut off
STYLE = """
.tasks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(270px, 100%), 1fr)); gap: 0 1rem; }
.tasks > div { display: grid; grid-row: span 3; grid-template-rows: subgrid; align-items: start; margin-bottom: .5rem; }
.tasks h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .3rem; text-align: center; }
.tasks figure { margin: 0 0 .5rem; }
.tasks figcaption { color: var(--soft); font-size: .8rem; }
"""
FRAME = (208, 213, 221)
EXPLANATION = """<p>Of each task the annotation above the prediction. Grey panels are of tasks that the image
is not annotated for. Hollow keypoints are occluded; an occlusion arrow has the side in front on its left. Click a
picture to enlarge it.</p>"""

Panels = list[list[np.ndarray]]
Sample = tuple[np.ndarray, ImageAnnotations, ImagePrediction, str]


def picture_page(
    samples: Iterable[Sample], vocabulary: Vocabulary, tasks: Sequence[DrawnTask], path: str | os.PathLike
) -> Path:
    """Draw samples and write the page and, into the folder `path` without its suffix, a montage `NAME.png` of each.

    Args:
        samples: iterable of (image uint8 [H, W, 3] RGB, `ImageAnnotations`, `ImagePrediction`, title); both of the
            image's size. NAME is the title without an image file's suffix, in letters, digits,
            "-", "_" and ".".
        vocabulary: `Vocabulary` that names the labels.
        tasks: the tasks to draw, in order.
        path: the HTML file; it needs no other file.
    Returns:
        the page's `Path`.
    """
    path = Path(path)
    folder = path.with_suffix("")
    mkdir(folder)
    sections, names = [], set[str]()
    for image, ground_truth, prediction, title in samples:
        panels = draw_panels(image, (ground_truth, prediction), vocabulary, tasks)
        name = _file_name(title, names)
        _write(folder / f"{name}.png", encoded(montage(image, panels, tasks, title, MONTAGE_COLUMNS), "PNG"))
        sections.append(_section(image, panels, tasks, title))
    parts = [EXPLANATION, legend(vocabulary, tasks), *sections]
    _write(path, document("Ground truth and prediction", parts, STYLE).encode())
    return path


def draw_panels(
    image: np.ndarray, knowns: Iterable[Known], vocabulary: Vocabulary, tasks: Sequence[DrawnTask]
) -> Panels:
    """Every task's drawing of all that is known of an image.

    Args:
        image: uint8 [H, W, 3] RGB.
        knowns: such as (ground truth, prediction).
        tasks: the tasks to draw.
    Returns:
        list over `knowns` of lists over tasks of uint8 [h, w, 3].
    """
    return [[task.draw(image, known, vocabulary) for task in tasks] for known in knowns]


def montage(
    image: np.ndarray, panels: Panels, tasks: Sequence[DrawnTask], title: str, columns: int | None = None
) -> np.ndarray:
    """One picture of all panels: the image at the left, a column per task, ground truth above prediction.

    Args:
        image: uint8 [H, W, 3] RGB.
        panels: the two rows that `draw_panels` returns.
        tasks: as given there.
        title: a line above everything.
        columns: tasks beside one another; more go into a further band below. None: all.
    Returns:
        uint8 [height, width, 3].
    """
    columns = columns or len(tasks)
    plain = Canvas(image).finish()
    bands = []
    for first in range(0, len(tasks), columns):
        chosen = slice(first, first + columns)
        bands.append(_band(plain, [row[chosen] for row in panels], [task.title for task in tasks[chosen]]))
    width = max(band.shape[1] for band in bands)
    size = round(plain.shape[1] / 18)
    heading = text_strip(width, size * 2, title, size, anchor="lm")
    return np.pad(stacked([heading, *bands]), ((GAP, 2 * GAP), (2 * GAP, GAP), (0, 0)), constant_values=255)


def _band(plain, panels, titles):
    """The plain image, and at its right a row of titles above rows of panels that begin with their names."""
    size = round(plain.shape[1] / 19)
    panels = [[_framed(panel) for panel in row] for row in panels]
    pictures = [plain, *(panel for row in panels for panel in row)]
    height, width = (max(sides) for sides in zip(*(picture.shape[:2] for picture in pictures)))
    heads = [text_strip(width, size * 2, title, size) for title in titles]
    rows = [_beside([np.full((size * 2, size * 2, 3), 255, np.uint8), *heads])]
    for word, row in zip(ROWS, panels):
        caption = np.rot90(text_strip(height, size * 2, word, size))
        rows.append(_beside([caption, *(on_paper(panel, height, width) for panel in row)]))
        rows.append(np.full((GAP, rows[-1].shape[1], 3), 255, np.uint8))
    right = np.concatenate(rows)
    top = np.full(((height + GAP) // 2, plain.shape[1], 3), 255, np.uint8)
    left = stacked([top, text_strip(plain.shape[1], size * 2, "image", size), plain])
    return _beside([on_paper(left, len(right), plain.shape[1]), right])


def _framed(panel):
    """The panel with a thin line around it, so that one with a white ground is seen to end."""
    framed = panel.copy()
    cv2.rectangle(framed, (0, 0), (panel.shape[1] - 1, panel.shape[0] - 1), FRAME, max(1, panel.shape[1] // 400))
    return framed


def _beside(pictures):
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)], axis=1)


def _section(image, panels, tasks, title):
    cells = ""
    for task, drawn in zip(tasks, zip(*panels)):
        pictures = "".join(
            f"<figure><figcaption>{word}</figcaption>{figure(panel, f'{title}, {task.title}, {word}')}</figure>"
            for word, panel in zip(ROWS, drawn)
        )
        cells += f"<div><h3>{html.escape(task.title)}</h3>{pictures}</div>\n"
    plain = figure(Canvas(image).finish(), f"{title}, image")
    return (
        f'<section><header><div class="photo">{plain}</div><h2>{html.escape(title)}</h2></header>\n'
        f'<div class="tasks">{cells}</div></section>'
    )


def _file_name(title, taken):
    """A file name without suffix from a title, which no title before it in the page has; it is added to `taken`."""
    stem = re.sub(r"\.(jpe?g|png)$", "", title, flags=re.IGNORECASE)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._") or "image"
    return unique_name(stem, taken)


def _write(path, data):
    with atomic_write(path) as file:
        file.write(data)
