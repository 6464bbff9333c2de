"""Thinning of edge maps, against the definition applied to whole maps."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskrcnn_benchmark.evaluation.edges.thinning import thin, thin_levels


def guo_hall(mask):
    """Thinning as the paper states it: passes 1 and 2 over the whole map in turn until nothing changes."""
    mask = mask.copy()
    while True:
        before = mask.copy()
        for number in (1, 2):
            around = np.pad(mask, 1)
            north, south = around[:-2, 1:-1], around[2:, 1:-1]
            west, east = around[1:-1, :-2], around[1:-1, 2:]
            north_west, north_east = around[:-2, :-2], around[:-2, 2:]
            south_west, south_east = around[2:, :-2], around[2:, 2:]
            ring = [north, north_east, east, south_east, south, south_west, west, north_west]
            crossings = sum(
                (~ring[k] & (ring[k + 1] | ring[(k + 2) % 8])).astype(int) for k in range(0, 8, 2)
            )  # the number of 8-connected pieces around
            one = sum((ring[k - 1] | ring[k]).astype(int) for k in range(0, 8, 2))
            two = sum((ring[k] | ring[k + 1]).astype(int) for k in range(0, 8, 2))
            fewest = np.minimum(one, two)
            side = (north | north_east | ~south_east) & east
            if number == 2:
                side = (south | south_west | ~north_west) & west
            mask &= ~((crossings == 1) & (fewest >= 2) & (fewest <= 3) & ~side)
        if np.array_equal(mask, before):
            return mask


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=16)))
def test_any_map_is_thinned_as_defined(mask):
    assert np.array_equal(thin(mask), guo_hall(mask))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3))
def test_soft_maps_are_thinned_at_every_threshold(seed, blur):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((40, 50)), (0, 0), blur)
    levels = np.floor((noise - noise.min()) / np.ptp(noise) * 8).astype(int)
    pixels, remains = thin_levels(levels, 8)
    assert np.array_equal(pixels, np.flatnonzero(levels))
    for k in range(8):
        expected = guo_hall(levels > k)
        assert np.array_equal(expected.flat[pixels], remains[k])
        assert expected.sum() == remains[k].sum()


def test_thick_bar_thins_to_a_line_along_its_middle():
    mask = np.zeros((20, 40), bool)
    mask[8:13, 5:35] = True
    thinned = thin(mask)
    assert (thinned <= mask).all()
    assert thinned[10, 10:30].all()
    assert thinned[:, 10:30].sum() == 20


def test_lines_one_pixel_wide_stay_as_they_are_up_to_the_border():
    mask = np.zeros((20, 20), bool)
    mask[5, :] = True
    mask[np.arange(8, 20), np.arange(8, 20)] = True
    assert np.array_equal(thin(mask), mask)


@pytest.mark.parametrize("seed", range(5))
def test_thinning_keeps_the_number_of_pieces_and_holes(seed):
    blobs = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(64, 64)), (0, 0), 3) > 0.02
    thinned = thin(blobs)
    for before, after, connectivity in ((blobs, thinned, 8), (~blobs, ~thinned, 4)):
        pieces = [
            cv2.connectedComponents(
                np.pad(image, 1, constant_values=connectivity == 4).astype(np.uint8), connectivity=connectivity
            )[0]
            for image in (before, after)
        ]
        assert pieces[0] == pieces[1]


def test_empty_map_stays_empty():
    assert not thin(np.zeros((10, 10), bool)).any()
