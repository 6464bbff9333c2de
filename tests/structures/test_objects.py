"""Objects are described best first, by the names of their labels."""

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.objects import Objects, ObjectsWithValues, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary


def boxes_with(scores, labels):
    boxes = BoxList([[k, k, k + 4, k + 4] for k in range(len(scores))], (20, 20))
    boxes.add_field("scores", torch.tensor(scores))
    boxes.add_field("labels", torch.tensor(labels))
    return boxes


def test_the_best_come_first_and_of_equal_ones_the_first():
    boxes = boxes_with([0.5, 0.9, 0.5, 0.2], [1, 2, 1, 2])
    assert best_first(boxes, 0.5).bbox[:, 0].tolist() == [1, 0, 2]
    assert best_first(boxes, 0.0, most=2).bbox[:, 0].tolist() == [1, 0]
    assert len(best_first(boxes, 1.0)) == 0


def test_objects_have_the_names_of_their_labels():
    boxes = boxes_with([0.5, 0.9], [1, 2])
    objects = Objects.of(boxes.convert("xywh"), Vocabulary(thing_names=("dog", "cat")))
    assert objects.names == ["dog", "cat"] and len(objects) == 2
    assert objects.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 5, 5]] and objects.labels.tolist() == [1, 2]
    valued = ObjectsWithValues.of(boxes, Vocabulary(thing_names=("dog", "cat")), values=torch.tensor([7, 8]))
    assert valued.values.tolist() == [7, 8] and valued.names == objects.names
