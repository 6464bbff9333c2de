"""COCO run-length encodings, compressed or not, to bitmaps, with errors instead of garbage for a damaged one."""

import numpy as np


def is_rle(item):
    return isinstance(item, dict) and "counts" in item and "size" in item


def decode_rle(rle):
    """Decode one run-length encoding.

    Args:
        rle: {"size": [height, width], "counts": str, bytes or list of int}; runs go down the columns, zeros first.

    Returns:
        uint8 [height, width] array of 0 and 1.

    Raises:
        ValueError: if the runs are malformed or do not cover the mask exactly.
    """
    height, width = (int(side) for side in rle["size"])
    counts = rle["counts"]
    runs = np.asarray(counts, dtype=np.int64) if isinstance(counts, list | tuple) else _runs_of_text(counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"the runs of an RLE cover {runs.sum()} pixels, not its {height} x {width} (height x width)")
    values = np.arange(len(runs), dtype=np.uint8) & 1
    return np.repeat(values, runs).reshape(width, height).T


def _runs_of_text(text):
    """Lengths of the runs: numbers in groups of 6 bits (5 of value, 1 that says more follows), lowest group first,
    signed; from the fourth on a number is the difference to the last but one (the format of COCO's maskApi)."""
    text = text.encode() if isinstance(text, str) else bytes(text)
    groups = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if len(groups) == 0:
        return groups
    last = (groups & 0x20) == 0
    if (groups < 0).any() or (groups > 63).any() or not last[-1]:
        raise ValueError("the text of an RLE is cut off or holds characters outside of its alphabet")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    if places.max() > 55:
        raise ValueError("the text of an RLE holds a number of more than 60 bits")
    numbers = np.add.reduceat((groups & 0x1F) << places, starts)
    numbers -= np.where(groups[ends] & 0x10, np.int64(1) << (places[ends] + 5), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
