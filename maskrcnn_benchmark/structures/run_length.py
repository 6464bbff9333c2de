"""Run-length encoded masks in COCO's formats: parsed, checked and painted, many at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.mask_windows import Window, enclosing_window
from maskrcnn_benchmark.utils.compiled import compiled
from maskrcnn_benchmark.utils.errors import UserError

# Indices or values, one for each mask
Numbers = Sequence[int] | np.ndarray
# What can be wrong with a code, before its numbers are read
DAMAGES = ("", "does not decode; it is damaged or cut off", "holds a number beyond 60 bits; it is damaged")
_NO_MASK = "does not decode to a mask of {}x{} pixels; it is damaged or cut off"


class RunLengths:
    """The foreground runs of several masks of one size, in column-major order as COCO numbers pixels.

    `pycocotools.mask.decode` returns arbitrary pixels for a string that was cut off, so the strings are parsed here,
    where they can be checked; painting straight from the runs also costs nothing for the pixels outside of a mask.

    Attributes:
        size: (width, height) in pixels.
        mask_of_run: int64 [R], the mask that each run belongs to, ascending.
        starts, lengths: int64 [R], first pixel (column * height + row) and number of pixels of each run.
        areas: int64 [N], pixels of each mask.
    """

    def __init__(self, encodings: Iterable[Any], size: Sequence[int], names: Callable[[int], str]) -> None:
        """Parse `encodings`, dictionaries {"size": [h, w], "counts": str, bytes or list of int}.

        Args:
            encodings: the N masks.
            size: (width, height) that every one of them must have.
            names: function of a mask's index to the words by which an error names it.

        Raises `UserError` for a mask of another size or whose runs do not add up to the image.
        """
        size = (int(size[0]), int(size[1]))
        strings = [_compressed(encoding, size, names, i) for i, encoding in enumerate(encodings)]
        damages = self._parse(strings, size)
        if damages:
            i = min(damages)
            raise UserError(f"{names(i)}: its run-length code {damages[i]}")

    @classmethod
    def of_readable(cls, strings: Iterable[bytes], size: tuple[int, int]) -> tuple["RunLengths", dict[int, str]]:
        """Parse what can be parsed of compressed codes; the others are masks without pixels.

        Args:
            strings: the N codes, bytes.
            size: (width, height) of all of them.

        Returns:
            (`RunLengths` of N masks, {index of a damaged mask: what is wrong with it in words}).
        """
        runs = cls.__new__(cls)
        return runs, runs._parse(list(strings), size)

    def _parse(self, strings: list[bytes], size: tuple[int, int]) -> dict[int, str]:
        """Set the attributes from codes; returns {index: words} of those that do not decode and have no runs."""
        self.size = size
        pixels, number = size[0] * size[1], len(strings)
        counts, mask_of_count, rank, damages = _parse_counts(strings)
        totals = np.bincount(mask_of_count, counts, number)
        negative = np.bincount(mask_of_count, counts < 0, number)
        wrong = (totals != pixels) | (negative > 0)
        for i in np.flatnonzero(wrong).tolist():
            damages.setdefault(i, _NO_MASK.format(*size))
        ends = np.cumsum(counts)
        before = np.append(0, ends)[np.searchsorted(mask_of_count, np.arange(number))]
        foreground = (rank % 2 == 1) & (counts > 0) & ~wrong[mask_of_count]
        self.mask_of_run = mask_of_count[foreground]
        self.lengths = counts[foreground]
        self.starts = ends[foreground] - self.lengths - before[self.mask_of_run]
        self.areas = np.bincount(self.mask_of_run, self.lengths, number).astype(np.int64)
        return damages

    def __len__(self) -> int:
        return len(self.areas)

    def paint(self, canvas: np.ndarray, order: Numbers, layers: Numbers, values: Numbers) -> None:
        """Write masks into layers of a canvas; where several overlap in one layer, the later in `order` wins.

        Args:
            canvas: uint8 [L, width, height], column-major images (see `row_major`), changed in place.
            order: indices of masks, in the order of painting.
            layers, values: for each entry of `order`, the layer to paint and the value to write.
        """
        runs, place = self._runs_in(order)
        starts = self.starts[runs] + np.asarray(layers, np.int64)[place] * (canvas.shape[1] * canvas.shape[2])
        _paint(canvas.reshape(-1), starts, self.lengths[runs], np.asarray(values, canvas.dtype)[place])

    def windows(self, order: Numbers, owners: Numbers, values: Numbers, count: int) -> tuple[np.ndarray, list[Window]]:
        """The masks of objects, which may be of several masks each, painted into windows that just hold them.

        Args:
            order, values: as `paint` takes them.
            owners: for each entry of `order`, the object that it belongs to.
            count: number of objects.

        Returns:
            (uint8 [T], list of `count` windows (x, y, width, height)), as `mask_windows.ObjectWindows` takes them.
        """
        owners = np.asarray(owners, np.int64)
        windows = self._windows_of(order, owners, count)
        left, top, widths, heights = np.array(windows, np.int64).reshape(-1, 4).T
        ends = np.cumsum(widths * heights)
        runs, place = self._runs_in(order)
        owner = owners[place]
        columns, rows = np.divmod(self.starts[runs], self.size[1])
        # a run that goes on in the next column touches both borders of the image, and so its window does
        starts = (ends - widths * heights - left * heights - top)[owner] + columns * heights[owner] + rows
        painted = np.zeros(ends[-1] if count else 0, np.uint8)
        _paint(painted, starts, self.lengths[runs], np.asarray(values, np.uint8)[place])
        turned = np.empty_like(painted)
        for end, (_, _, width, height) in zip(ends, windows):
            window = slice(end - width * height, end)
            cv2.transpose(painted[window].reshape(width, height), dst=turned[window].reshape(height, width))
        return turned, windows

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Row by row, the numbers row * width + column of all masks' pixels, mask after mask: (int64 [P], mask [P])."""
        columns, rows = np.divmod(_spread(self.starts, self.lengths), self.size[1])
        return rows * self.size[0] + columns, np.repeat(self.mask_of_run, self.lengths)

    def _windows_of(self, order: Numbers, owners: np.ndarray, count: int) -> list[Window]:
        boxes = self.bounding_boxes()[order].reshape(-1, 4).astype(np.int64)
        there = boxes[:, 0] >= 0
        starts, ends = np.full((count, 2), max(self.size)), np.full((count, 2), -1)
        np.minimum.at(starts, owners[there], boxes[there, :2])
        np.maximum.at(ends, owners[there], boxes[there, 2:])
        return [
            enclosing_window(x1, y1, x2 + 1 - x1, y2 + 1 - y1, self.size) if x2 >= 0 else (0, 0, 1, 1)
            for (x1, y1), (x2, y2) in zip(starts.tolist(), ends.tolist())
        ]

    def _runs_in(self, order: Numbers) -> tuple[np.ndarray, np.ndarray]:
        """The runs of the masks in `order`, in that order, and for each its mask's place in it: two int64 [R]."""
        order = np.asarray(order, np.int64)
        position = np.full(len(self), -1, np.int64)
        position[order] = np.arange(len(order))
        runs = np.flatnonzero(position[self.mask_of_run] >= 0)
        place = position[self.mask_of_run[runs]]
        by_place = np.argsort(place, kind="stable")
        return runs[by_place], place[by_place]

    def masks(self, indices: Numbers) -> np.ndarray:
        """The masks of `indices`, each on its own: uint8 [len(indices), height, width] of 0 and 1."""
        width, height = self.size
        canvas = np.zeros((len(indices), width, height), np.uint8)
        self.paint(canvas, indices, np.arange(len(indices)), np.ones(len(indices)))
        return row_major(canvas)

    def bounding_boxes(self) -> np.ndarray:
        """Tight inclusive boxes, float32 [N, 4] xyxy in pixels; all -1 for a mask without pixels."""
        height = self.size[1]
        ends = self.starts + self.lengths - 1
        first_column, last_column = self.starts // height, ends // height
        several = last_column > first_column
        top = np.where(several, 0, self.starts % height)
        bottom = np.where(several, height - 1, ends % height)
        boxes = np.full((len(self), 4), -1, np.float32)
        if not len(self.starts):
            return boxes
        first = np.flatnonzero(np.diff(self.mask_of_run, prepend=-1))
        present = self.mask_of_run[first]
        boxes[present, 0] = np.minimum.reduceat(first_column, first)
        boxes[present, 1] = np.minimum.reduceat(top, first)
        boxes[present, 2] = np.maximum.reduceat(last_column, first)
        boxes[present, 3] = np.maximum.reduceat(bottom, first)
        return boxes


