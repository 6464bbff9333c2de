"""Occlusion edges of PASCAL in Detail: ordered pixel chains <-> an edge map with a direction at each of its pixels."""

import numpy as np
from numba import njit

# Pixels to either side along a chain between which its tangent is measured: chains run on a pixel grid, so
# neighbours alone would only ever give multiples of 45 degrees
TANGENT_REACH = 3


def chains_to_edges(chains, labels, size):
    """The pixels of occlusion chains, and their directions.

    Args:
        chains: list of C lists of pixel numbers, 0-based and column-major (column * height + row).
        labels: C numbers; 1: the occluder is on the left hand when following the chain, 2: on the right.
        size: (width, height) in pixels.

    Returns:
        places: int64 [E], row * width + column of the pixels on the chains, ascending.
        tangents: float32 [2, E], (sin, cos) of the tangent with the occluder on its left, in image coordinates
            (x right, y down); 0 where no direction can be told (a chain of a single pixel, or chains that run against
            each other).

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
    # only on the chains: whole maps of float64 would take ten times as long
    places, place_of_pixel = np.unique(rows * width + columns, return_inverse=True)
    # a pixel shared by several chains, as at a junction, gets their mean direction
    sums = np.stack([np.bincount(place_of_pixel, part * sign, len(places)) for part in (dy, dx)])
    norm = np.hypot(sums[0], sums[1])
    return places, np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), 0.0).astype(np.float32)


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


def maps_to_chains(edges, direction):
    """Follow the edges of a map: what `chains_to_edges` places again.

    At a junction the straightest line goes on and the others end; chains also end where the occluder changes sides.
    Every edge pixel lies on one chain; only where a chain would be a single pixel, which says nothing of a direction,
    it also takes in a neighbour. Drawn again, the edges are exactly the same, and directions nearly so: within a few
    degrees along lines, less precise beside junctions and in clumps of pixels. Lost are the direction of a pixel
    without any neighbour and that of a pixel which contradicts both of its neighbours.

    Args:
        edges: [H, W], not 0 on the edges.
        direction: float [2, H, W], (sin, cos) of the tangent with the occluder on its left, of any length; 0 where no
            direction is known.

    Returns:
        (chains, labels): list of C int64 arrays of pixel numbers, 0-based and column-major (column * height + row), and
        int64 [C] of 1 (the occluder is on the left hand when following the chain) or 2 (on the right).
    """
    edges = np.asarray(edges) > 0
    height, width = edges.shape
    if np.shape(direction) != (2, height, width):
        raise ValueError(f"directions of a {[height, width]} map must be [2, H, W], not {list(np.shape(direction))}")
    # In a frame without edges, so that every pixel has eight neighbours
    sin, cos = np.pad(np.asarray(direction, np.float64), ((0, 0), (1, 1), (1, 1))).reshape(2, -1)
    path, first, borrowed = _trace(np.flatnonzero(np.pad(edges, 1)), width + 2, sin, cos)
    rows, columns = path // (width + 2) - 1, path % (width + 2) - 1
    along = _agreement(rows, columns, first, direction)
    first = _split(along, first)
    # Parts have their own tangents, clamped at their own ends; what a chain has borrowed has no vote
    along = _agreement(rows, columns, first, direction) * ~borrowed
    votes = np.add.reduceat(along, first) if len(first) else np.zeros(0)
    return np.split(columns * height + rows, first[1:]) if len(first) else [], np.where(votes < 0, 2, 1)


def _agreement(rows, columns, first, direction):
    """Cosine between each pixel's tangent along its chain and its direction in the map, times the length of that."""
    dx, dy = _tangents(columns, rows, np.diff(first, append=len(rows)))
    sin, cos = np.asarray(direction, np.float64)[:, rows, columns]
    return dx * cos + dy * sin


