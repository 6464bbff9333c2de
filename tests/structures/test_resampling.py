"""Index arithmetic of resized maps and regions."""

import pickle

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.resampling import NearestMaps, nearest_index, region_grid, resize_nearest


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


def apply_to_array(maps, steps):
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
            wider = np.full((*maps.shape[:-2], argument[1], argument[0]), 9, maps.dtype)
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
    expected = apply_to_array(source, steps)
    assert maps.size == (expected.shape[2], expected.shape[1])
    y = torch.arange(expected.shape[1])[:, None]
    assert np.array_equal(maps.at(1, y, torch.arange(expected.shape[2])), expected[1])
    assert np.array_equal(maps.map(lambda values: -values).tensor, -expected)
    assert np.array_equal(maps.tensor, expected)
    assert np.array_equal(maps.at(0, y, torch.arange(expected.shape[2])), expected[0])


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
