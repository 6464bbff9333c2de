"""Segments that do not overlap, painted on an image: the colours of their classes, which tell objects apart, too."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels, window_of
from maskrcnn_benchmark.visualization.objects import mask_spots

# Hue is turned by, saturation and value are multiplied with, for one object of a class after the other
_SHADES = (
    (0, 1, 1),
    (0.04, 0.6, 1),
    (-0.04, 1, 0.72),
    (0, 0.45, 0.85),
    (0.06, 1, 0.9),
    (-0.07, 0.7, 1),
    (0, 0.8, 0.55),
)
_MOST_SMOOTH = 64  # segments up to which borders are smooth; each takes a pass over the canvas
_SMALL = 12  # squares of a line's height below which a name covers a segment

Colour = tuple[int, int, int]


def shade_of(colour: Colour, number: int) -> Colour:
    """The colour of the object of a number, from 0, whose class has a colour: near to that."""
    turn, saturation, value = _SHADES[number % len(_SHADES)]
    hue, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    red, green, blue = colorsys.hsv_to_rgb((hue + turn) % 1, s * saturation, v * value)
    return round(255 * red), round(255 * green), round(255 * blue)


def segment_colours(segments: PanopticMap, classes: PanopticClasses, of_class: dict[str, Colour]) -> list[Colour]:
    """A colour for each segment: that of its class, of things a shade of it for each object."""
    seen: dict[int, int] = {}
    colours = []
    for kind, is_crowd in zip(segments.classes.tolist(), segments.is_crowd.tolist()):
        colour = of_class[classes.names[kind]]
        if classes.is_thing[kind] and not is_crowd:
            seen[kind] = seen.get(kind, -1) + 1
            colour = shade_of(colour, seen[kind])
        colours.append(colour)
    return colours


def paint_segments(
    canvas: Canvas, segments: PanopticMap, colours: Sequence[Colour], words: Sequence[str], strength: float
) -> None:
    """Tint each segment, draw lines where they meet, and ask for names in their middles; void keeps the image.

    A segment that its name would cover has it on its top.

    Args:
        canvas: painted in place.
        segments: S of them, at the size of the image.
        colours, words: of each.
        strength: share of the colours, 0..1.
    """
    if len(segments) <= _MOST_SMOOTH:
        ids = enlarge_labels(segments.ids, canvas.size)
    else:
        ids = segments.resize(canvas.size).ids
    paint = np.array([(0, 0, 0), *colours], np.uint8)[ids]
    mixed = cv2.addWeighted(canvas.pixels, 1 - strength, paint, strength, 0)
    canvas.pixels = cv2.copyTo(mixed, (ids > 0).view(np.uint8), canvas.pixels)
    canvas.separate(ids)
    for number, (word, colour) in enumerate(zip(words, colours), 1):
        mask = ids == number
        if 0 < np.count_nonzero(mask) < _SMALL * canvas.text_size**2:
            canvas.label(word, mask_spots(mask, canvas), colour)
            continue
        for spot in region_middles(mask, canvas.text_size):
            canvas.label_centred(word, spot, colour)


def region_middles(mask: np.ndarray, text_size: int) -> list[tuple[int, int]]:
    """The innermost point (x, y) of each region of a mask that has room for a name, and of its largest in any case.

    Args:
        mask: bool [h, w].
        text_size: height of a line of text in pixels.
    """
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
