"""Drawings of the tasks with one answer per image: semantic map, boundary, occlusion and image labels."""

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap, label_probability
from maskrcnn_benchmark.visualization.canvas import Canvas, canvas_size, enlarge_labels, text_strip, window_of
from maskrcnn_benchmark.visualization.palette import BOUNDARY, INK, class_colours, direction_colours
from maskrcnn_benchmark.visualization.region_drawers import missing_panel

EDGE_SHOWN = 0.5  # edge probability from which a predicted edge is drawn as one
LABELS_SHOWN = 12  # image labels that fit on a panel


def draw_semantic(image, answer, vocabulary, threshold=0.0, scale=None):
    """The class of every pixel, with names on the larger regions; unlabelled pixels keep the image, in pale grey.

    So do predicted pixels whose class is less probable than the threshold. Arguments and result as in
    `region_drawers.draw_detection`.
    """
    if answer.semantic is None:
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, fade=0.3, grey=True, scale=scale)
    paint_semantic(canvas, answer, vocabulary, threshold)
    return canvas.finish()


def paint_semantic(canvas, answer, vocabulary, threshold=0.0, strength=0.72):
    """Tint every pixel with the colour of its class and name the larger regions."""
    if isinstance(answer, ImagePrediction):
        labels = _confident_labels(answer.semantic.resize(canvas.size), threshold)
    else:
        labels = enlarge_labels(answer.semantic.labels.cpu().numpy(), canvas.size)
    colours = class_colours(vocabulary)
    present = [k for k in np.flatnonzero(np.bincount(labels.ravel())).tolist() if k != IGNORE_INDEX]
    named = {k: vocabulary.semantic_names[k] for k in present}
    canvas.tint_labels(labels, {k: colours[name] for k, name in named.items()}, strength)
    for k, name in named.items():
        for spot in _region_middles(labels == k, canvas.text_size):
            canvas.label_centred(name, spot, colours[name])


def draw_boundary(image, answer, vocabulary, threshold=EDGE_SHOWN, scale=None):
    """Boundaries in ink on white; of predictions, pixels below the threshold in pale grey by their probability.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.boundary is None:
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, scale=scale)
    if isinstance(answer, ImagePrediction):
        probability = _probability(answer, canvas)
        ink = np.where(probability >= threshold, np.float32(0.45) + np.float32(0.55) * probability, 0.5 * probability)
    else:
        ink = _enlarge_edges(answer.boundary.edges.cpu().numpy(), canvas.size).astype(np.float32)
    canvas.pixels = cv2.merge([np.rint(255 - ink * np.float32(255 - c)).astype(np.uint8) for c in INK])
    return canvas.finish()


def paint_boundary(canvas, answer, vocabulary, threshold=EDGE_SHOWN):
    """Trace boundaries on a photograph; predicted ones are the stronger the more probable."""
    if isinstance(answer, ImagePrediction):
        strength = _probability(answer, canvas)
        edge = strength >= threshold
    else:
        edge = _enlarge_edges(answer.boundary.edges.cpu().numpy(), canvas.size)
        strength = edge.astype(np.float32)
    share = strength[edge][:, None]
    canvas.pixels[edge] = np.rint(canvas.pixels[edge] * (1 - share) + np.array(BOUNDARY, np.float32) * share)


def draw_occlusion(image, answer, vocabulary, threshold=EDGE_SHOWN, scale=None):
    """Occlusion edges, coloured by direction, with a glow on the side in front and arrows that have it on their left.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.occlusion is None:
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, fade=0.78, grey=True, scale=scale)
    paint_occlusion(canvas, answer, vocabulary, threshold)
    return canvas.finish()


def paint_occlusion(canvas, answer, vocabulary, threshold=EDGE_SHOWN):
    """Trace occlusion edges by direction, with glow, arrows and the key to them."""
    if isinstance(answer, ImagePrediction):
        probability, sine, cosine = answer.occlusion.resize(canvas.size).scores.float().cpu().numpy()
        edge = probability >= threshold
        theta = np.arctan2(sine[edge], cosine[edge])
    else:
        edge, theta = _enlarge_directions(answer.occlusion, canvas.size)
        theta = theta[edge]
    rows, columns = np.nonzero(edge)
    colours = direction_colours(theta)
    _glow_in_front(canvas, rows, columns, theta, colours)
    canvas.pixels[rows, columns] = colours
    for chosen in _arrow_places(rows, columns, canvas.size[0], spacing=canvas.text_size * 3):
        _arrow(canvas, (columns[chosen], rows[chosen]), theta[chosen])
    _direction_key(canvas)


