"""Which anchors and classes become detections."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.rpn.retinanet.inference import RetinaNetPostProcessor, top_of_groups

# Two levels of two anchors each, far apart; three classes
ANCHORS = [torch.tensor([[0.0, 0, 19, 19], [40, 0, 59, 19]]), torch.tensor([[0.0, 40, 29, 69], [1, 40, 30, 69]])]
SIZE = (64, 50)  # height, width


def detect(*scores, options=None, sizes=None, offsets=None):
    """Detections where the score of image n, level l, anchor a and class c is `scores[n][l][a][c]`."""
    chosen = {"score_thresh": 0.05, "pre_nms_top_n": 1000, "nms_thresh": 0.4, "detections_per_img": 100}
    selector = RetinaNetPostProcessor(**{**chosen, **(options or {})}, box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)))
    logits = [torch.tensor([image[level] for image in scores]).logit() for level in range(2)]
    if offsets is None:
        offsets = [torch.zeros(len(scores), 2, 4) for _ in ANCHORS]
    return selector(ANCHORS, logits, offsets, sizes or [SIZE] * len(scores))


def as_rows(boxes):
    """[(label, score in hundredths, x1, y1)]"""
    return [
        (label, round(100 * score), *box[:2])
        for label, score, box in zip(
            boxes.get_field("labels").tolist(), boxes.get_field("scores").tolist(), boxes.bbox.tolist()
        )
    ]


NOTHING = [[[0.01] * 3] * 2] * 2


def test_every_class_above_the_threshold_counts_and_boxes_are_clipped():
    image = [[[0.9, 0.01, 0.3], [0.01, 0.2, 0.01]], [[0.01, 0.01, 0.01], [0.01, 0.04, 0.01]]]
    (found,) = detect(image)
    assert as_rows(found) == [(1, 90, 0, 0), (2, 20, 40, 0), (3, 30, 0, 0)]
    assert found.size == (50, 64)
    assert found.bbox[1].tolist() == [40, 0, 49, 19]


def test_order_is_by_label_then_best_first():
    image = [[[0.3, 0.6, 0.01], [0.5, 0.01, 0.01]], [[0.7, 0.01, 0.01], [0.01, 0.01, 0.01]]]
    assert [row[:2] for row in as_rows(detect(image)[0])] == [(1, 70), (1, 50), (1, 30), (2, 60)]


def test_overlapping_boxes_of_one_class_are_one_detection_and_of_two_classes_two():
    image = [NOTHING[0], [[0.6, 0.3, 0.01], [0.8, 0.01, 0.01]]]
    assert as_rows(detect(image)[0]) == [(1, 80, 1, 40), (2, 30, 0, 40)]
    kept = detect(image, options={"nms_thresh": 0.0})[0]
    assert as_rows(kept) == [(1, 80, 1, 40), (1, 60, 0, 40), (2, 30, 0, 40)]


def test_suppression_is_across_levels():
    image = [[[0.6, 0.01, 0.01], NOTHING[0][0]], [[0.8, 0.01, 0.01], NOTHING[0][0]]]
    offsets = [torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)]
    # Level 1's first anchor is moved and shrunk onto level 0's
    offsets[1][0, 0] = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode(ANCHORS[0][0], ANCHORS[1][0])
    assert [row[:2] for row in as_rows(detect(image, offsets=offsets)[0])] == [(1, 80)]


def test_each_level_of_each_image_decodes_its_best():
    image = [[[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]], [[0.3, 0.2, 0.1], NOTHING[0][0]]]
    scores = [row[1] for row in as_rows(detect(image, image, options={"pre_nms_top_n": 2})[1])]
    assert sorted(scores) == [20, 30, 80, 90]


@pytest.mark.parametrize("limit, expected", [(1, [90]), (2, [90, 60, 60]), (3, [90, 60, 60]), (0, [90, 60, 60, 30])])
def test_the_best_of_an_image_and_what_ties_with_the_last(limit, expected):
    image = [[[0.9, 0.6, 0.6], [0.3, 0.01, 0.01]], NOTHING[1]]
    scores = [row[1] for row in as_rows(detect(image, options={"detections_per_img": limit})[0])]
    assert sorted(scores, reverse=True) == expected


def test_images_are_apart_and_may_be_empty():
    image = [[[0.9, 0.01, 0.01], NOTHING[0][0]], NOTHING[1]]
    first, second, third = detect(image, NOTHING, image, sizes=[SIZE, SIZE, (10, 12)])
    assert as_rows(first) == as_rows(third) == [(1, 90, 0, 0)]
    assert third.bbox.tolist() == [[0, 0, 11, 9]]
    assert len(second) == 0 and second.size == (50, 64)
    assert second.get_field("scores").shape == second.get_field("labels").shape == (0,)
    assert second.get_field("labels").dtype == torch.int64


def test_nothing_anywhere():
    assert [len(found) for found in detect(NOTHING, NOTHING)] == [0, 0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30),
    st.integers(1, 5),
)
def test_top_of_groups_is_the_sorted_head_of_each_group(items, count):
    groups = torch.tensor([group for group, _ in items], dtype=torch.int64)
    scores = torch.tensor([score for _, score in items], dtype=torch.float32)
    best = top_of_groups(scores, groups, count)
    found = [(groups[i].item(), scores[i].item()) for i in best]
    expected = []
    for group in range(4):
        mine = sorted((score for g, score in items if g == group), reverse=True)
        expected.extend((group, score) for score in mine[:count])
    assert found == expected
    assert len(set(best.tolist())) == len(best)
