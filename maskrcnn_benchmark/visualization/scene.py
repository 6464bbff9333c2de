"""A whole scene in one picture: segments that do not overlap, the contours of their parts, and who is in front."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.panoptic_map import PanopticMap
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels, enlarge_mask
from maskrcnn_benchmark.visualization.order import arrow_sample, paint_arrows
from maskrcnn_benchmark.visualization.palette import PAPER
from maskrcnn_benchmark.visualization.segments import Colour, paint_segments

STUFF, THINGS = 0.5, 0.3  # share of the colours of all segments, and again of things, which so stand out


def paint_scene(
    canvas: Canvas,
    segments: PanopticMap,
    is_thing: np.ndarray,
    colours: Sequence[Colour],
    words: Sequence[str],
    parts: np.ndarray | None = None,
    order: OcclusionOrder | None = None,
) -> None:
    """Tint segments, outline things and their parts, name all, and lead arrows from what is in front to what is behind.

    Args:
        canvas: painted in place.
        segments: S of them, at the size of the image.
        is_thing: bool [S].
        colours, words: of each.
        parts: uint8 [H, W], labels of parts within segments, 0 for none; None without parts.
        order: of objects that are all segments; None where it is not known.
    """
    paint_segments(canvas, segments, colours, words, STUFF)
    things = [(enlarge_mask(segments.ids == k + 1, canvas.size), colours[k]) for k in np.flatnonzero(is_thing).tolist()]
    for mask, colour in things:
        canvas.tint(mask, colour, THINGS)
    if parts is not None and parts.any():
        _outline_parts(canvas, segments.ids, parts)
    for mask, colour in things:
        canvas.outline(mask, colour)
    if order is not None:
        canvas.legend([("from in front to behind", arrow_sample(2 * canvas.text_size))])
        numbers = {row: number for number, row in enumerate(segments.objects.tolist(), 1)}
        seen = np.array([segments.ids == numbers[row] for row in order.objects.tolist()], bool)
        paint_arrows(canvas, replace(order, masks=seen.reshape(-1, *segments.ids.shape)))


def _outline_parts(canvas: Canvas, ids: np.ndarray, parts: np.ndarray) -> None:
    """Thin light lines where two parts of a segment meet."""
    labels, owners = (enlarge_labels(m, canvas.size) for m in (parts, ids))
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= (labels[:, 1:] != labels[:, :-1]) & (owners[:, 1:] == owners[:, :-1])
    border[1:] |= (labels[1:] != labels[:-1]) & (owners[1:] == owners[:-1])
    canvas.tint(border, PAPER, 0.9)
