import numpy as np
import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers import mask_paste
from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_parts, paste_soft_masks


def random_boxes(count, width, height, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 1.2 - 10
    extent = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.7
    return torch.cat((corners, corners + extent), dim=1)


def paste_one(mask, box, width, height, padding=1):
    """The definition, for one object: pad, grow, cut to integers, resize, copy the visible window."""
    side = mask.shape[-1]
    scale = (side + 2 * padding) / side
    x1, y1, x2, y2 = box.tolist()
    cx, cy, hw, hh = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2 * scale, (y2 - y1) / 2 * scale
    x1, y1, x2, y2 = (int(v) for v in (cx - hw, cy - hh, cx + hw, cy + hh))
    size = (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
    resized = F.interpolate(F.pad(mask[None, None], (padding,) * 4), size=size, mode="bilinear")[0, 0] > 0.5
    out = torch.zeros(height, width, dtype=torch.bool)
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, width), min(y2 + 1, height)
    if right > left and bottom > top:
        out[top:bottom, left:right] = resized[top - y1 : bottom - y1, left - x1 : right - x1]
    return out


@pytest.mark.parametrize("chunk_cells", [1 << 24, 1 << 14])
def test_pasted_masks_equal_the_definition_for_each_object(monkeypatch, chunk_cells):
    monkeypatch.setattr(mask_paste, "CHUNK_CELLS", chunk_cells)
    boxes = random_boxes(40, 120, 90, seed=0)
    masks = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    pasted = paste_masks(masks, boxes, (120, 90))
    expected = torch.stack([paste_one(m[0], b, 120, 90) for m, b in zip(masks, boxes)])
    assert pasted.shape == (40, 90, 120) and pasted.dtype == torch.bool
    assert expected.float().mean() > 0.01
    assert (pasted != expected).float().mean() < 1e-4


def test_mixed_precision_changes_no_pixel():
    boxes = random_boxes(20, 120, 90, seed=2)
    masks = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = paste_masks(masks, boxes, (120, 90))
    assert torch.equal(mixed, paste_masks(masks, boxes, (120, 90)))


def test_a_full_mask_fills_its_box():
    pasted = paste_masks(torch.ones(1, 1, 14, 14), torch.tensor([[10.0, 20.0, 29.0, 49.0]]), (64, 64))[0]
    rows, columns = torch.nonzero(pasted, as_tuple=True)
    # The map is at one half on the border between its outermost cell and the padding: a box edge of inclusive pixels
    assert abs(rows.min() - 20) <= 1 and abs(rows.max() - 49) <= 1
    assert abs(columns.min() - 10) <= 1 and abs(columns.max() - 29) <= 1


def test_pasting_nothing_gives_an_empty_stack():
    assert paste_masks(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4), (30, 20)).shape == (0, 20, 30)
    assert paste_parts(torch.zeros(0, 7, 8, 8), torch.zeros(0, 4), torch.zeros(0), (30, 20)).sum() == 0


def test_half_precision_and_boxes_without_a_pixel_in_the_image_are_fine():
    boxes = torch.tensor([[-50.0, -50.0, -20.0, -20.0], [200.0, 5.0, 240.0, 9.0], [5.0, 5.0, 25.0, 3.0]])
    pasted = paste_masks(torch.ones(3, 1, 28, 28).half(), boxes, (100, 80))
    assert not pasted.any()


def test_soft_masks_are_probabilities_in_bytes():
    soft = paste_soft_masks(torch.full((1, 1, 28, 28), 0.5), torch.tensor([[10.0, 10.0, 49.0, 49.0]]), (60, 60))
    assert soft.dtype == torch.uint8
    assert soft[0, 30, 30] == 127
    assert soft[0, 2, 2] == 0


def test_a_negative_threshold_is_refused():
    with pytest.raises(ValueError, match="threshold"):
        paste_masks(torch.ones(1, 1, 28, 28), torch.zeros(1, 4), (10, 10), threshold=-1)


def test_as_many_maps_as_boxes_are_needed():
    with pytest.raises(ValueError, match="3 maps for 2 boxes"):
        paste_masks(torch.ones(3, 1, 28, 28), torch.zeros(2, 4), (10, 10))


def part_map(label, labels=3, side=8):
    return F.one_hot(torch.full((side, side), label), labels).permute(2, 0, 1).float()


@pytest.mark.parametrize("chunk_cells", [1 << 24, 1])
def test_the_part_of_the_higher_score_lies_on_top(monkeypatch, chunk_cells):
    monkeypatch.setattr(mask_paste, "CHUNK_CELLS", chunk_cells)
    parts = torch.stack([part_map(1), part_map(2), part_map(0)])
    boxes = torch.tensor([[0.0, 0.0, 19.0, 19.0], [10.0, 10.0, 29.0, 29.0], [0.0, 0.0, 39.0, 39.0]])
    painted = paste_parts(parts, boxes, torch.tensor([0.4, 0.9, 1.0]), (40, 40)).numpy()
    expected = np.zeros((40, 40), np.uint8)
    expected[0:20, 0:20] = 1
    expected[10:30, 10:30] = 2
    np.testing.assert_array_equal(painted, expected)


def test_a_detection_without_parts_hides_nothing():
    parts = torch.stack([part_map(1), part_map(0)])
    boxes = torch.tensor([[5.0, 5.0, 14.0, 14.0]] * 2)
    assert (paste_parts(parts, boxes, torch.tensor([0.1, 0.9]), (20, 20)) == 1).sum() == 100
