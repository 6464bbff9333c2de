"""Drawings of the tasks with one answer per image: semantic map, boundary, occlusion and image labels."""

import cv2
import numpy as np

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.visualization.canvas import Canvas, canvas_scale, enlarge_labels, text_strip
from maskrcnn_benchmark.visualization.palette import INK, class_colours, direction_colours
from maskrcnn_benchmark.visualization.region_drawers import missing_panel

EDGE_SHOWN = 0.5  # edge probability from which a predicted edge is drawn as one
LABELS_SHOWN = 12  # image labels that fit on a panel


def draw_semantic(image, answer, vocabulary, threshold=0.0):
    """The class of every pixel, with names on the larger regions; unlabelled pixels keep the image, in pale grey.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.semantic is None:
        return missing_panel(image, answer)
    canvas = Canvas(image, fade=0.3, grey=True)
    if isinstance(answer, ImagePrediction):
        labels = answer.semantic.resize(canvas.size).scores.argmax(0).cpu().numpy()
    else:
        labels = enlarge_labels(answer.semantic.labels.cpu().numpy(), canvas.size)
    colours = class_colours(vocabulary)
    present = [k for k in np.unique(labels).tolist() if k != IGNORE_INDEX]
    for k in present:
        canvas.tint(labels == k, colours[vocabulary.semantic_names[k]], 0.72)
    for k in present:
        name = vocabulary.semantic_names[k]
        for spot in _region_middles(labels == k, canvas.text_size):
            canvas.label_centred(name, spot, colours[name])
    return canvas.finish()


def draw_boundary(image, answer, vocabulary, threshold=EDGE_SHOWN):
    """Boundaries in ink on white; of predictions, pixels below probability 0.5 in pale grey by their probability.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.boundary is None:
        return missing_panel(image, answer)
    canvas = Canvas(image)
    if isinstance(answer, ImagePrediction):
        probability = answer.boundary.resize(canvas.size).scores[0].float().cpu().numpy()
        ink = np.where(probability >= threshold, 0.45 + 0.55 * probability, 0.5 * probability)
    else:
        ink = _enlarge_edges(answer.boundary.edges.cpu().numpy(), canvas.size).astype(np.float32)
    canvas.pixels = np.round(255 - ink[:, :, None] * (255 - np.array(INK))).astype(np.uint8)
    return canvas.finish()


