"""Parts within segments: by the part map of the segment's own object, and by one of the image."""

import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import paste_parts
from maskrcnn_benchmark.layers.part_panoptic_merge import NO_PART, UNKNOWN, merge_object_parts, merge_part_map

# Labels of the parts of persons, dogs and the sky
PERSON, DOG, SKY = (1, 2), (3, 4), ()
NO_OBJECT = -1


def one_hot(labels, size=6):
    """float [5, size, size], where the left half of the cells has one label and the right half another."""
    maps = torch.zeros(5, size, size)
    maps[labels[0], :, : size // 2], maps[labels[1], :, size // 2 :] = 1, 1
    return maps


IDS = np.zeros((6, 12), np.int32)
IDS[:, :6], IDS[:, 6:] = 1, 2


def test_each_object_has_its_own_parts_whatever_lies_above():
    boxes = torch.tensor([[0.0, 0, 5, 5], [0, 0, 11, 5]])
    parts = torch.stack([one_hot((1, 2)), one_hot((2, 1))])
    merged = merge_object_parts(IDS, [0, 1], [PERSON, PERSON], parts, boxes)
    assert (merged[:, :3] == 1).all() and (merged[:, 3:6] == 2).all()
    # the second object's box begins under the first: of its map, the right half is seen
    assert (merged[:, 6:] == 1).all()
    turned = merge_object_parts(IDS, [1, 0], [PERSON, PERSON], parts.flip(0), boxes.flip(0))
    assert (turned == merged).all()


def test_what_is_no_part_of_the_class_is_unknown():
    boxes = torch.tensor([[0.0, 0, 5, 5]])
    merged = merge_object_parts(IDS, [0, NO_OBJECT], [PERSON, SKY], one_hot((1, 3))[None], boxes)
    assert (merged[:, :3] == 1).all() and (merged[:, 3:6] == UNKNOWN).all() and (merged[:, 6:] == NO_PART).all()
    background = merge_object_parts(IDS, [0, NO_OBJECT], [PERSON, SKY], one_hot((0, 2))[None], boxes)
    assert (background[:, :3] == UNKNOWN).all() and (background[:, 3:6] == 2).all()


def test_beyond_the_box_of_its_object_a_part_is_unknown_unless_filled():
    boxes = torch.tensor([[0.0, 0, 3, 3], [6, 0, 11, 5]])
    parts = torch.stack([one_hot((3, 4)), one_hot((0, 0))])
    parts[1, 4] = 0.25
    merged = merge_object_parts(IDS, [0, 1], [DOG, DOG], parts, boxes)
    assert (merged[:4, :2] == 3).all() and (merged[:4, 2:4] == 4).all()
    assert (merged[4:, :6] == UNKNOWN).all() and (merged[:, 4:] == UNKNOWN).all()
    filled = merge_object_parts(IDS, [0, 1], [DOG, DOG], parts, boxes, fill=True)
    assert (filled[:, :2] == 3).all() and (filled[:, 2:] == 4).all()


def test_one_object_has_what_is_pasted_of_it():
    torch.manual_seed(0)
    parts, boxes = torch.rand(1, 5, 14, 14).softmax(dim=1), torch.tensor([[3.2, 4.7, 40.1, 30.9]])
    pasted = paste_parts(parts, boxes, torch.ones(1), (50, 40)).numpy()
    expected = np.where((pasted == 1) | (pasted == 2), pasted, UNKNOWN)
    assert (merge_object_parts(np.ones((40, 50), np.int32), [0], [PERSON], parts, boxes) == expected).all()


def test_a_part_map_of_the_image_counts_within_segments():
    labels = torch.tensor([[1, 1, 2, 2, 3, 0, 3, 4, 4, 4, 1, 0]] * 6, dtype=torch.uint8)
    merged = merge_part_map(IDS, [PERSON, DOG], labels)
    assert merged[0].tolist() == [1, 1, 2, 2, UNKNOWN, UNKNOWN, 3, 4, 4, 4, UNKNOWN, UNKNOWN]
    scores = torch.nn.functional.one_hot(labels.long(), 5).permute(2, 0, 1).float()
    scores[2] += 0.5
    scores[4] += 0.25
    filled = merge_part_map(IDS, [PERSON, DOG], scores, fill=True)
    assert filled[0].tolist() == [1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4]


def test_a_thing_without_an_object_has_unknown_parts_and_one_without_pixels_none():
    nothing = torch.zeros(0, 5, 6, 6), torch.zeros(0, 4)
    merged = merge_object_parts(IDS, [NO_OBJECT] * 3, [PERSON, SKY, DOG], *nothing)
    assert (merged[:, :6] == UNKNOWN).all() and not merged[:, 6:].any()
