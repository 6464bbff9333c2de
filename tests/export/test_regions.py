"""The pieces of the tensor form beside what they stand for."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.export.regions import NOTHING, Detections, TensorPooler, best, best_detections, clip
from maskrcnn_benchmark.export.suppression import apart_nms, onnx_nms
from maskrcnn_benchmark.layers import grouped_nms
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.inference import heatmaps_to_keypoints
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.traceable import keypoints_of_heatmaps
from maskrcnn_benchmark.structures.bounding_box import BoxList


def random_boxes(count, seed, side=100):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * side * 0.7
    return torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * side * 0.3), dim=1)


def test_best_fills_up_where_there_are_too_few():
    values, index = best(torch.tensor([0.25, 0.75]), 4)
    assert values.tolist() == [0.75, 0.25, NOTHING, NOTHING] and index.tolist() == [1, 0, 0, 0]


def test_best_of_none_is_nothing():
    values, index = best(torch.zeros(0), 2)
    assert values.tolist() == [NOTHING] * 2 and index.tolist() == [0, 0]


def test_detections_that_tie_with_the_last_stay():
    found = Detections(torch.zeros(4, 4), torch.tensor([0.3, 0.9, 0.5, 0.5]), torch.arange(4))
    assert best_detections(found, 2).labels.tolist() == [1, 2, 3]
    assert best_detections(found, 0).labels.tolist() == best_detections(found, 9).labels.tolist() == [0, 1, 2, 3]


def test_boxes_end_on_the_last_pixel():
    assert clip(torch.tensor([[-3.0, 4.0, 50.0, 60.0]]), (40, 30)).tolist() == [[0.0, 4.0, 29.0, 39.0]]


@given(st.integers(0, 60), st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.7]), st.integers(0, 999))
def test_suppression_keeps_what_grouped_suppression_keeps(count, num_groups, threshold, seed):
    boxes = random_boxes(count, seed)
    generator = torch.Generator().manual_seed(seed)
    scores, groups = torch.rand(count, generator=generator), torch.randint(num_groups, (count,), generator=generator)
    expected = grouped_nms(boxes, scores, groups, threshold).tolist()
    for nms in (apart_nms, onnx_nms):
        assert nms(boxes, scores, groups, num_groups, threshold, 200).tolist() == expected


def test_pooling_reads_the_levels_that_the_pooler_reads():
    torch.manual_seed(0)
    pooler = Pooler((7, 7), (0.25, 0.125, 0.0625, 0.03125), 2)
    maps = [torch.randn(1, 8, 128 // 2**level, 160 // 2**level) for level in range(4)]
    boxes = torch.cat((random_boxes(20, 0), random_boxes(20, 1, 600)))
    expected = pooler(maps, [BoxList(boxes, (640, 512))])
    torch.testing.assert_close(TensorPooler(pooler)(maps, boxes), expected, atol=1e-5, rtol=0)


def test_joints_are_those_of_the_heat_maps():
    torch.manual_seed(0)
    maps, boxes = torch.randn(6, 5, 28, 28), random_boxes(6, 2)
    boxes[0] = torch.tensor([3.0, 3.0, 3.0, 3.0])
    places, scores = keypoints_of_heatmaps(maps, boxes)
    expected_places, expected_scores = heatmaps_to_keypoints(maps, boxes)
    torch.testing.assert_close(places, expected_places, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores, expected_scores, atol=1e-5, rtol=0)