def draw_occlusion(image, answer, vocabulary, threshold=EDGE_SHOWN):
    """Occlusion edges, coloured by direction, with a glow on the side in front and arrows that have it on their left.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.occlusion is None:
        return missing_panel(image, answer)
    canvas = Canvas(image, fade=0.78, grey=True)
    if isinstance(answer, ImagePrediction):
        probability, sine, cosine = answer.occlusion.resize(canvas.size).scores.float().cpu().numpy()
        edge = probability >= threshold
        theta = np.arctan2(sine, cosine)
    else:
        edge, theta = _enlarge_directions(answer.occlusion, canvas.size)
    _glow_in_front(canvas, edge, theta)
    canvas.pixels[edge] = direction_colours(theta[edge])
    for middle, angle in _arrow_places(edge, theta, spacing=canvas.text_size * 3):
        _arrow(canvas, middle, angle)
    _direction_key(canvas)
    return canvas.finish()


def draw_classification(image, answer, vocabulary, threshold=EDGE_SHOWN):
    """What the image shows: the labels that hold, ticked, or each label's probability as a bar.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.classes is None:
        return missing_panel(image, answer)
    height, width = image.shape[:2]
    scale = canvas_scale(width, height)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    predicted = isinstance(answer, ImagePrediction)
    values = answer.classes.float().cpu()
    order = values.argsort(descending=True, stable=True)[: LABELS_SHOWN if predicted else int((values > 0).sum())]
    row = min(height // max(6, len(order) + 1), round(max(width, height) / 16))
    colours = class_colours(vocabulary)
    names = [vocabulary.image_label_names[k] for k in order.tolist()]
    line = _probability_row if predicted else _tick_row
    rows = [line(name, value, colours[name], width, row) for name, value in zip(names, values[order].tolist())]
    panel = np.full((height, width, 3), 255, np.uint8)
    stack = np.concatenate(rows or [text_strip(width, row, "none of the labels", round(row * 0.6))])[:height]
    top = (height - len(stack)) // 2
    panel[top : top + len(stack)] = stack
    return panel


def _region_middles(mask, text_size):
    """The innermost point (x, y) of each region of a class that has room for a name, and of its largest in any case."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not count > 1:
        return []
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    roomy = {int(i) for i in np.argsort(-areas)[:3] if areas[i] > 60 * text_size**2} | {int(areas.argmax())}
    spots = []
    for i in sorted(roomy):
        inside = np.where(regions == i + 1, depth, 0)
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        spots.append((x, y))
    return spots


def _enlarge_edges(edges, size):
    """Edges uint8 [H, W] at canvas size (w, h), bool [h, w]; none is lost where the canvas is the smaller one."""
    if size[0] < edges.shape[1]:
        return cv2.resize((edges > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return cv2.resize((edges > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def _enlarge_directions(occlusion, size):
    """An `OcclusionMap` at canvas size: bool edges [h, w] and theta [h, w]."""
    how = cv2.INTER_AREA if size[0] < occlusion.edges.shape[1] else cv2.INTER_NEAREST
    sine, cosine = (cv2.resize(part, size, interpolation=how) for part in occlusion.direction.cpu().numpy())
    return _enlarge_edges(occlusion.edges.cpu().numpy(), size), np.arctan2(sine, cosine)


def _glow_in_front(canvas, edge, theta):
    """Tint a band beside every edge on the side in front, fading away from the edge."""
    rows, columns = np.nonzero(edge)
    angle = theta[rows, columns]
    reach = canvas.line * 4
    strength = np.zeros(edge.shape, np.float32)
    colour = np.zeros((*edge.shape, 3), np.uint8)
    for step in range(reach, 0, -1):
        # left of the direction (cos, sin) in a frame with y downwards is (sin, -cos)
        x = np.clip(np.round(columns + np.sin(angle) * step), 0, edge.shape[1] - 1).astype(np.int64)
        y = np.clip(np.round(rows - np.cos(angle) * step), 0, edge.shape[0] - 1).astype(np.int64)
        strength[y, x] = 0.75 * (1 - step / (reach + 1))
        colour[y, x] = direction_colours(angle)
    strength = cv2.GaussianBlur(strength, (0, 0), canvas.line * 0.4)[:, :, None]
    painted = cv2.dilate(colour, np.ones((3, 3), np.uint8))
    canvas.pixels = np.round(canvas.pixels * (1 - strength) + painted * strength).astype(np.uint8)


def _arrow_places(edge, theta, spacing):
    """One edge pixel per cell of a `spacing` grid, the one nearest to the cell's middle.

    Returns:
        list of ((x, y), theta).
    """
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return []
    middle = (np.stack([rows, columns]) // spacing + 0.5) * spacing
    distance = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2
    cell = (rows // spacing) * (edge.shape[1] // spacing + 1) + columns // spacing
    order = np.lexsort((distance, cell))
    _, first = np.unique(cell[order], return_index=True)
    chosen = order[first]
    return [((x, y), float(theta[y, x])) for x, y in zip(columns[chosen], rows[chosen])]


def _arrow(canvas, middle, theta):
    """An arrow through `middle` along theta."""
    half, shaft, head = canvas.text_size * 0.7, canvas.line * 0.45, canvas.text_size * 0.36
    # (along, across) for an arrow to the right
    shape = np.array([(-1, -shaft), (0, -shaft), (0, -head), (1, 0), (0, head), (0, shaft), (-1, shaft)], dtype=float)
    shape[:, 0] *= half
    turn = np.array([(np.cos(theta), np.sin(theta)), (-np.sin(theta), np.cos(theta))])
    canvas.polygon(np.array(middle) + shape @ turn, INK)


def _direction_key(canvas):
    """In the lower left corner: the wheel of direction colours and what an arrow means."""
    radius = round(canvas.text_size * 1.1)
    middle = np.array([radius * 1.5, canvas.size[1] - radius * 1.5])
    y, x = np.mgrid[0 : canvas.size[1], 0 : canvas.size[0]]
    distance = np.hypot(x - middle[0], y - middle[1])
    canvas.pixels[distance <= radius * 1.2] = 255
    ring = (distance <= radius) & (distance >= radius * 0.5)
    canvas.pixels[ring] = direction_colours(np.arctan2(y - middle[1], x - middle[0])[ring])
    canvas.label("in front: left of the arrow", [(radius * 3, canvas.size[1] - radius * 0.8)], (245, 246, 248))


def _name_row(name, left, width, height):
    row = np.full((height, width, 3), 255, np.uint8)
    row[:, left:] = text_strip(width - left, height, name, round(height * 0.6), anchor="lm")
    return row


def _tick_row(name, value, colour, width, height):
    row = _name_row(name, round(height * 1.7), width, height)
    tick = np.array([(0.7, 0.5), (0.9, 0.72), (1.3, 0.25)]) * height
    cv2.polylines(row, [np.round(tick * 16).astype(np.int32)], False, colour, max(2, height // 8), cv2.LINE_AA, shift=4)
    return row


def _probability_row(name, value, colour, width, height):
    row = _name_row(name, round(height * 0.4), width, height)
    left, right = round(width * 0.42), round(width * 0.85)
    top, bottom = round(height * 0.22), round(height * 0.78)
    cv2.rectangle(row, (left, top), (right, bottom), (233, 236, 241), -1)
    if value > 0:
        cv2.rectangle(row, (left, top), (left + round((right - left) * value), bottom), colour, -1)
    figure = right + height // 4
    row[:, figure:] = text_strip(width - figure, height, f"{value:.2f}", round(height * 0.55))
    return row
