"""Run-length encodings: COCO's own coder as the reference, and damage that must not pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.rle import decode_rle, is_rle


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1)))
def test_what_coco_encodes_is_decoded(bitmap):
    code = coco_mask.encode(np.asfortranarray(bitmap))
    assert (decode_rle(code) == bitmap).all()
    assert (decode_rle({"size": code["size"], "counts": code["counts"].decode()}) == bitmap).all()


def test_long_runs_are_decoded():
    bitmap = np.zeros((700, 900), dtype=np.uint8)
    bitmap[300:600, 100:801] = 1
    assert (decode_rle(coco_mask.encode(np.asfortranarray(bitmap))) == bitmap).all()


def test_runs_go_down_the_columns():
    assert decode_rle({"size": [2, 3], "counts": [1, 2, 3]}).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert decode_rle({"size": [2, 2], "counts": [0, 4]}).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 30], [-1, 7], "", "52203", "5P", "5\x7f", b"~~~"])
def test_damaged_runs_are_refused(counts):
    with pytest.raises(ValueError, match="RLE"):
        decode_rle({"size": [2, 3], "counts": counts})


def test_text_cut_off_is_refused():
    bitmap = np.tri(30, dtype=np.uint8)
    text = coco_mask.encode(np.asfortranarray(bitmap))["counts"].decode()
    for length in range(len(text)):
        with pytest.raises(ValueError, match="RLE"):
            decode_rle({"size": [30, 30], "counts": text[:length]})


def test_an_rle_is_known_by_its_keys():
    assert is_rle({"size": [1, 1], "counts": [1]}) and not is_rle({"size": [1, 1]}) and not is_rle([[1, 2]])
