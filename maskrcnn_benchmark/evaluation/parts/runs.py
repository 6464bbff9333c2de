"""Parts of detections pasted into the image as run lengths: one pass over the pixels of the boxes, no full-size map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as rle

from maskrcnn_benchmark.layers.mask_paste import integer_boxes
from maskrcnn_benchmark.structures.segment_limits import SegmentLimits
from maskrcnn_benchmark.utils.compiled import compiled

_FIRST_BUFFER = 4096


@dataclass(frozen=True)
class PartRuns:
    """Runs of pixels with one part label in one detection, pixels numbered down the columns (column * height + row).

    Attributes:
        size: (width, height) of the image.
        boxes: int64 [R], the detection of each run, ascending.
        labels: int64 [R], its part label 1..P; within a detection no pixel is in two runs.
        starts, ends: int64 [R], its first pixel and the one after its last; ascending within a detection.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def label_map(self, order: np.ndarray) -> np.ndarray:
        """One map of the image, detections painted in the given order, later ones on top.

        Args:
            order: int [N], detections; those left out are not painted.

        Returns:
            uint8 [H, W], 0 background, else the part label.
        """
        width, height = self.size
        canvas = np.zeros(width * height, np.uint8)
        first = np.searchsorted(self.boxes, order)
        last = np.searchsorted(self.boxes, order, side="right")
        _paint(canvas, first, last, self.labels, self.starts, self.ends)
        return np.ascontiguousarray(canvas.reshape(width, height).T)

    def pixels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(detection, part label, pixel) of all pixels in runs, in their order: int64 [P] each."""
        lengths = self.ends - self.starts
        first = np.repeat(self.starts - np.append(0, np.cumsum(lengths)[:-1]), lengths)
        return np.repeat(self.boxes, lengths), np.repeat(self.labels, lengths), first + np.arange(len(first))

    def within(self, limits: SegmentLimits) -> "PartRuns":
        """Without the pixels where `limits` of the detections says that they are not."""
        if not len(self.boxes):
            return self
        boxes, labels, pixels = self.pixels()
        inside = limits.are_inside(boxes, pixels)
        boxes, labels, pixels = boxes[inside], labels[inside], pixels[inside]
        apart = [np.diff(values, prepend=-2) != step for values, step in ((boxes, 0), (labels, 0), (pixels, 1))]
        first = np.flatnonzero(np.any(apart, axis=0))
        last = np.append(first[1:], len(pixels))[: len(first)] - 1
        return PartRuns(self.size, boxes[first], labels[first], pixels[first], pixels[last] + 1)

    def encode(self) -> list[tuple[int, int, dict]]:
        """Run-length codes: list of (detection, part label, {"size": [h, w], "counts": bytes}), in ascending order."""
        if len(self.boxes) == 0:
            return []
        width, height = self.size
        order = np.lexsort((self.labels, self.boxes))  # stable: runs of a mask stay in the order of their pixels
        boxes, labels, starts, ends = (values[order] for values in (self.boxes, self.labels, self.starts, self.ends))
        first = np.flatnonzero((np.diff(boxes, prepend=-1) != 0) | (np.diff(labels, prepend=-1) != 0))
        before = np.append(0, ends[:-1])
        before[first] = 0
        counts = np.stack([starts - before, ends - starts], axis=1).reshape(-1)
        stops = np.append(first[1:], len(boxes))
        rest = (width * height - ends[stops - 1])[:, None]
        uncompressed = [
            {"size": [height, width], "counts": counts[2 * start : 2 * stop].tolist() + tail[tail > 0].tolist()}
            for start, stop, tail in zip(first, stops, rest)
        ]
        codes = rle.frPyObjects(uncompressed, height, width)
        return list(zip(boxes[first].tolist(), labels[first].tolist(), codes))


def paste_part_runs(parts: torch.Tensor, boxes: torch.Tensor, size: Sequence[int]) -> PartRuns:
    """The parts of each detection on its own, each pixel of the box with its most probable label.

    The labels are those of `layers.mask_paste.paste_parts`: the map is resized bilinearly to the box with corners cut
    to integers.

    Args:
        parts: float [N, P + 1, R, R], probabilities per part label, channel 0 is background.
        boxes: float [N, 4], xyxy, inclusive pixels.
        size: (width, height) of the image.

    Returns:
        `PartRuns`.
    """
    if len(parts) != len(boxes):
        raise ValueError(f"{len(parts)} part maps for {len(boxes)} boxes")
    width, height = size
    # Columns of the map first and labels last, in the order in which the kernel goes through them
    maps = np.ascontiguousarray(parts.detach().float().permute(0, 3, 2, 1).cpu().numpy())
    runs = _paste(maps, integer_boxes(boxes, 1).cpu().numpy(), width, height)
    return PartRuns((width, height), *runs.T)


@compiled
def _paste(maps, corners, width, height):
    """Runs int64 [R, 4] (box, label, start, end) of maps float32 [N, R, R, P + 1], columns first."""
    runs = np.empty((_FIRST_BUFFER, 4), np.int64)
    used = 0
    side, channels = maps.shape[1], maps.shape[3]
    column = np.empty((side, channels), np.float32)
    best = np.empty(side, np.int64)
    for box in range(len(maps)):
        left, top, right, bottom = corners[box]
        speaking = _channels_that_speak(maps[box])
        if len(speaking) == 1:
            continue
        label, start, end = 0, 0, 0
        for x in range(max(left, 0), min(right + 1, width)):
            _blend_columns(maps[box], speaking, x, left, right, column, best)
            for y in range(max(top, 0), min(bottom + 1, height)):
                found = _label_at(column, speaking, best, y, top, bottom)
                pixel = x * height + y
                if found == label and pixel == end:
                    end += 1
                    continue
                if label > 0:
                    if used == len(runs):
                        runs = np.concatenate((runs, np.empty_like(runs)))
                    runs[used] = (box, label, start, end)
                    used += 1
                label, start, end = found, pixel, pixel + 1
        if label > 0:
            if used == len(runs):
                runs = np.concatenate((runs, np.empty_like(runs)))
            runs[used] = (box, label, start, end)
            used += 1
    return runs[:used].copy()


@compiled
def _channels_that_speak(cells):
    """Background and the channels that are more probable than it in some cell; no other can win between the cells."""
    side, channels = cells.shape[0], cells.shape[2]
    speaks = np.zeros(channels, np.bool_)
    speaks[0] = True
    for c in range(1, channels):
        for x in range(side):
            for y in range(side):
                if cells[x, y, c] > cells[x, y, 0]:
                    speaks[c] = True
    return np.flatnonzero(speaks)


@compiled
def _source(pixel, first, last, side):
    """The cell before the place of a pixel of the line first..last, the next, and the place's share of the way."""
    scale = np.float32(side) / np.float32(max(last - first + 1, 1))
    place = (np.float32(pixel - first) + np.float32(0.5)) * scale - np.float32(0.5)
    place = min(max(place, np.float32(0)), np.float32(side - 1))
    low = int(place)
    return low, min(low + 1, side - 1), place - np.float32(low)


@compiled
def _blend_columns(cells, speaking, x, left, right, column, best):
    """Write the map's values at pixel column x into `column` [R, P + 1], and the best channel of each cell of it."""
    low, high, share = _source(x, left, right, cells.shape[0])
    for y in range(cells.shape[1]):
        best[y] = 0
        for c in speaking:
            column[y, c] = cells[low, y, c] + share * (cells[high, y, c] - cells[low, y, c])
            if column[y, c] > column[y, best[y]]:
                best[y] = c


@compiled
def _label_at(column, speaking, best, y, top, bottom):
    """The most probable label at pixel row y: on a straight line, what leads at both ends leads all the way."""
    low, high, share = _source(y, top, bottom, len(column))
    label = best[low]
    if label == best[high]:
        return label
    label, most = 0, np.float32(-1)
    for c in speaking:
        value = column[low, c] + share * (column[high, c] - column[low, c])
        if value > most:
            label, most = c, value
    return label


@compiled
def _paint(canvas, first, last, labels, starts, ends):
    for n in range(len(first)):
        for run in range(first[n], last[n]):
            canvas[starts[run] : ends[run]] = labels[run]
