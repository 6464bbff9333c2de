"""Overlap of boxes, and which of them are single objects."""

import torch

from maskrcnn_benchmark.modeling.utils import box_iou, cat, without_crowds
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou


def random_boxes(count):
    corner = torch.rand(count, 2) * 80
    return torch.cat((corner, corner + torch.rand(count, 2) * 40), 1)


def test_overlap_is_that_of_boxlists():
    torch.manual_seed(0)
    boxes, anchors = random_boxes(5), random_boxes(40)
    expected = boxlist_iou(BoxList(boxes, (120, 120)), BoxList(anchors, (120, 120)))
    assert torch.allclose(box_iou(boxes, anchors), expected)


def test_overlap_counts_the_last_pixel():
    assert box_iou(
        torch.tensor([[0.0, 0, 9, 0]]), torch.tensor([[0.0, 0, 4, 0], [9, 0, 9, 0], [10, 0, 19, 0]])
    ).tolist() == [[0.5, torch.tensor(0.1).item(), 0.0]]


def test_overlap_with_no_boxes():
    assert box_iou(torch.zeros(0, 4), random_boxes(3)).shape == (0, 3)


def test_crowds_are_left_out():
    boxes = BoxList(random_boxes(3), (120, 120))
    assert without_crowds(boxes) is boxes
    boxes.add_field("iscrowd", torch.tensor([False, True, False]))
    assert torch.equal(without_crowds(boxes).bbox, boxes.bbox[[0, 2]])


def test_joining_one_tensor_is_no_copy():
    x = torch.zeros(2)
    assert cat([x]) is x
    assert cat([x, x]).shape == (4,)
