"""Thinning of binary maps to lines one pixel wide, once or at every threshold of a soft map."""

import numpy as np

from maskrcnn_benchmark.utils.compiled import compiled


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin a binary map to lines one pixel wide that are connected as the map was (Guo and Hall 1989, two passes).

    Args:
        mask: bool [H, W].

    Returns:
        bool [H, W], a subset of the mask.
    """
    pixels, remains = thin_levels(np.asarray(mask, dtype=bool).astype(np.uint8), 1)
    thinned = np.zeros(mask.shape, dtype=bool)
    thinned.flat[pixels[remains[0]]] = True
    return thinned


def thin_levels(levels: np.ndarray, num_thresholds: int) -> tuple[np.ndarray, np.ndarray]:
    """Thin what reaches each threshold of a soft map, as `thin` does.

    Args:
        levels: integers [H, W] in 0..K, how many of the ascending thresholds each pixel reaches.
        num_thresholds: K.

    Returns:
        (pixels, remains): int64 [N], flat indices of the pixels that reach any threshold, and bool [K, N], whether
        each is part of the thinned map at each threshold.
    """
    width = levels.shape[1] + 2
    pixels = np.flatnonzero(levels)
    level = np.asarray(levels).reshape(-1)[pixels].astype(np.int64)
    # In a frame of zeros, so that every pixel has eight neighbours
    places = pixels + 2 * (pixels // levels.shape[1]) + width + 1
    remains = np.zeros((num_thresholds, len(pixels)), dtype=bool)
    _thin_levels(places, level, width, (levels.shape[0] + 2) * width, _DELETABLE, remains)
    return pixels, remains


def _deletion_tables():
    """For both passes, whether a pixel with this neighbourhood (0..255) may go: bool [2, 256].

    Bits are the neighbours clockwise: north, north-east, east, ...
    """
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    north, north_east, east, south_east, south, south_west, west, north_west = bits.astype(bool).T
    components = (
        (~north & (north_east | east)).astype(int)
        + (~east & (south_east | south))
        + (~south & (south_west | west))
        + (~west & (north_west | north))
    )
    pairs_one = (north_west | north).astype(int) + (north_east | east) + (south_east | south) + (south_west | west)
    pairs_two = (north | north_east).astype(int) + (east | south_east) + (south | south_west) + (west | north_west)
    thickness = np.minimum(pairs_one, pairs_two)
    simple = (components == 1) & (thickness >= 2) & (thickness <= 3)
    first = simple & ~((north | north_east | ~south_east) & east)
    second = simple & ~((south | south_west | ~north_west) & west)
    return np.stack([first, second])


_DELETABLE = _deletion_tables()


@compiled
def _thin_levels(places, level, width, size, deletable, remains):
    """Fill `remains` bool [K, N] for pixels at `places` int64 [N] of a framed map of `size` pixels."""
    image = np.zeros(size, np.uint8)
    to_check = np.empty((2, len(places)), np.int64)
    # The sweep for which a place is listed already, per pass; sweeps are numbered through all thresholds
    listed = np.full((2, size), -1, np.int64)
    sweep = 0
    before = -1
    for k in range(len(remains) - 1, -1, -1):
        number = 0
        for i in range(len(places)):
            if level[i] > k:
                image[places[i]] = 1
                for nth in range(2):
                    to_check[nth, number] = places[i]
                    listed[nth, places[i]] = sweep + 1 + nth
                number += 1
        if number == before:
            remains[k] = remains[k + 1]
        else:
            sweep = _thin(image, to_check, number, listed, sweep, width, deletable)
            for i in range(len(places)):
                remains[k, i] = image[places[i]] == 1
        before = number
        for i in range(len(places)):
            image[places[i]] = 0


@compiled
def _thin(image, to_check, number, listed, sweep, width, deletable):
    """Thin a framed map in place; returns the number of the last sweep.

    A pass visits only pixels whose neighbourhood changed since it last ran: `to_check` [2, N] holds them for each of
    the two passes, at first all `number` pixels.
    """
    around = (-width, 1 - width, 1, width + 1, width, width - 1, -1, -width - 1)
    numbers = np.array([number, number])
    gone = np.empty(number, np.int64)
    while numbers.any():
        for k in range(2):
            sweep += 1
            deleted = 0
            for i in range(numbers[k]):
                place = to_check[k, i]
                code = 0
                for bit in range(8):
                    code |= image[place + around[bit]] << bit
                if deletable[k, code] and image[place]:
                    gone[deleted] = place
                    deleted += 1
            numbers[k] = 0
            for i in range(deleted):
                image[gone[i]] = 0
            for i in range(deleted):
                for offset in around:
                    place = gone[i] + offset
                    for nth in range(2):
                        # This pass runs again in the sweep after the next, the other one in the next
                        due = sweep + 2 if nth == k else sweep + 1
                        if image[place] and listed[nth, place] != due:
                            listed[nth, place] = due
                            to_check[nth, numbers[nth]] = place
                            numbers[nth] += 1
    return sweep
