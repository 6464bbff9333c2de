"""The sheet that a picture is drawn on: an image brought to a legible size, with lines and text in proportion."""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskrcnn_benchmark.visualization.palette import GREY, INK, PAPER, ink_on

LEAST_WIDTH = 480
LONGEST_SIDE = 1000
# From so many name tags on text shrinks with the root of their number, down to a share of its size and so many pixels
CROWD = 12
SMALLEST_SHARE, SMALLEST_TEXT = 0.65, 11
ENTRIES_SHOWN = 12  # of a legend


def canvas_scale(width: float, height: float) -> float:
    """Canvas pixels per image pixel: small images grow to `LEAST_WIDTH`, no side exceeds `LONGEST_SIDE`.

    Args:
        width, height: size of the image in pixels.
    """
    return min(max(1.0, LEAST_WIDTH / width), LONGEST_SIDE / max(width, height))


def canvas_size(image: np.ndarray, scale: float | None = None) -> tuple[int, int]:
    """(width, height) of the canvas of an image [H, W, 3]; without a scale, that of `canvas_scale`."""
    _check_image(image)
    height, width = image.shape[:2]
    scale = scale or canvas_scale(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class Canvas:
    """An enlarged image to draw on. Text is collected and set last, so that no line crosses it.

    What explains the drawing stands in a strip below the image, where it covers nothing.

    Coordinates given to the methods are canvas pixels; `place` brings image coordinates there.

    Args:
        image: uint8 [H, W, 3] RGB.
        fade: share of white paper mixed in, 0..1.
        grey: drop the image's colours.
        scale: canvas pixels per image pixel; None makes the canvas legible, see `canvas_scale`.
        steady: whether it is one of many that should have the same size, whatever is found: frames of a video.
    Attributes:
        pixels: uint8 [h, w, 3], drawn on in place.
        scale: canvas pixels per image pixel.
        line: width of an ordinary line, in canvas pixels.
        rim: how much wider the dark line below it is.
        text_size: height of an ordinary line of text, in canvas pixels.
    """

    def __init__(
        self,
        image: np.ndarray,
        fade: float = 0.0,
        grey: bool = False,
        scale: float | None = None,
        steady: bool = False,
    ) -> None:
        size = canvas_size(image, scale)
        height, width = image.shape[:2]
        self.scale = scale or canvas_scale(width, height)
        if size == (width, height):
            pixels = image.copy()
        else:
            pixels = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if self.scale >= 1 else cv2.INTER_AREA)
        if grey:
            pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if fade:
            pixels = cv2.addWeighted(pixels, 1 - fade, pixels, 0, 255 * fade)
        self.pixels = np.ascontiguousarray(pixels)
        extent = min(max(size), 2 * min(size))  # of a ribbon, what could be read counts, not its length
        self.line = max(2, round(extent / 260))
        self.rim = 2 * max(1, round(self.line / 6))
        self.text_size = max(14, round(extent / 29))
        self.steady = steady
        self._texts: list[Any] = []
        self._legends: list[Any] = []
        self._kept_free: list[tuple[float, float, float, float]] = []

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in canvas pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def place(self, xy: np.ndarray | Sequence[float]) -> np.ndarray:
        """Pixel centres of the image, [..., 2] x and y, as canvas coordinates."""
        return (np.asarray(xy, dtype=np.float64) + 0.5) * self.scale - 0.5

    def tint(self, mask: np.ndarray, colour: Sequence[int], strength: float) -> None:
        """Mix `colour` into the pixels of a bool mask [h, w]; strength 0..1."""
        window = window_of(mask)
        pixels, inside = self.pixels[window], mask[window]
        if not inside.size:
            return
        paint = np.full_like(pixels, colour)
        mixed = cv2.addWeighted(pixels, 1 - strength, paint, strength, 0)
        pixels[:] = cv2.copyTo(mixed, inside.view(np.uint8), pixels.copy())

    def tint_labels(self, labels: np.ndarray, colours: Mapping[int, Sequence[int]], strength: float) -> None:
        """Mix each label's colour into its pixels.

        Args:
            labels: uint8 [h, w].
            colours: {label: (red, green, blue)}; pixels of other labels stay as they are.
            strength: 0..1.
        """
        table, painted = np.zeros((1, 256, 3), np.uint8), np.zeros(256, np.uint8)
        for label, colour in colours.items():
            table[0, label], painted[label] = colour, 255
        paint = cv2.LUT(cv2.merge([labels] * 3), table)
        mixed = cv2.addWeighted(self.pixels, 1 - strength, paint, strength, 0)
        self.pixels = cv2.copyTo(mixed, cv2.LUT(labels, painted), self.pixels)

    def outline(self, mask: np.ndarray, colour: Sequence[int]) -> None:
        """Draw the outline of a bool mask [h, w] with a dark rim, so that it shows on any ground."""
        rows, columns = window_of(mask)
        inside = mask[rows, columns].astype(np.uint8)
        corner = (columns.start, rows.start)
        contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner)
        cv2.drawContours(self.pixels, contours, -1, INK, self.line + self.rim, cv2.LINE_AA)
        cv2.drawContours(self.pixels, contours, -1, colour, self.line, cv2.LINE_AA)

    def separate(self, labels: np.ndarray) -> None:
        """Draw a thin dark line wherever two labels of an integer map [h, w] meet."""
        border = np.zeros(labels.shape, bool)
        border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        border[1:] |= labels[1:] != labels[:-1]
        self.tint(border, INK, 0.8)

    def polyline(
        self, points: np.ndarray | Sequence, colour: Sequence[int], width: int | None = None, closed: bool = False
    ) -> None:
        """Draw straight lines through points [n, 2], with a dark rim."""
        width = width or self.line
        path = [np.round(np.asarray(points) * 16).astype(np.int32)]
        cv2.polylines(self.pixels, path, closed, INK, width + self.rim, cv2.LINE_AA, shift=4)
        cv2.polylines(self.pixels, path, closed, colour, width, cv2.LINE_AA, shift=4)

    def polygon(self, points: np.ndarray | Sequence, colour: Sequence[int]) -> None:
        """Fill the polygon through points [n, 2]."""
        path = np.round(np.asarray(points) * 16).astype(np.int32)
        cv2.fillPoly(self.pixels, [path], colour, cv2.LINE_AA, shift=4)

    def dot(self, point: np.ndarray | Sequence, colour: Sequence[int], radius: int, hollow: bool = False) -> None:
        """Draw a keypoint: a filled disc, or a ring where `hollow`."""
        centre = tuple(int(v) for v in np.round(np.asarray(point) * 16))
        for size, fill in ((16 * radius + 16, INK), (16 * radius, colour), *([(9 * radius, PAPER)] if hollow else [])):
            cv2.circle(self.pixels, centre, size, fill, -1, cv2.LINE_AA, shift=4)

    def label(self, text: str, spots: np.ndarray | Sequence, colour: Sequence[int]) -> None:
        """Ask for a name tag of `colour` at the first of `spots` (left, bottom of the tag) that is free and inside."""
        spots = np.asarray(spots, dtype=np.float64).reshape(-1, 2)
        self._texts.append((text, lambda width, height: spots, colour))

    def label_centred(self, text: str, centre: np.ndarray | Sequence[float], colour: Sequence[int]) -> None:
        """Ask for a name tag with its middle at `centre` or, where that is taken, right above or below."""

        def spots(width, height):
            x, y = centre[0] - width / 2, centre[1] + height / 2
            return np.array([(x, y), (x, y - height), (x, y + height), (x, y - 2 * height), (x, y + 2 * height)])

        self._texts.append((text, spots, colour))

    def keep_free(self, box: Sequence[float]) -> None:
        """Ask that no tag covers a box (left, top, right, bottom), if it has another spot."""
        left, top, right, bottom = box
        self._kept_free.append((left, top, right, bottom))

    def legend(self, entries: Sequence[tuple[str, Any]], names: Iterable[str] = ()) -> None:
        """Ask for samples with their names in a strip below the picture, apart from other legends.

        Args:
            entries: list of (text, sample), the first `ENTRIES_SHOWN` of which are shown; a sample is a colour (red,
                green, blue) or a picture uint8 [size, size, 3].
            names: all texts that there could be, so that the strip has the same size whatever is found.
        """
        entries, names = list(entries)[:ENTRIES_SHOWN], [*(text for text, _ in entries), *names]
        if names:
            self._legends.append((entries, list(dict.fromkeys(names))))

    def note(self, text: str) -> None:
        """A remark in the lower left corner, such as that nothing was found."""
        self.label(text, [(self.text_size * 0.4, self.size[1] - self.text_size * 0.4)], (245, 246, 248))

    def finish(self) -> np.ndarray:
        """Set the collected text and legends and return the picture, uint8 [h, w, 3].

        It begins with the canvas. The strip of the legends makes it higher, and wider than a canvas on which a name
        would have no room.
        """
        taken: list[Any] = [*self._kept_free]
        crowd = max(SMALLEST_SHARE, math.sqrt(CROWD / max(CROWD, len(self._texts))))
        size = max(SMALLEST_TEXT, round(self.text_size * crowd))
        writing = []
        for text, spots, colour in self._texts:
            width, height = _tag_size(text, size)
            box = self._free_box(spots(width, height), width, height, taken)
            taken.append(box)
            writing.append((text, box, tuple(int(c) for c in colour)))
        for text, box, colour in writing:
            with self._written(*box) as (draw, left, top):
                right, bottom = left + box[2] - box[0], top + box[3] - box[1]
                draw.rounded_rectangle((left, top, right, bottom), size // 4, fill=colour)
                draw.text(
                    (left + size * 0.3, (top + bottom) / 2), text, fill=ink_on(colour), font=_font(size), anchor="lm"
                )
        strips = [self._legend_strip(*legend) for legend in self._legends]
        self._texts, self._legends, self._kept_free = [], [], []
        return stacked([self.pixels, *strips]) if strips else self.pixels

    def _legend_strip(self, entries, names):
        """A legend, uint8 [height, width, 3], in columns that have room for the longest of its names."""
        size = round(self.text_size * 0.8)
        row = max([round(size * 1.5), *(len(sample) + 4 for _, sample in entries if np.ndim(sample) == 3)])
        column = math.ceil(max(_text_width(text, size) for text in names) + row + size)
        columns = max(1, self.size[0] // column)
        rows = math.ceil(min(len(names), ENTRIES_SHOWN) / columns)
        strip = Image.new("RGB", (max(self.size[0], column), row * rows), PAPER)
        draw = ImageDraw.Draw(strip)
        for place, (text, sample) in enumerate(entries):
            x, y = place % columns * column, place // columns * row
            if np.ndim(sample) != 3:
                sample = np.full((size, size, 3), sample, np.uint8)
            inset = (row - len(sample)) // 2
            strip.paste(Image.fromarray(sample), (x + inset, y + inset))
            draw.text((x + row + size * 0.2, y + row / 2), text, fill=INK, font=_font(size), anchor="lm")
        return np.asarray(strip)

    @contextlib.contextmanager
    def _written(self, left, top, right, bottom):
        """A PIL drawing of a box's surroundings, and where the box's corner is in it: (draw, left, top).

        What is drawn comes back to the canvas at the end: the whole of it need not go to PIL for a few words.
        """
        x, y = max(0, int(left) - 2), max(0, int(top) - 2)
        window = self.pixels[y : int(bottom) + 3, x : int(right) + 3]
        picture = Image.fromarray(window)
        yield ImageDraw.Draw(picture), left - x, top - y
        window[:] = np.asarray(picture)

    def _free_box(self, spots, width, height, taken):
        """The first spot's box that meets no other, moved inside the picture; failing all, the least covered one."""
        limit = np.maximum(np.array(self.size) - 1 - (width, height), 0)
        corners = np.clip(spots - (0, height), 0, limit)
        boxes = np.hstack([corners, corners + np.array([width, height])])
        return tuple(boxes[_covered(boxes, taken).argmin()])


def message_panel(image: np.ndarray, words: str, scale: float | None = None) -> np.ndarray:
    """A grey panel of the canvas size of `image` [H, W, 3] with `words` in its middle, uint8 [h, w, 3]."""
    size = canvas_size(image, scale)
    picture = Image.new("RGB", size, GREY)
    font = _font(max(16, round(max(size) / 22)))
    ImageDraw.Draw(picture).text((size[0] / 2, size[1] / 2), words, fill=(112, 119, 131), font=font, anchor="mm")
    return np.array(picture)


@lru_cache(maxsize=512)
def text_strip(
    width: int,
    height: int,
    text: str,
    size: int,
    ground: tuple[int, ...] = PAPER,
    colour: tuple[int, ...] = INK,
    anchor: str = "mm",
) -> np.ndarray:
    """A strip uint8 [height, width, 3] of `ground` with a line of text, centred ("mm") or at the left ("lm").

    Strips are kept, for the same titles and class names return in every picture; they cannot be written to.
    """
    picture = Image.new("RGB", (width, height), ground)
    x = width / 2 if anchor == "mm" else size * 0.4
    ImageDraw.Draw(picture).text((x, height / 2), text, fill=colour, font=_font(size), anchor=anchor)
    return np.asarray(picture)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures, uint8 [h, w, 3] each, one below the other; white beside the narrower ones."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([on_paper(picture, len(picture), width) for picture in pictures])


def on_paper(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture, uint8 [h, w, 3], in the upper left corner of a white one of at least its size."""
    beyond = (0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)
    return np.pad(picture, beyond, constant_values=255) if np.any(beyond) else picture


def window_of(mask: np.ndarray) -> tuple[slice, slice]:
    """(rows, columns) slices of the smallest window that holds all of a bool mask [h, w]; empty where nothing is."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def enlarge_mask(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A bool mask [H, W] at canvas size (w, h), with smooth outlines: bool [h, w]."""
    soft = cv2.resize(np.asarray(mask).astype(np.uint8) * 255, size, interpolation=cv2.INTER_LINEAR)
    return soft >= 128


def enlarge_labels(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An integer map [H, W] at canvas size (w, h), with smooth borders: the label nearest by bilinear weight wins."""
    best = np.zeros((size[1], size[0]), np.uint8)
    result = np.zeros((size[1], size[0]), labels.dtype)
    for label in np.unique(labels):
        weight = cv2.resize((labels == label).astype(np.uint8) * 255, size, interpolation=cv2.INTER_LINEAR)
        wins = weight > best
        best[wins] = weight[wins]
        result[wins] = label
    return result


def _covered(boxes, taken):
    """Area of each box float [N, 4] that the boxes `taken` cover, those that overlap counted twice: float [N]."""
    others = np.array(taken, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2).sum(axis=1)


@lru_cache(maxsize=32)
def _font(size):
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _text_width(text, size):
    return _font(size).getlength(text)


def _tag_size(text, text_size):
    return _text_width(text, text_size) + text_size * 0.6, text_size * 1.3


def _check_image(image):
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
