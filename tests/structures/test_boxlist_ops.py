"""Suppression, overlap and joining, against values worked by hand."""

import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import (
    best_boxes,
    box_iou,
    boxlist_iou,
    boxlist_nms,
    cat_boxlist,
    remove_small_boxes,
)
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask


def scored(coords, scores, size=(20, 20)):
    boxes = BoxList(coords, size)
    boxes.add_field("scores", torch.tensor(scores))
    return boxes


def test_overlap_counts_the_last_pixel():
    one = BoxList([[0, 0, 9, 9]], (20, 20))
    other = BoxList([[0, 0, 9, 9], [5, 0, 14, 9], [10, 0, 19, 9], [9, 9, 9, 9]], (20, 20))
    assert boxlist_iou(one, other).tolist() == [[1.0, pytest.approx(50 / 150), 0.0, pytest.approx(1 / 100)]]


def test_overlap_is_that_of_the_corners_whatever_the_mode():
    one, other = BoxList([[0, 0, 9, 9]], (20, 20)), BoxList([[5, 0, 14, 9]], (20, 20))
    assert torch.equal(boxlist_iou(one.convert("xywh"), other.convert("xywh")), boxlist_iou(one, other))


def test_overlap_of_boxes_of_different_images_is_refused():
    with pytest.raises(RuntimeError, match="different size"):
        boxlist_iou(BoxList([[0, 0, 1, 1]], (20, 20)), BoxList([[0, 0, 1, 1]], (20, 30)))


def test_suppression_drops_the_worse_of_two_that_overlap_too_much():
    # IoU of the first two, last pixels included: 8 * 10 / (2 * 100 - 80) = 2 / 3; without them it would be 7/11
    boxes = scored([[0, 0, 9, 9], [2, 0, 11, 9], [12, 0, 19, 9]], [0.5, 0.9, 0.7])
    assert boxlist_nms(boxes, 0.65).get_field("scores").tolist() == pytest.approx([0.9, 0.7])
    assert boxlist_nms(boxes, 0.67).get_field("scores").tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert boxlist_nms(boxes, 0.67, max_proposals=1).bbox.tolist() == [[2, 0, 11, 9]]
    assert boxlist_nms(boxes, 0).get_field("scores").tolist() == pytest.approx([0.5, 0.9, 0.7])


def test_suppression_keeps_the_mode_and_uses_the_field_asked_for():
    boxes = scored([[0, 0, 9, 9], [0, 0, 9, 8]], [0.5, 0.9]).convert("xywh")
    boxes.add_field("objectness", torch.tensor([0.8, 0.1]))
    kept = boxlist_nms(boxes, 0.5, score_field="objectness")
    assert kept.mode == "xywh" and kept.bbox.tolist() == [[0, 0, 10, 10]]


def test_suppression_works_on_boxes_that_need_a_gradient():
    coords = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]], requires_grad=True)
    boxes = BoxList(coords, (20, 20))
    boxes.add_field("scores", torch.tensor([0.5, 0.9], requires_grad=True))
    boxlist_nms(boxes, 0.5).bbox.sum().backward()
    assert coords.grad.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_small_boxes_are_those_with_a_side_below_the_limit():
    boxes = BoxList([[0, 0, 3, 3], [0, 0, 2, 9], [0, 0, 9, 2]], (20, 20))
    assert remove_small_boxes(boxes, 4).bbox.tolist() == [[0, 0, 3, 3]]
    assert len(remove_small_boxes(boxes, 0)) == 3


def test_joining_keeps_order_and_fields_of_every_kind():
    parts = []
    for k in (1, 2):
        boxes = scored([[k, k, 9, 9]], [k / 10])
        boxes.add_field("masks", SegmentationMask(torch.full((1, 20, 20), k % 2), (20, 20), "mask"))
        boxes.add_field("outlines", SegmentationMask([[[k, 0, 5, 0, 5, 5]]], (20, 20)))
        boxes.add_field("keypoints", DetailKeypoints(torch.full((1, 14, 3), float(k)), (20, 20)))
        parts.append(boxes)
    joined = cat_boxlist(parts)
    assert joined.bbox[:, 0].tolist() == [1, 2]
    assert joined.get_field("scores").tolist() == pytest.approx([0.1, 0.2])
    assert joined.get_field("masks").get_mask_tensor()[:, 0, 0].tolist() == [1, 0]
    assert joined.get_field("outlines").instances.polygons[1][0].tolist() == [2, 0, 5, 0, 5, 5]
    assert joined.get_field("keypoints").keypoints[:, 0, 0].tolist() == [1, 2]


def test_boxes_that_do_not_belong_together_are_not_joined():
    boxes = scored([[0, 0, 1, 1]], [0.5])
    for other in (BoxList([[0, 0, 1, 1]], (20, 20)), scored([[0, 0, 1, 1]], [0.5], (20, 30)), boxes.convert("xywh")):
        with pytest.raises(ValueError, match="cannot join"):
            cat_boxlist([boxes, other])
    with pytest.raises(ValueError):
        cat_boxlist([])


def test_the_best_boxes_keep_their_order_and_those_that_tie_with_the_last():
    boxes = scored([[k, 0, 9, 9] for k in range(5)], [0.5, 0.9, 0.5, 0.1, 0.7])
    assert best_boxes(boxes, 2).bbox[:, 0].tolist() == [1, 4]
    assert best_boxes(boxes, 3).bbox[:, 0].tolist() == [0, 1, 2, 4]
    assert len(best_boxes(boxes, 0)) == len(best_boxes(boxes, 9)) == 5


def test_overlaps_of_a_batch_are_those_of_its_images():
    torch.manual_seed(0)
    boxes, others = (torch.cat((x, x + torch.rand_like(x) * 9), -1) for x in (torch.rand(2, 3, 2), torch.rand(2, 5, 2)))
    overlaps = box_iou(boxes, others)
    assert overlaps.shape == (2, 3, 5)
    for image in range(2):
        assert torch.equal(overlaps[image], box_iou(boxes[image], others[image]))
