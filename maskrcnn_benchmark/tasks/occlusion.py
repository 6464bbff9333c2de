"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

import cv2
import numpy as np

from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import enlarge_edges
from maskrcnn_benchmark.visualization.objects import TAG
from maskrcnn_benchmark.visualization.palette import INK, direction_colours


class Occlusion(Task):
    """Occlusion edges and their direction, which has the occluder on its left."""

    key = "occlusion"
    title = "occlusion recognition"
    switch = "OCCLUSION_ON"
    comment = "Task: occlusion edges, per image, on the dense features and a fine decoder"
    losses = ("loss_occlusion_edge", "loss_occlusion_direction")
    headline = "OPR-ODS-F"
    parameter_prefixes = ("fpn_heads.heads.occlusion.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 50
    backdrop = {"fade": 0.78, "grey": True}

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> None:
        """Occlusion edges by direction, with a glow on the side in front and arrows that have it on their left."""
        if isinstance(known, ImagePrediction):
            probability, sine, cosine = known.occlusion.resize(canvas.size).scores.float().cpu().numpy()
            edge = probability >= threshold
            theta = np.arctan2(sine[edge], cosine[edge])
        else:
            edge, theta = _enlarge_directions(known.occlusion, canvas.size)
            theta = theta[edge]
        rows, columns = np.nonzero(edge)
        colours = direction_colours(theta)
        _glow_in_front(canvas, rows, columns, theta, colours)
        canvas.pixels[rows, columns] = colours
        for chosen in _arrow_places(rows, columns, canvas.size[0], spacing=canvas.text_size * 3):
            _arrow(canvas, (columns[chosen], rows[chosen]), theta[chosen])
        _direction_key(canvas)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        words = ("rightwards", "downwards", "leftwards", "upwards")
        return [("occlusion arrows", list(zip(words, direction_colours(np.arange(4) * np.pi / 2).tolist())))]

    # Export -----------------------------------------------------------------------------------------------------------


def _enlarge_directions(occlusion: OcclusionMap, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An `OcclusionMap` at canvas size: bool edges [h, w] and theta [h, w]."""
    how = cv2.INTER_AREA if size[0] < occlusion.edges.shape[1] else cv2.INTER_NEAREST
    sine, cosine = (cv2.resize(part, size, interpolation=how) for part in occlusion.direction.cpu().numpy())
    return enlarge_edges(occlusion.edges.cpu().numpy(), size), np.arctan2(sine, cosine)


def _glow_in_front(
    canvas: Canvas, rows: np.ndarray, columns: np.ndarray, theta: np.ndarray, colours: np.ndarray
) -> None:
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


def _arrow_places(rows: np.ndarray, columns: np.ndarray, width: int, spacing: int) -> np.ndarray:
    """One of the edge pixels [N] per cell of a `spacing` grid, the one nearest to the cell's middle: indices [M]."""
    middle = (np.stack([rows, columns]) // spacing + 0.5) * spacing
    distance = 4 * ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2)  # whole numbers
    cell = (rows // spacing) * (width // spacing + 1) + columns // spacing
    nobody = np.iinfo(np.int64).max
    nearest = np.full(int(cell.max(initial=-1)) + 1, nobody)
    # the nearest, and of equally near ones the first
    np.minimum.at(nearest, cell, distance.astype(np.int64) * len(rows) + np.arange(len(rows)))
    return nearest[nearest < nobody] % max(1, len(rows))


def _arrow(canvas: Canvas, middle: tuple[int, int], theta: float) -> None:
    """An arrow through `middle` along theta."""
    half, shaft, head = canvas.text_size * 0.7, canvas.line * 0.45, canvas.text_size * 0.36
    # (along, across) for an arrow to the right
    shape = np.array([(-1, -shaft), (0, -shaft), (0, -head), (1, 0), (0, head), (0, shaft), (-1, shaft)], dtype=float)
    shape[:, 0] *= half
    turn = np.array([(np.cos(theta), np.sin(theta)), (-np.sin(theta), np.cos(theta))])
    canvas.polygon(np.array(middle) + shape @ turn, INK)


def _direction_key(canvas: Canvas) -> None:
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
    canvas.label("in front: left of the arrow", [(radius * 3, height - radius * 0.8)], TAG)


OCCLUSION = register_task(Occlusion())
