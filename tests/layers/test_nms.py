"""Suppression counts the last pixel of a box, and keeps groups apart exactly."""

import pytest
import torch
from torchvision.ops import box_iou
from torchvision.ops import nms as torchvision_nms

from maskrcnn_benchmark.layers import grouped_nms, nms
from maskrcnn_benchmark.layers.nms import MANY_BOXES, inclusive_to_exclusive, level_nms, levels_apart


def random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 90
    size = torch.rand(count, 2, generator=generator) * 40
    return torch.cat((corner, corner + size), 1), torch.rand(count, generator=generator)


def test_best_box_comes_first_and_suppresses_its_duplicates():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [50, 50, 60, 60]])
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]


def test_overlap_counts_the_last_pixel():
    # Inclusive: 10 and 5 columns, IoU 5 / 10. Exclusive it would be 4 / 9 = 0.444.
    boxes = torch.tensor([[0.0, 0, 9, 0], [0, 0, 4, 0]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.49).tolist() == [0]
    assert nms(boxes, scores, 0.51).tolist() == [0, 1]


def test_boxes_of_one_pixel_are_not_empty():
    boxes = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3]])
    assert nms(boxes, torch.tensor([0.1, 0.2]), 0.5).tolist() == [1]


def test_no_boxes_keep_none():
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    assert grouped_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


def test_half_precision_boxes_are_accepted():
    boxes, scores = random_boxes(20)
    kept = nms(boxes.bfloat16(), scores.bfloat16(), 0.5)
    assert 0 < len(kept) <= 20


@pytest.mark.parametrize("count", [60, MANY_BOXES + 200])
def test_groups_do_not_suppress_each_other(count):
    boxes, scores = random_boxes(count)
    groups = torch.arange(count) % 7
    groups[groups == 3] = 6  # a group without members
    expected = torch.zeros(count, dtype=torch.bool)
    for group in groups.unique():
        index = torch.nonzero(groups == group).squeeze(1)
        expected[index[nms(boxes[index], scores[index], 0.3)]] = True
    kept = grouped_nms(boxes, scores, groups, 0.3)
    assert sorted(kept.tolist()) == torch.nonzero(expected).squeeze(1).tolist()
    assert (scores[kept].diff() <= 0).all()


def test_distant_groups_keep_sub_pixel_exactness():
    # The two boxes overlap by just less than the threshold; an offset in single precision would round that away.
    boxes = torch.tensor([[0.0, 0, 998.999, 0], [499.5005, 0, 1498.4995, 0]]).repeat(2, 1)
    groups = torch.tensor([0, 0, 500, 500])
    scores = torch.tensor([0.9, 0.8, 0.9, 0.8])
    overlap = torch.tensor(998.999 - 499.5005 + 1, dtype=torch.float64)
    threshold = float(overlap / (2 * 999.999 - overlap))
    for shift, kept in ((1e-6, [0, 1, 2, 3]), (-1e-6, [0, 2])):
        assert sorted(grouped_nms(boxes, scores, groups, threshold + shift).tolist()) == kept


def test_inclusive_boxes_end_one_further_when_exclusive():
    assert inclusive_to_exclusive(torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[1, 2, 4, 5]]


def test_a_threshold_of_zero_suppresses_nothing():
    boxes, scores = random_boxes(30)
    assert (
        grouped_nms(boxes, scores, torch.zeros(30, dtype=torch.int64), 0).tolist()
        == scores.argsort(descending=True, stable=True).tolist()
    )


def boxes_of_levels(sizes, images=2, seed=0):
    """Boxes that overlap much, level after level, [images, sum(sizes), 4], and their scores."""
    parts = [random_boxes(sum(sizes), seed + image) for image in range(images)]
    return torch.stack([boxes * 10 for boxes, _ in parts]), torch.stack([scores for _, scores in parts])


SIZES_OF_LEVELS = [(300, 200, 100, 50, 25), (40,), (7, 0, 9), (30,) * 12]


@pytest.mark.parametrize("sizes", SIZES_OF_LEVELS)
def test_levels_do_not_suppress_each_other(sizes):
    boxes, scores = boxes_of_levels(sizes)
    kept = level_nms(boxes, scores, sizes, 0.3)
    for image in range(2):
        expected, begin = [], 0
        for size in sizes:
            level = slice(begin, begin + size)
            expected += (nms(boxes[image, level], scores[image, level], 0.3) + begin).tolist()
            begin += size
        assert sorted(kept[image].tolist()) == sorted(expected)


@pytest.mark.parametrize("sizes", SIZES_OF_LEVELS)
def test_levels_are_put_apart_without_rounding(sizes):
    boxes = inclusive_to_exclusive(boxes_of_levels(sizes)[0])
    apart = levels_apart(boxes, sizes)
    overlaps, before = box_iou(apart[0], apart[0]), box_iou(boxes[0], boxes[0])
    level = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    same = level[:, None] == level
    assert torch.equal(overlaps[same], before[same])
    assert (overlaps[~same] < 1e-6).all()


def test_one_call_for_all_levels_keeps_what_a_call_for_each_keeps():
    sizes = (300, 200, 100, 50, 25)
    boxes, scores = boxes_of_levels(sizes)
    for threshold in (0.2, 0.5, 0.7):
        apart = levels_apart(inclusive_to_exclusive(boxes), sizes)
        for image, kept in enumerate(level_nms(boxes, scores, sizes, threshold)):
            together = torchvision_nms(apart[image], scores[image], threshold)
            assert sorted(together.tolist()) == sorted(kept.tolist())


def test_too_many_levels_for_single_precision_are_refused():
    with pytest.raises(ValueError, match="13 levels"):
        levels_apart(torch.zeros(13, 4), (1,) * 13)
