"""Run-length codes of an annotation file, decoded many at once, and what their runs say without a bitmap."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.preparation.check_values import is_size
from maskrcnn_benchmark.structures.run_length import RunLengths

# A run of n pixels takes log32(n) characters and a sign; more than this per pixel is no code of the mask
_CHARACTERS_PER_PIXEL = 8


def mask_size(mask: Any) -> tuple[int, int] | None:
    """(width, height) that a mask claims, or None if it is no run-length code at all."""
    if not isinstance(mask, dict) or not is_size(mask.get("size")) or not isinstance(mask.get("counts"), str | list):
        return None
    height, width = mask["size"]
    return int(width), int(height)


def mask_code(mask: Any) -> bytes | None:
    """The compressed code of a mask that has a `mask_size`: bytes, or None if it cannot be one."""
    width, height = mask_size(mask)  # type: ignore[misc]
    counts = mask["counts"]
    if len(counts) > _CHARACTERS_PER_PIXEL * (width * height + 2):
        return None
    if isinstance(counts, str):
        return counts.encode() if counts.isascii() else None
    if not set(map(type, counts)) <= {int} or min(counts, default=-1) < 0 or sum(counts) != width * height:
        return None
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]


def pixels_in_boxes(runs: RunLengths, boxes: np.ndarray) -> np.ndarray:
    """How many pixels of each mask lie in its box.

    Args:
        runs: `RunLengths` of N masks.
        boxes: float [N, 4], (x, y, w, h) in pixels; a pixel that a box touches counts.

    Returns:
        int64 [N].
    """
    width, height = runs.size
    first = np.clip(np.floor(boxes[:, :2]), 0, [width, height]).astype(np.int64)
    stop = np.clip(np.ceil(boxes[:, :2] + boxes[:, 2:]), first, [width, height]).astype(np.int64)
    (left, top), (right, bottom) = first[runs.mask_of_run].T, stop[runs.mask_of_run].T

    def before(pixel):
        """Pixels in the box's rows that are numbered below `pixel`."""
        return pixel // height * (bottom - top) + np.clip(pixel % height - top, 0, bottom - top)

    starts = np.clip(runs.starts, left * height, right * height)
    ends = np.clip(runs.starts + runs.lengths, left * height, right * height)
    inside = before(ends) - before(starts)
    return np.bincount(runs.mask_of_run, inside, len(runs)).astype(np.int64)


def pixels_outside(runs: RunLengths, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """How many pixels of each inner mask are not of its outer mask.

    Args:
        runs: `RunLengths`.
        inner, outer: int64 [K], indices of masks, pair by pair; an inner mask occurs once.

    Returns:
        int64 [K].
    """
    pixels = runs.size[0] * runs.size[1]
    partner = np.full(len(runs), -1, np.int64)
    partner[inner] = outer
    chosen = np.flatnonzero(partner[runs.mask_of_run] >= 0)
    owner, lengths = runs.mask_of_run[chosen], runs.lengths[chosen]
    # all masks in a row, one behind the other: the runs of the outer one are then ascending, too
    line = runs.mask_of_run * pixels + runs.starts
    covered = np.append(0, np.cumsum(runs.lengths))

    def before(pixel):
        """Pixels of any mask in the row that are numbered below `pixel`."""
        run = np.searchsorted(line, pixel, side="right") - 1
        partly = np.where(run >= 0, np.minimum(pixel - line[run], runs.lengths[run]), 0)
        return np.where(run >= 0, covered[run] + partly, 0)

    starts = partner[owner] * pixels + runs.starts[chosen]
    outside = lengths - (before(starts + lengths) - before(starts))
    return np.bincount(owner, outside, len(runs)).astype(np.int64)[inner]
