"""Run-length codes: same pixels as pycocotools, errors where those are arbitrary."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.mask_windows import ObjectWindows
from maskrcnn_benchmark.structures.run_length import RunLengths, from_polygons, row_major
from maskrcnn_benchmark.utils.errors import UserError


def random_masks(number, size, seed=0):
    generator = np.random.default_rng(seed)
    masks = generator.random((number, size[1], size[0])) < generator.random((number, 1, 1))
    masks[0], masks[1] = False, True
    return masks.astype(np.uint8)


def codes_of(masks):
    return [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]


def name(i):
    return f"mask {i}"


def test_masks_areas_and_boxes_agree_with_pycocotools():
    masks = random_masks(12, (37, 23))
    codes = codes_of(masks)
    runs = RunLengths(codes, (37, 23), name)
    assert np.array_equal(runs.masks(range(12)), masks)
    assert runs.areas.tolist() == coco_mask.area(codes).tolist()
    boxes = coco_mask.toBbox(codes)
    boxes[:, 2:] += boxes[:, :2] - 1
    assert runs.bounding_boxes()[1:].tolist() == boxes[1:].tolist()
    assert runs.bounding_boxes()[0].tolist() == [-1, -1, -1, -1]


def test_windows_hold_what_is_painted_of_each_object():
    size = (37, 23)
    masks = random_masks(9, size)
    masks[3:6, :, 20:] = 0  # objects that leave room around them
    masks[3:6, :5] = masks[3:6, 18:] = 0
    runs = RunLengths(codes_of(masks), size, name)
    order, owners, values = [8, 1, 5, 4, 3, 0], [0, 2, 1, 1, 1, 3], [9, 8, 7, 6, 5, 4]
    windows = ObjectWindows(*_as_windows(runs.windows(order, owners, values, 5)), size)
    canvas = np.zeros((5, *size), np.uint8)
    runs.paint(canvas, order, owners, values)
    assert np.array_equal(windows.frames(), row_major(canvas))
    assert windows.windows[2] == (0, 0, *size) and windows.windows[3] == windows.windows[4] == (0, 0, 1, 1)
    assert windows.windows[1] == (0, 4, 21, 15)
    assert RunLengths([], size, name).windows([], [], [], 0)[1] == []


def _as_windows(found):
    pixels, windows = found
    return torch.from_numpy(pixels), windows


def test_pixels_are_the_places_of_the_masks():
    masks = random_masks(5, (11, 7))
    places, which = RunLengths(codes_of(masks), (11, 7), name).pixels()
    drawn = np.zeros((5, 77), np.uint8)
    drawn[which, places] += 1
    assert np.array_equal(drawn.reshape(masks.shape), masks) and len(places) == masks.sum()


def test_large_masks_with_long_differences_decode():
    mask = np.zeros((900, 1100), np.uint8)
    mask[3:880:7, 5:1000] = 1
    mask[0, 1099] = 1
    assert np.array_equal(RunLengths(codes_of([mask]), (1100, 900), name).masks([0])[0], mask)


def test_text_bytes_and_uncompressed_counts_mean_the_same():
    compressed = coco_mask.encode(np.asfortranarray(np.array([[0, 1, 1], [0, 0, 1]], np.uint8)))
    plain = {"size": [2, 3], "counts": [2, 1, 1, 2]}
    text = {"size": [2, 3], "counts": compressed["counts"].decode()}
    masks = RunLengths([compressed, plain, text], (3, 2), name).masks([0, 1, 2])
    assert masks.tolist() == [[[0, 1, 1], [0, 0, 1]]] * 3


def test_no_masks_at_all():
    runs = RunLengths([], (4, 3), name)
    assert len(runs) == 0 and runs.masks([]).shape == (0, 3, 4) and runs.bounding_boxes().shape == (0, 4)


def test_the_later_of_the_order_wins_within_a_layer():
    masks = np.zeros((3, 2, 4), np.uint8)
    masks[0, :, :3], masks[1, :, 1:3], masks[2, 0, :] = 1, 1, 1
    runs = RunLengths(codes_of(masks), (4, 2), name)
    canvas = np.full((2, 4, 2), 255, np.uint8)
    runs.paint(canvas, [1, 0, 2], [0, 0, 1], [7, 5, 9])
    assert row_major(canvas)[0].tolist() == [[5, 5, 5, 255]] * 2
    assert row_major(canvas)[1].tolist() == [[9] * 4, [255] * 4]
    runs.paint(canvas, [1], [0], [7])
    assert row_major(canvas)[0].tolist() == [[5, 7, 7, 255]] * 2


@pytest.mark.parametrize(
    "damage", [lambda s: s[: len(s) // 2], lambda s: s + "11", lambda s: "", lambda s: s[:-1] + "\x7f"]
)
def test_damaged_code_is_an_error_that_names_the_mask(damage):
    codes = [{"size": [23, 37], "counts": c["counts"].decode()} for c in codes_of(random_masks(4, (37, 23)))]
    codes[2]["counts"] = damage(codes[2]["counts"])
    with pytest.raises(UserError, match=r"mask 2.*damaged or cut off"):
        RunLengths(codes, (37, 23), name)


def test_mask_of_another_size_or_form_is_an_error():
    codes = codes_of(random_masks(2, (37, 23)))
    with pytest.raises(UserError, match=r"mask 0: its mask is \[37, 23\] pixels \(w, h\), but its image is \[36, 23\]"):
        RunLengths(codes, (36, 23), name)
    with pytest.raises(UserError, match="mask 1: a mask must be"):
        RunLengths([codes[0], [1, 2, 3]], (37, 23), name)


def test_polygons_fill_as_pycocotools_does():
    code = from_polygons([[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0]], (8, 6))
    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 1:5] = 1
    assert np.array_equal(RunLengths([code], (8, 6), name).masks([0])[0], expected)


def test_damaged_codes_among_others_are_masks_without_pixels_and_named():
    masks = random_masks(7, (37, 23))
    masks[2] |= masks[3]
    codes = [code["counts"] for code in codes_of(masks)]
    codes[0], codes[3], codes[5], codes[6] = b"", codes[3][:-4], codes[5] + b"\x7f", b"o" * 12 + b"0" + codes[6]
    codes.append(codes[4] + b"o")  # the last number goes on
    codes.append(codes[4])
    runs, damages = RunLengths.of_readable(codes, (37, 23))
    assert sorted(damages) == [0, 3, 5, 6, 7]
    assert damages[6] == "holds a number beyond 60 bits; it is damaged"
    assert all("damaged" in words for words in damages.values())
    masks = np.concatenate([masks, masks[[4, 4]]])
    masks[list(damages)] = 0
    assert np.array_equal(runs.masks(range(9)), masks)
    assert runs.areas.tolist() == masks.sum((1, 2)).tolist()


@given(arrays("uint8", array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=40)))
def test_row_major_exchanges_columns_and_rows(canvas):
    turned = row_major(canvas)
    assert np.array_equal(turned, canvas.transpose(0, 2, 1)) and turned.flags.c_contiguous
