"""Ridges of soft edge maps and their thinning."""

import cv2
import numpy as np
import pytest

from maskrcnn_benchmark.evaluation.edge_maps import suppress_non_maxima, thin


def test_blurred_line_is_reduced_to_its_crest():
    edges = np.zeros((40, 60))
    edges[:, 30] = 1.0
    edges = cv2.GaussianBlur(edges, (0, 0), 2.0)
    kept = suppress_non_maxima(edges)
    assert set(np.nonzero(kept)[1]) == {30}
    assert np.allclose(kept[10:30, 30], edges[10:30, 30])


def test_blurred_oblique_line_keeps_a_thin_unbroken_ridge():
    edges = np.zeros((60, 60))
    index = np.arange(5, 55)
    edges[index, (index * 0.5).astype(int) + 15] = 1.0
    kept = suppress_non_maxima(cv2.GaussianBlur(edges, (0, 0), 1.5)) > 0.2
    per_row = kept[10:50].sum(axis=1)
    assert per_row.min() >= 1
    assert per_row.max() <= 2


def test_image_border_fades_to_zero():
    kept = suppress_non_maxima(np.ones((20, 30)))
    assert np.allclose(kept[10, :6], [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert np.allclose(kept[10, -6:], [1, 0.8, 0.6, 0.4, 0.2, 0])
    assert np.allclose(kept[1, 15], 0.2)


def test_map_of_one_row_is_refused():
    with pytest.raises(ValueError, match="1 x 30"):
        suppress_non_maxima(np.ones((1, 30)))


def test_thick_bar_thins_to_a_line_along_its_middle():
    mask = np.zeros((20, 40), bool)
    mask[8:13, 5:35] = True
    thinned = thin(mask)
    assert (thinned <= mask).all()
    assert thinned[10, 10:30].all()
    assert thinned[:, 10:30].sum() == 20


def test_lines_one_pixel_wide_stay_as_they_are():
    mask = np.zeros((20, 20), bool)
    mask[5, 2:18] = True
    mask[np.arange(8, 16), np.arange(8, 16)] = True
    assert np.array_equal(thin(mask), mask)


def test_thinning_keeps_the_number_of_pieces_and_holes():
    rng = np.random.default_rng(0)
    for _ in range(10):
        blobs = cv2.GaussianBlur(rng.normal(size=(64, 64)), (0, 0), 3) > 0.02
        thinned = thin(blobs)
        for image, after, connectivity in ((blobs, thinned, 8), (~blobs, ~thinned, 4)):
            assert (
                cv2.connectedComponents(
                    np.pad(image, 1, constant_values=image is not blobs).astype(np.uint8), connectivity=connectivity
                )[0]
                == cv2.connectedComponents(
                    np.pad(after, 1, constant_values=image is not blobs).astype(np.uint8), connectivity=connectivity
                )[0]
            )


def test_empty_map_stays_empty():
    assert not thin(np.zeros((10, 10), bool)).any()
    assert not suppress_non_maxima(np.zeros((10, 10))).any()
