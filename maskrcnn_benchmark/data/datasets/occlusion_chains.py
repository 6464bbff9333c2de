"""Occlusion edges of PASCAL in Detail: ordered pixel chains -> an edge map with a direction at each of its pixels."""

import numpy as np

# Pixels to either side along a chain between which its tangent is measured: chains run on a pixel grid, so
# neighbours alone would only ever give multiples of 45 degrees
TANGENT_REACH = 3


def chains_to_maps(chains, labels, size):
    """Draw occlusion chains.

    Args:
        chains: list of C lists of pixel numbers, 0-based and column-major (column * height + row).
        labels: C numbers; 1: the occluder is on the left hand when following the chain, 2: on the right.
        size: (width, height) in pixels.

    Returns:
        edges: uint8 [H, W], 1 on the chains.
        direction: float32 [2, H, W], (sin, cos) of the tangent with the occluder on its left, in image coordinates
            (x right, y down); 0 off the edges, and on those edge pixels where no direction can be told (a chain of a
            single pixel, or chains that run against each other).

    Raises `ValueError` for an index outside of the image or a label other than 1 and 2.
    """
    width, height = size
    lengths = np.array([len(chain) for chain in chains], np.int64)
    labels = np.asarray(labels, np.int64)
    if len(labels) != len(lengths) or not np.isin(labels, (1, 2)).all():
        raise ValueError(f"{len(lengths)} chains need as many labels of 1 or 2, got {labels.tolist()[:8]}")
    pixels = np.concatenate([np.zeros(0, np.int64), *(np.asarray(chain, np.int64) for chain in chains)])
    outside = (pixels < 0) | (pixels >= width * height)
    if outside.any():
        raise ValueError(f"pixel {int(pixels[outside][0])} lies outside of the image's {width}x{height}")
    chain_of_pixel = np.repeat(np.arange(len(lengths)), lengths)
    columns, rows = np.divmod(pixels, height)
    dx, dy = _tangents(columns, rows, lengths)
    sign = np.where(labels == 1, 1.0, -1.0)[chain_of_pixel]
    flat = rows * width + columns
    # a pixel shared by several chains, as at a junction, gets their mean direction
    sums = np.stack([np.bincount(flat, part * sign, width * height) for part in (dy, dx)])
    norm = np.hypot(sums[0], sums[1])
    direction = np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), 0.0).astype(np.float32)
    edges = np.zeros(width * height, np.uint8)
    edges[flat] = 1
    return edges.reshape(height, width), direction.reshape(2, height, width)


def _tangents(columns, rows, lengths):
    """Unit vectors (dx, dy) along the chains, from the pixels TANGENT_REACH before and after, clamped at chain ends."""
    ends = np.cumsum(lengths)
    position = np.arange(len(columns))
    before = np.maximum(position - TANGENT_REACH, np.repeat(ends - lengths, lengths))
    after = np.minimum(position + TANGENT_REACH, np.repeat(ends - 1, lengths))
    dx = (columns[after] - columns[before]).astype(np.float64)
    dy = (rows[after] - rows[before]).astype(np.float64)
    norm = np.maximum(np.hypot(dx, dy), 1.0)  # 0 only where both vanish
    return dx / norm, dy / norm
