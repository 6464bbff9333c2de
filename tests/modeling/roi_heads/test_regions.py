"""Which boxes of a batch a head answers for, and its answers spread over all boxes."""

import torch

from maskrcnn_benchmark.modeling.roi_heads.regions import has_label, spread, with_labels
from maskrcnn_benchmark.structures.bounding_box import BoxList


def boxes_of(labels):
    boxes = BoxList(torch.zeros(len(labels), 4), (10, 10))
    boxes.add_field("labels", torch.tensor(labels, dtype=torch.int64))
    return boxes


def test_labels_are_looked_up():
    labels = torch.tensor([[0, 3], [5, 3]])
    assert has_label(labels, {3, 7}).tolist() == [[False, True], [False, True]]
    assert has_label(labels, None).all() and not has_label(labels, set()).any()


def test_boxes_of_the_wanted_labels_are_found_in_each_image():
    boxes = [boxes_of([2, 1, 2, 3]), boxes_of([]), boxes_of([1])]
    assert [index.tolist() for index in with_labels(boxes, {2, 3})] == [[0, 2, 3], [], []]
    assert [index.tolist() for index in with_labels(boxes, None)] == [[0, 1, 2, 3], [], [0]]


def test_answers_go_to_their_boxes_and_the_default_to_the_others():
    answers = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    chosen = [torch.tensor([2, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([1])]
    full = spread(answers, chosen, [3, 1, 2], torch.tensor([0.0, 9]))
    assert [part.tolist() for part in full] == [[[3, 4], [0, 9], [1, 2]], [[0, 9]], [[0, 9], [5, 6]]]
