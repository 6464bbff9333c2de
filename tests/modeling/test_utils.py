"""Joining tensors, and which boxes are single objects."""

import torch

from maskrcnn_benchmark.modeling.utils import cat, without_crowds
from maskrcnn_benchmark.structures.bounding_box import BoxList


def random_boxes(count):
    corner = torch.rand(count, 2) * 80
    return torch.cat((corner, corner + torch.rand(count, 2) * 40), 1)


def test_crowds_are_left_out():
    boxes = BoxList(random_boxes(3), (120, 120))
    assert without_crowds(boxes) is boxes
    boxes.add_field("iscrowd", torch.tensor([False, True, False]))
    assert torch.equal(without_crowds(boxes).bbox, boxes.bbox[[0, 2]])


def test_joining_one_tensor_is_no_copy():
    x = torch.zeros(2)
    assert cat([x]) is x
    assert cat([x, x]).shape == (4,)
