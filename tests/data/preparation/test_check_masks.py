"""What runs say of masks, against bitmaps."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.preparation.check_masks import mask_code, mask_size, pixels_in_boxes, pixels_outside
from maskrcnn_benchmark.structures.run_length import RunLengths


def random_masks(seed, number, size):
    generator = np.random.default_rng(seed)
    masks = generator.random((number, size[1], size[0])) < generator.random((number, 1, 1)) ** 2
    masks[generator.random(number) < 0.1] = False
    return masks


def runs_of(masks, size):
    codes = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks]
    runs, damages = RunLengths.of_readable(codes, size)
    assert damages == {}
    return runs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12), st.integers(1, 9))
def test_pixels_in_boxes_are_those_of_the_bitmap(seed, number, width, height):
    masks = random_masks(seed, number, (width, height))
    generator = np.random.default_rng(seed + 1)
    boxes = generator.uniform(-4, 12, (number, 4)).round(1)
    boxes[::2] = boxes[::2].round()
    boxes[:, 2:] = abs(boxes[:, 2:])
    expected = []
    for mask, (x, y, w, h) in zip(masks, boxes):
        rows, columns = np.nonzero(mask)
        touched = (columns + 1 > x) & (columns < x + w) & (rows + 1 > y) & (rows < y + h)
        expected.append(touched.sum())
    assert pixels_in_boxes(runs_of(masks, (width, height)), boxes).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.integers(1, 9))
def test_pixels_outside_are_those_of_the_bitmap(seed, number, width, height):
    masks = random_masks(seed, number, (width, height))
    generator = np.random.default_rng(seed + 1)
    inner = generator.permutation(number)[: generator.integers(1, number + 1)]
    outer = generator.integers(0, number, len(inner))
    expected = (masks[inner] & ~masks[outer]).sum((1, 2))
    assert pixels_outside(runs_of(masks, (width, height)), inner, outer).tolist() == expected.tolist()


def test_a_mask_claims_a_size_and_gives_a_code():
    code = coco_mask.encode(np.asfortranarray(np.array([[0, 1, 1], [0, 0, 1]], np.uint8)))
    text = {"size": [2.0, 3], "counts": code["counts"].decode()}
    assert mask_size(text) == (3, 2) and mask_code(text) == code["counts"]
    assert mask_code({"size": [2, 3], "counts": [2, 1, 1, 2]}) == code["counts"]
    assert mask_size({"size": [10**6, 10**6], "counts": "0"}) is None
    assert mask_code({"size": [2, 3], "counts": "1" * 1000}) is None
    assert mask_code({"size": [2, 3], "counts": [10**400]}) is None
