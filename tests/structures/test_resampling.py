"""Index arithmetic of resized maps and regions."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.resampling import nearest_index, region_grid, resize_nearest


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
