"""Index arithmetic of resized maps and regions."""

import pickle

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.mask_windows import ObjectWindows, values_at
from maskrcnn_benchmark.structures.resampling import (
    NearestMaps,
    NearestWindows,
    SparseMaps,
    nearest_index,
    region_grid,
    resize_nearest,
)


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_pixel_comes_from_the_one_under_its_centre(source, target):
    centres = [(2 * k + 1) * source // (2 * target) for k in range(target)]
    assert nearest_index(source, target).tolist() == centres
    assert all(0 <= centre < source for centre in centres)


def test_nearest_resizing_is_that_of_torch():
    maps = torch.randint(0, 9, (2, 37, 50), dtype=torch.uint8)
    expected = F.interpolate(maps[None], (80, 23), mode="nearest-exact")[0]
    assert torch.equal(resize_nearest(maps, (23, 80)), expected)


def test_regions_are_cut_into_equal_cells():
    boxes = torch.tensor([[2.0, 1, 5, 3], [-5, -5, 50, 50], [4, 4, 4, 4]])
    x, y = region_grid(boxes, 2, (8, 6), inclusive=True)
    assert x.tolist() == [[3.0, 5.0], [2.0, 6.0], [4.25, 4.75]]
    assert y.tolist() == [[1.75, 3.25], [1.5, 4.5], [4.25, 4.75]]
    x, _ = region_grid(boxes, 2, (8, 6), inclusive=False)
    assert x.tolist() == [[2.75, 4.25], [2.0, 6.0], [4.25, 4.75]]


def apply_to_array(maps, steps, beyond=0):
    """The eager reference, in NumPy: what each step does to an array [..., H, W]."""
    for name, argument in steps:
        height, width = maps.shape[-2:]
        if name == "resize":
            columns, rows = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(argument, (width, height)))
            maps = maps[..., rows[:, None], columns]
        elif name == "transpose":
            maps = maps[..., ::-1] if argument == 0 else maps[..., ::-1, :]
        elif name == "crop":
            maps = maps[..., argument[1] : argument[3], argument[0] : argument[2]]
        else:
            wider = np.full((*maps.shape[:-2], argument[1], argument[0]), beyond, maps.dtype)
            wider[..., :height, :width] = maps
            maps = wider
    return maps


@st.composite
def steps_for(draw, size):
    """Up to five transforms in any order, each valid for the size that the one before leaves."""
    steps = []
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.sampled_from(("resize", "transpose", "crop", "pad")))
        if name == "transpose":
            steps.append((name, draw(st.integers(0, 1))))
            continue
        if name == "crop":
            x1, y1 = (draw(st.integers(0, side - 1)) for side in size)
            x2, y2 = (draw(st.integers(first + 1, side)) for first, side in zip((x1, y1), size))
            steps.append((name, (x1, y1, x2, y2)))
            size = x2 - x1, y2 - y1
            continue
        size = tuple(draw(st.integers(1 if name == "resize" else side, 12 + side)) for side in size)
        steps.append((name, size))
    return steps


@given(st.data())
def test_maps_that_wait_are_what_they_would_be_at_once(data):
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    source = np.arange(2 * height * width, dtype=np.int64).reshape(2, height, width)
    steps = data.draw(steps_for((width, height)))
    maps = NearestMaps(torch.from_numpy(source))
    for name, argument in steps:
        maps = maps.pad(argument, 9) if name == "pad" else getattr(maps, name)(argument)
    expected = apply_to_array(source, steps, beyond=9)
    assert maps.size == (expected.shape[2], expected.shape[1])
    assert np.array_equal(maps.tensor, expected)


@given(st.data())
def test_windows_that_wait_are_what_whole_maps_would_be_at_once(data):
    """Two objects, one of which fills a window in the middle of the image, the other the lower right corner."""
    source = np.zeros((2, 6, 7), np.uint8)
    source[0, 2:5, 1:4] = np.arange(1, 10).reshape(3, 3)
    source[1, 4:, 5:] = [[11, 12], [13, 14]]
    windows = [(0, 1, 5, 5), (4, 3, 3, 3)]
    pixels = np.concatenate([source[k, y : y + h, x : x + w].reshape(-1) for k, (x, y, w, h) in enumerate(windows)])
    maps = NearestWindows(ObjectWindows(torch.from_numpy(pixels), windows, (7, 6)))
    steps = data.draw(steps_for((7, 6)))
    for name, argument in steps:
        maps = getattr(maps, name)(argument)
    expected = apply_to_array(source, steps)
    height, width = expected.shape[1:]
    assert maps.size == (width, height)
    assert np.array_equal(maps.tensor, expected)
    which, y, x = torch.tensor([1, 0, 1]), torch.arange(height).expand(3, -1), torch.arange(width).expand(3, -1)
    values = values_at([maps.windows], [which], *maps.in_source(y, x))
    assert np.array_equal(values, expected[[1, 0, 1]])
    assert np.array_equal(maps.map(lambda values: 2 * values).tensor, 2 * expected)


@given(st.data())
def test_sparse_maps_that_wait_are_what_whole_maps_would_be_at_once(data):
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    cells = data.draw(st.sets(st.integers(0, 2 * width * height - 1)))
    places = np.array(sorted(cells, reverse=True), np.int64)
    values = np.arange(1, len(places) + 1, dtype=np.float32)
    source = np.zeros(2 * height * width, np.float32)
    source[places] = values
    source = source.reshape(2, height, width)
    steps = [step for step in data.draw(steps_for((width, height))) if step[0] != "pad"]
    if any(name == "resize" for name, _ in steps[1:]):
        steps = [step for step in steps if step[0] != "resize"]
    maps = SparseMaps(torch.from_numpy(places).int(), 2, (width, height))
    for name, argument in steps:
        if name == "crop" and (argument[2] > maps.size[0] or argument[3] > maps.size[1]):
            continue
        source, maps = apply_to_array(source, [(name, argument)]), getattr(maps, name)(argument)
    assert np.array_equal(maps.paint(torch.from_numpy(values)), source)
    assert np.array_equal(maps.ones(), source > 0)
    which, where = maps.settled()
    assert where.shape[1] == (source > 0).sum()
    assert np.array_equal(values[which.numpy()], source[tuple(where.numpy())])


def test_looking_at_maps_changes_neither_their_source_nor_their_relatives():
    source = torch.tensor([[1, 2], [3, 4]])
    maps = NearestMaps(source)
    wide = maps.resize((4, 2))
    mirrored = wide.transpose(0)
    assert wide.tensor.tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert mirrored.tensor.tolist() == [[2, 2, 1, 1], [4, 4, 3, 3]]
    assert maps.tensor.tolist() == source.tolist() == [[1, 2], [3, 4]]


def test_a_resized_map_travels_in_the_size_that_it_had():
    before = NearestMaps(torch.zeros(6, 375, 500, dtype=torch.uint8))
    after = before.resize((1066, 800)).transpose(0)
    assert len(pickle.dumps(after)) < 1.01 * len(pickle.dumps(before))
