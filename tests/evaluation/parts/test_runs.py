"""Run lengths of pasted parts, against the full-size maps of each detection."""

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from maskrcnn_benchmark.evaluation.parts.runs import paste_part_runs
from maskrcnn_benchmark.layers.mask_paste import paste_parts
from maskrcnn_benchmark.structures.panoptic_map import PanopticMap
from maskrcnn_benchmark.structures.segment_limits import SegmentLimits

SIZE = (60, 45)


def random_parts(count, labels, seed):
    """Blurred noise, so that parts are patches; boxes some of which leave the image."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.nn.functional.interpolate(torch.rand(count, labels, 5, 5, generator=generator), (14, 14))
    corners = torch.rand(count, 2, generator=generator) * torch.tensor([60.0, 45]) - 10
    extent = torch.rand(count, 2, generator=generator) * torch.tensor([50.0, 40])
    return (4 * noise).softmax(1), torch.cat([corners, corners + extent], 1)


def each_alone(parts, boxes):
    """Label map of each detection, as if it were the only one."""
    return [paste_parts(part[None], box[None], torch.ones(1), SIZE).numpy() for part, box in zip(parts, boxes)]


def test_each_detections_parts_are_the_run_lengths_of_its_own_map():
    parts, boxes = random_parts(12, 4, seed=0)
    codes = paste_part_runs(parts, boxes, SIZE).encode()
    expected = [
        (box, label, rle.encode(np.asfortranarray(labels == label, dtype=np.uint8)))
        for box, labels in enumerate(each_alone(parts, boxes))
        for label in range(1, 4)
        if (labels == label).any()
    ]
    assert len(expected) > 20
    assert codes == expected


def test_a_part_that_fills_the_image_is_one_run():
    parts = torch.zeros(1, 2, 7, 7)
    parts[:, 1] = 1
    codes = paste_part_runs(parts, torch.tensor([[0.0, 0.0, 59.0, 44.0]]), SIZE).encode()
    assert codes == [(0, 1, rle.encode(np.ones((45, 60), np.uint8, order="F")))]


def test_the_map_of_all_detections_has_the_later_in_order_on_top():
    parts, boxes = random_parts(8, 4, seed=1)
    scores = torch.rand(8, generator=torch.Generator().manual_seed(2))
    painted = paste_part_runs(parts, boxes, SIZE).label_map(torch.argsort(scores).numpy())
    assert np.array_equal(painted, paste_parts(parts, boxes, scores, SIZE).numpy())
    some = paste_part_runs(parts, boxes, SIZE).label_map(np.array([5, 2]))
    assert np.array_equal(some, paste_parts(parts[[5, 2]], boxes[[5, 2]], torch.tensor([0.1, 0.9]), SIZE).numpy())


def test_background_and_boxes_outside_of_the_image_give_nothing():
    parts = torch.zeros(3, 3, 7, 7)
    parts[0, 0] = parts[1:, 2] = 1
    boxes = torch.tensor([[5.0, 5, 20, 20], [-30, -30, -10, -10], [100, 5, 120, 20]])
    runs = paste_part_runs(parts, boxes, SIZE)
    assert runs.encode() == [] and not runs.label_map(np.arange(3)).any()
    assert paste_part_runs(parts[:0], boxes[:0], SIZE).encode() == []


def test_as_many_maps_as_boxes_are_needed():
    with pytest.raises(ValueError, match="3 part maps for 2 boxes"):
        paste_part_runs(torch.zeros(3, 2, 7, 7), torch.zeros(2, 4), SIZE)


def test_the_pixels_of_runs_are_those_of_their_maps():
    parts, boxes = random_parts(6, 4, seed=3)
    found = np.zeros((6, 60, 45), np.uint8)
    owners, labels, pixels = paste_part_runs(parts, boxes, SIZE).pixels()
    found.reshape(6, -1)[owners, pixels] = labels
    assert (found.transpose(0, 2, 1) == each_alone(parts, boxes)).all()


def test_within_limits_each_detection_ends_with_its_segment():
    parts, boxes = random_parts(6, 4, seed=4)
    ids = np.random.default_rng(0).integers(0, 4, (9, 12)).repeat(5, 0).repeat(5, 1).astype(np.int32)
    segments = PanopticMap.of_rows(ids, [(0, row, 1.0, False) for row in (4, 0, 2)])
    limits = SegmentLimits.of(segments, torch.tensor([True, True, True, True, True, False]))
    runs = paste_part_runs(parts, boxes, SIZE)
    within = runs.within(limits)
    expected = []
    for k, labels in enumerate(each_alone(parts, boxes)):
        number = {4: 1, 0: 2, 2: 3}.get(k, -1)
        expected.append(labels if k == 5 else np.where(ids == number, labels, 0))
    assert [within.label_map(np.array([k])).tolist() for k in range(6)] == [labels.tolist() for labels in expected]
    assert [(box, label, rle.decode(code).sum()) for box, label, code in within.encode()] == [
        (box, label, (labels == label).sum())
        for box, labels in enumerate(expected)
        for label in range(1, 4)
        if (labels == label).any()
    ]
    none = runs.within(limits[torch.full((6,), 1)])
    assert len(none.boxes) == 0 and none.encode() == []