def draw_classification(image, answer, vocabulary, threshold=EDGE_SHOWN, scale=None):
    """What the image shows: the labels that hold, ticked, or each label's probability as a bar.

    Arguments and result as in `region_drawers.draw_detection`.
    """
    if answer.classes is None:
        return missing_panel(image, answer, scale)
    width, height = canvas_size(image, scale)
    predicted = isinstance(answer, ImagePrediction)
    values = answer.classes.float().cpu()
    order = values.argsort(descending=True, stable=True)[: LABELS_SHOWN if predicted else int((values > 0).sum())]
    row = max(1, min(height // max(6, len(order) + 1), round(max(width, height) / 16)))
    colours = class_colours(vocabulary)
    names = [vocabulary.image_label_names[k] for k in order.tolist()]
    line = _probability_row if predicted else _tick_row
    rows = [line(name, value, colours[name], width, row) for name, value in zip(names, values[order].tolist())]
    panel = np.full((height, width, 3), 255, np.uint8)
    stack = np.concatenate(rows or [text_strip(width, row, "none of the labels", round(row * 0.6))])[:height]
    top = (height - len(stack)) // 2
    panel[top : top + len(stack)] = stack
    return panel


def paint_classification(canvas, answer, vocabulary, threshold=EDGE_SHOWN):
    """Note the labels that hold in a corner, the likeliest first."""
    values = answer.classes.float().cpu()
    order = values.argsort(descending=True, stable=True)[:LABELS_SHOWN].tolist()
    colours = class_colours(vocabulary)
    names = {k: vocabulary.image_label_names[k] for k in order if values[k] >= threshold}
    predicted = isinstance(answer, ImagePrediction)
    texts = {k: f"{name} {values[k]:.2f}" if predicted else name for k, name in names.items()}
    canvas.legend([(texts[k], colours[name]) for k, name in names.items()])


def _confident_labels(scores, threshold):
    """uint8 [h, w], the class of each pixel of a `ScoreMap` or `LabelMap`, 255 where it is not probable enough."""
    labels = scores.labels
    if threshold > 0 and isinstance(scores, ScoreMap):
        labels = torch.where(label_probability(scores) >= threshold, labels, IGNORE_INDEX)
    return labels.cpu().numpy()


def _probability(answer, canvas):
    """float32 [h, w] of predicted boundaries at the size of a canvas."""
    return answer.boundary.resize(canvas.size).scores[0].float().cpu().numpy()


def _region_middles(mask, text_size):
    """The innermost point (x, y) of each region of a class that has room for a name, and of its largest in any case."""
    window = window_of(mask)
    inside = mask[window].astype(np.uint8)
    few = inside.size < 1 << 18  # then there are less than 2^16 regions, which 16 bits number in half the time
    count, regions, stats, _ = cv2.connectedComponentsWithStats(inside, ltype=cv2.CV_16U if few else cv2.CV_32S)
    if count == 1:
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    roomy = {int(i) for i in np.argsort(-areas)[:3] if areas[i] > 60 * text_size**2} | {int(areas.argmax())}
    spots = []
    for i in sorted(roomy):
        left, top, width, height = stats[i + 1, :4]
        part = slice(top, top + height), slice(left, left + width)
        region = np.where(regions[part] == i + 1, depth[part], 0)
        y, x = np.unravel_index(region.argmax(), region.shape)
        spots.append((x + left + window[1].start, y + top + window[0].start))
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


def _glow_in_front(canvas, rows, columns, theta, colours):
    """Tint a band beside every edge pixel on the side in front, fading away from the edge.

    Args:
        rows, columns: int64 [N], the edge pixels.
        theta: float [N], their directions.
        colours: uint8 [N, 3], the colours of these.
    """
    width, height = canvas.size
    reach = canvas.line * 4
    # left of the direction (cos, sin) in a frame with y downwards is (sin, -cos)
    exact = np.float32 if height * width < 1 << 24 else np.float64  # for whole numbers up to the number of pixels
    across, down = np.sin(theta, dtype=exact), -np.cos(theta, dtype=exact)
    from_x, from_y = columns.astype(exact), rows.astype(exact)
    owner = np.zeros(height * width, np.int64)  # what glows at a pixel: the step and below it the edge pixel's number
    index, bits = np.arange(len(rows)), len(rows).bit_length()
    for step in range(reach, 0, -1):
        x = np.rint(from_x + across * exact(step)).clip(0, width - 1)
        y = np.rint(from_y + down * exact(step)).clip(0, height - 1)
        owner[(y * width + x).astype(np.int64)] = index | step << bits
    lit = np.flatnonzero(owner)
    steps, edge = owner[lit] >> bits, owner[lit] & ((1 << bits) - 1)
    strength = np.zeros((height, width), np.float32)
    strength.reshape(-1)[lit] = 0.75 * (1 - steps / (reach + 1))
    strength = cv2.merge([cv2.GaussianBlur(strength, (0, 0), canvas.line * 0.4)] * 3)
    packed = np.zeros((len(rows), 4), np.uint8)  # numbers of 32 bits are moved several times faster than three bytes
    packed[:, :3] = colours
    colour = np.zeros((height, width, 4), np.uint8)
    colour.view(np.uint32).reshape(-1)[lit] = packed.view(np.uint32)[edge, 0]
    painted = cv2.dilate(cv2.cvtColor(colour, cv2.COLOR_RGBA2RGB), np.ones((3, 3), np.uint8))
    canvas.pixels = np.rint(canvas.pixels * (1 - strength) + painted * strength).astype(np.uint8)


def _arrow_places(rows, columns, width, spacing):
    """One of the edge pixels [N] per cell of a `spacing` grid, the one nearest to the cell's middle: indices [M]."""
    middle = (np.stack([rows, columns]) // spacing + 0.5) * spacing
    distance = 4 * ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2)  # whole numbers
    cell = (rows // spacing) * (width // spacing + 1) + columns // spacing
    nobody = np.iinfo(np.int64).max
    nearest = np.full(int(cell.max(initial=-1)) + 1, nobody)
    # the nearest, and of equally near ones the first
    np.minimum.at(nearest, cell, distance.astype(np.int64) * len(rows) + np.arange(len(rows)))
    return nearest[nearest < nobody] % max(1, len(rows))


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
    height = canvas.size[1]
    middle = np.array([radius * 1.5, height - radius * 1.5])
    top = max(0, height - radius * 3)
    corner = canvas.pixels[top:, : radius * 3]
    y, x = np.mgrid[top:height, 0 : corner.shape[1]]
    distance = np.hypot(x - middle[0], y - middle[1])
    corner[distance <= radius * 1.2] = 255
    ring = (distance <= radius) & (distance >= radius * 0.5)
    corner[ring] = direction_colours(np.arctan2(y - middle[1], x - middle[0])[ring])
    canvas.label("in front: left of the arrow", [(radius * 3, height - radius * 0.8)], (245, 246, 248))


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