def parts_on_top(
    runs: RunLengths, owners: Sequence[int], labels: Sequence[int], count: int
) -> tuple[np.ndarray, list[Window]]:
    """Part labels of objects where every pixel has one owner: of parts that overlap, the later one holds.

    Args:
        runs: the masks of the parts, in the order in which they are painted.
        owners, labels: for each part, the object that it belongs to and its label.
        count: number of objects.

    Returns:
        pixels and windows, as `mask_windows.ObjectWindows` takes them.
    """
    order = np.arange(len(runs))
    pixels, windows = runs.windows(order, owners, labels, count)
    top = np.zeros((1, *runs.size), np.int32)
    runs.paint(top, order, np.zeros(len(runs)), np.asarray(owners) + 1)
    end = 0
    for owner, (x, y, width, height) in enumerate(windows, 1):
        begin, end = end, end + width * height
        pixels[begin:end][(owner != top[0, x : x + width, y : y + height].T).reshape(-1)] = 0
    return pixels, windows


def _spread(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """All numbers of runs, int64 [sum of lengths]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


@compiled
def _paint(canvas, starts, lengths, values):
    """Write runs into a flat canvas, each with its value, one after the other."""
    for k in range(len(starts)):
        canvas[starts[k] : starts[k] + lengths[k]] = values[k]


def row_major(canvas: np.ndarray) -> np.ndarray:
    """Column-major images [L, width, height] -> the usual [L, height, width], contiguous."""
    turned = np.empty((len(canvas), *canvas.shape[:0:-1]), canvas.dtype)
    if not turned.size:
        return turned
    for source, target in zip(canvas, turned):  # OpenCV goes in blocks that fit the cache, NumPy pixel by pixel
        cv2.transpose(source, dst=target)
    return turned


def from_polygons(polygons: Sequence[Sequence[float]], size: Sequence[int]) -> dict[str, Any]:
    """COCO polygons [[x, y, x, y, ...], ...] of one object -> one compressed run-length code {"size", "counts"}."""
    width, height = size
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _compressed(encoding, size, names, index):
    width, height = size
    try:
        shape, counts = [int(side) for side in encoding["size"]], encoding["counts"]
    except (TypeError, KeyError, ValueError, OverflowError):
        expected = '{"size": [h, w], "counts": ...}'
        raise UserError(f"{names(index)}: a mask must be {expected}, not {repr(encoding)[:80]}") from None
    if shape != [height, width]:
        raise UserError(f"{names(index)}: its mask is {shape[::-1]} pixels (w, h), but its image is {[width, height]}")
    if isinstance(counts, list):
        if not all(type(count) is int and 0 <= count <= width * height for count in counts):
            raise UserError(f"{names(index)}: its run-length code holds what is no length; mend or remove it")
        counts = coco_mask.frPyObjects({"size": shape, "counts": counts}, height, width)["counts"]
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, str) or not counts.isascii():
        raise UserError(f"{names(index)}: its run-length code is not ASCII text: {repr(counts)[:40]}")
    return counts.encode()


def _parse_counts(strings):
    """COCO's compressed strings -> (counts int64 [C], mask of each count, its rank in that mask, damages).

    Format (the COCO API's rleFrString): a number is cut into groups of five bits, lowest first, each a character 48
    + bits, plus 32 on all but the last; bit 16 of the last carries the sign. From the fourth number on, the
    difference to the number two before is stored. Damages are {mask: words}; a mask in it has no counts.
    """
    characters = np.frombuffer(b"".join(strings), np.uint8)
    ends = np.cumsum([len(string) for string in strings], dtype=np.int64)
    counts, mask_of_count, rank, kinds = _decode(characters, ends)
    return counts, mask_of_count, rank, {i: DAMAGES[kinds[i]] for i in np.flatnonzero(kinds).tolist()}


def damaged_codes(codes: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Which of several run-length codes do not decode to their own sizes.

    Args:
        codes: {"size": [height, width] of int, "counts": list of int or str}, of any sizes.

    Returns:
        {index of a damaged code: what is wrong with it, in words}.
    """
    number = len(codes)
    strings = [code["counts"].encode() if isinstance(code["counts"], str) else b"" for code in codes]
    counts, mask_of_count, _, damages = _parse_counts(strings)
    totals = np.bincount(mask_of_count, counts, number)
    negative = np.bincount(mask_of_count, counts < 0, number)
    for i, code in enumerate(codes):
        height, width = code["size"]
        total = sum(code["counts"]) if isinstance(code["counts"], list) else totals[i]
        if negative[i] or total != height * width:
            damages.setdefault(i, _NO_MASK.format(width, height))
    return damages


@compiled
def _decode(characters, ends):
    """The numbers of several strings, which end at `ends` of their joined characters.

    Returns:
        counts, mask of each, rank of each in its mask: int64 [C]; kind of damage of each mask: uint8, see `DAMAGES`.
    """
    counts = np.empty(len(characters), np.int64)
    mask_of_count, rank = np.empty_like(counts), np.empty_like(counts)
    kinds = np.zeros(len(ends), np.uint8)
    total = start = 0
    for mask in range(len(ends)):
        kinds[mask] = _damage(characters[start : ends[mask]])
        begin, place = total, start if kinds[mask] == 0 else ends[mask]
        while place < ends[mask]:
            number, shift, bits = np.int64(0), 0, np.int64(32)
            while bits & 32:
                bits = np.int64(characters[place]) - 48
                number |= (bits & 31) << shift
                shift += 5
                place += 1
            if bits & 16:
                number -= np.int64(1) << shift
            if total - begin > 2:
                number += counts[total - 2]
            counts[total], mask_of_count[total], rank[total] = number, mask, total - begin
            total += 1
        start = ends[mask]
    return counts[:total], mask_of_count[:total], rank[:total], kinds


@compiled
def _damage(characters):
    """What is wrong with a string: a place in `DAMAGES`."""
    digits, longest = 0, 0
    for character in characters:
        if character < 48 or character > 111:
            return 1
        digits += 1
        longest = max(longest, digits)
        if not (character - 48) & 32:
            digits = 0
    if digits:
        return 1
    return 2 if longest > 12 else 0