@njit(cache=True)
def _trace(places, width, sin, cos):
    """Order edge pixels into lines.

    Two pixels are linked if they touch by a side, or by a corner and no edge pixel touches both by a side. From a pixel
    with more than two links a line goes on as straight as it can, but neither back nor against the map's direction.

    Args:
        places: int64 [N], numbers of the edge pixels in a framed map with rows of `width`.
        sin, cos: float64, the map's direction at every place.

    Returns:
        path int64 [M], the lines one after the other; first int64 [C], where each begins; borrowed bool [M], whether a
        pixel is there only because its neighbour would be alone.
    """
    edge = np.zeros(len(sin), np.bool_)
    edge[places] = True
    sides = np.array([-width, 1, width, -1])
    links = np.full((len(places), 8), -1, np.int64)
    row = np.empty(len(sin), np.int64)
    for i in range(len(places)):
        row[places[i]] = i
        _find_links(edge, places[i], sides, links[i])
    degree = (links >= 0).sum(axis=1)
    free = edge
    path = np.empty(2 * len(places), np.int64)
    borrowed = np.zeros(2 * len(places), np.bool_)
    first = np.empty(len(places), np.int64)
    length = count = 0
    for closed in range(2):
        for i in range(len(places)):
            if not free[places[i]] or (not closed and degree[i] != 1):
                continue
            begin = first[count] = length
            count += 1
            path[length] = places[i]
            free[places[i]] = False
            length = _follow(path, begin, length + 1, (links, row, width), free, sin, cos)
            if closed:  # the walk began amidst a line
                path[begin:length] = path[begin:length][::-1].copy()
                length = _follow(path, begin, length, (links, row, width), free, sin, cos)
            if length == begin + 1 and degree[i] > 0:
                path[length] = links[i].max()
                borrowed[length] = True
                length += 1
    return path[:length], first[:count], borrowed[:length]


@njit(cache=True)
def _find_links(edge, place, sides, links):
    """Write the pixels that an edge pixel is linked with to `links` int64 [8] of -1."""
    for k in range(4):
        here, there = place + sides[k], place + sides[(k + 1) % 4]
        corner = here + sides[(k + 1) % 4]
        if edge[here]:
            links[k] = here
        if edge[corner] and not edge[here] and not edge[there]:
            links[4 + k] = corner


@njit(cache=True)
def _follow(path, begin, length, graph, free, sin, cos):
    """Go on from the end of the line path[begin:length], taking what is free; returns the new length."""
    links, row, width = graph
    while True:
        place = path[length - 1]
        back = path[max(begin, length - 1 - TANGENT_REACH)]
        heading_x, heading_y = place % width - back % width, place // width - back // width
        side = heading_x * cos[back] + heading_y * sin[back]
        degree = (links[row[place]] >= 0).sum()
        best, following = -1.0, -1
        for other in links[row[place]]:
            if other < 0 or not free[other]:
                continue
            dx, dy = other % width - place % width, other // width - place // width
            straight = (heading_x * dx + heading_y * dy) / np.sqrt(dx * dx + dy * dy)
            if degree > 2 and (straight < 0 or side * (dx * cos[other] + dy * sin[other]) < 0):
                continue
            if following < 0 or straight > best:
                best, following = straight, other
        if following < 0:
            return length
        path[length] = following
        free[following] = False
        length += 1


@njit(cache=True)
def _split(along, first):
    """Where chains begin once they are split where `along` [M] changes its sign for good: int64 [C].

    A single pixel of another sign than its neighbours is no change, and parts have two pixels at least.
    """
    parts = np.empty(len(along), np.int64)
    count = 0
    for k in range(len(first)):
        end = first[k + 1] if k + 1 < len(first) else len(along)
        parts[count] = first[k]
        count += 1
        sign = 0.0
        for i in range(first[k], end):
            if along[i] * sign >= 0 or i == parts[count - 1] + 1:
                sign = sign if along[i] == 0 else np.sign(along[i])
            elif i + 1 < end and along[i + 1] * sign < 0:
                parts[count] = i
                count += 1
                sign = np.sign(along[i])
    return parts[:count]
