"""What the drawings of objects share: which are shown, where on the canvas they are and where their names may stand."""

from collections.abc import Sequence

import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_mask, message_panel, window_of
from maskrcnn_benchmark.visualization.palette import class_colours

OBJECTS_SHOWN = 40  # predicted objects, all but the best so many are left out
TAG = (245, 246, 248)  # ground of a tag that belongs to no class

Spots = list[tuple[float, float]]


def missing_panel(image: np.ndarray, known: ImageAnnotations | ImagePrediction, scale: float | None) -> np.ndarray:
    """The grey panel of a task without a label or an output: nobody annotated it, or no head predicts it."""
    words = "not predicted" if isinstance(known, ImagePrediction) else "not annotated"
    return message_panel(image, words, scale)


def shown_objects(objects: BoxList, threshold: float) -> BoxList:
    """Predicted objects worth drawing, best first; annotated ones all."""
    return best_first(objects, threshold, OBJECTS_SHOWN) if objects.has_field("scores") else objects


def names_and_colours(
    objects: BoxList, vocabulary: Vocabulary, scores: bool = True
) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Of each object its class, with its score if it has one and `scores` are wanted, and its colour."""
    colours = class_colours(vocabulary)
    names = [vocabulary.thing_names[k - 1] for k in objects.get_field("labels").tolist()]
    words = names
    if scores and objects.has_field("scores"):
        words = [f"{name} {score:.2f}" for name, score in zip(names, objects.get_field("scores").tolist())]
    return words, [colours[name] for name in names]


def canvas_boxes(objects: BoxList, canvas: Canvas) -> torch.Tensor:
    """Corners of inclusive boxes on the canvas, float [N, 4]: from the first pixel's outer edge to the last's."""
    boxes = objects.convert("xyxy").bbox.detach().float().cpu()
    return (boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])) * canvas.scale - torch.tensor([0.0, 0.0, 1.0, 1.0])


def canvas_regions(objects: BoxList, canvas: Canvas) -> torch.Tensor:
    """As `canvas_boxes`, but where the maps of the boxes lie (`BoxList.region_corners`)."""
    return canvas_boxes(objects, canvas) + torch.tensor([0.0, 0.0, 1.0, 1.0]) * objects.region_end


def box_spots(box: Sequence[float], canvas: Canvas) -> Spots:
    """Where a box's name may stand, (left, bottom) each: on it, in it, under it, at its right."""
    left, top, right, bottom = box
    tag = canvas.text_size * 1.3
    inside = [(left, top + tag * k) for k in (1, 2, 3)]
    return [(left, top), *inside, (left, bottom + tag), (left, bottom), (right, top + tag), (right, bottom)]


def paint_boxes(canvas: Canvas, objects: BoxList, texts: Sequence[str], vocabulary: Vocabulary) -> int:
    """Draw boxes in the colours of their classes with a text at each; returns how many there are."""
    _, colours = names_and_colours(objects, vocabulary)
    for text, box, colour in zip(texts, canvas_boxes(objects, canvas).numpy(), colours):
        left, top, right, bottom = box
        canvas.polyline([(left, top), (right, top), (right, bottom), (left, bottom)], colour, closed=True)
        canvas.label(text, box_spots(box, canvas), colour)
    return len(objects)


def canvas_masks(objects: BoxList, canvas: Canvas) -> list[np.ndarray]:
    """Masks at canvas size, bool [h, w] each: of the field "masks" of annotations or "mask" of predictions."""
    if not len(objects):
        return []
    if objects.has_field("mask"):
        masks = objects.get_field("mask")
        if tuple(masks.shape[-2:]) == objects.size[::-1]:  # in the image already, not within the boxes
            return [enlarge_mask((mask[0] > 0.5).cpu().numpy(), canvas.size) for mask in masks]
        boxes = canvas_regions(objects, canvas)
        return list(paste_masks(masks.float().cpu(), boxes, canvas.size, 0.5, 1).numpy())
    masks = objects.get_field("masks").get_mask_tensor().cpu().numpy()
    return [enlarge_mask(mask, canvas.size) for mask in masks.reshape(-1, *masks.shape[-2:])]


def mask_middle(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask, bool [h, w], next to its centre of mass: a ring's name stands on the ring."""
    window = window_of(mask)
    rows, columns = np.nonzero(mask[window])
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return columns[nearest] + window[1].start, rows[nearest] + window[0].start


def mask_spots(mask: np.ndarray, canvas: Canvas) -> Spots:
    """Where the name of a mask, bool [h, w], may stand: on its topmost pixels, or inside, as `box_spots`."""
    rows, columns = window_of(mask)
    highest = columns.start + np.flatnonzero(mask[rows.start, columns])
    x, tag = highest[len(highest) // 2] - canvas.text_size, canvas.text_size * 1.3
    over = [(x, rows.start - canvas.line), (x - 2 * tag, rows.start - canvas.line), (x, rows.start - tag)]
    return [*over, *((x, rows.start + tag * k) for k in (1, 2, 3, 4)), (columns.start, rows.stop + tag)]
