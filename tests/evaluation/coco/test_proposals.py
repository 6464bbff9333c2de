"""Recall of proposals on boxes whose overlaps can be told by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.evaluation.coco.proposals import AREA_RANGES, ProposalEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import PROPOSALS

SIZE = (400, 300)


def truth(*boxes, image_id=1, rows=None, **fields):
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    instances.add_field("labels", torch.ones(len(boxes), dtype=torch.int64))
    for name, field in fields.items():
        instances.add_field(name, field)
    if rows is not None:
        instances.add_field("coco_records", rows)
    return ImageAnnotations(SIZE, instances=instances, image_id=image_id)


def proposals(*boxes, scores=None, field="objectness"):
    answer = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    answer.add_field(field, torch.arange(len(boxes), 0, -1) / 1000.0 if scores is None else torch.tensor(scores))
    return ImagePrediction(SIZE, instances=answer)


def recall(answer, target, **arguments):
    evaluator = ProposalEvaluator(PROPOSALS, Vocabulary(), **arguments)
    evaluator.process([answer], [target])
    return evaluator.evaluate()


def test_the_metrics_are_the_originals():
    exact = recall(proposals([10, 10, 59, 59]), truth([10, 10, 59, 59]))
    assert list(exact) == [f"AR{area}@{limit}" for limit in (100, 1000) for area in ("", "s", "m", "l")]
    assert exact["AR@100"] == exact["AR@1000"] == exact["ARm@100"] == 1
    assert math.isnan(exact["ARs@100"]) and math.isnan(exact["ARl@1000"])


def test_the_last_pixel_belongs_to_a_box():
    # 50 x 38 of 50 x 50 pixels is .76: over six of the ten thresholds; without the last pixel it would be .755
    assert recall(proposals([10, 10, 59, 47]), truth([10, 10, 59, 59]))["AR@100"] == pytest.approx(0.6)
    # 50 x 25 is exactly one half
    assert recall(proposals([10, 10, 59, 34]), truth([10, 10, 59, 59]))["AR@100"] == pytest.approx(0.1)


def test_only_the_best_proposals_count():
    bad = [[200 + k, 200, 210 + k, 210] for k in range(10)]
    answer = proposals([10, 10, 59, 59], *bad, scores=[0.1, *[0.9] * 10])
    values = recall(answer, truth([10, 10, 59, 59]), limits=(10, 11))
    assert (values["AR@10"], values["AR@11"]) == (0, 1)


def test_a_proposal_finds_one_object_only_and_the_best_pair_comes_first():
    # the one proposal overlaps both objects; it is spent on the one that it fits better
    both = truth([10, 10, 59, 59], [10, 10, 59, 69])
    assert recall(proposals([10, 10, 59, 59]), both)["AR@100"] == pytest.approx(0.5)
    # a second one, worse for either, is left for the other object: 50 x 50 of 50 x 60 is .83, seven thresholds
    assert recall(proposals([10, 10, 59, 59], [10, 10, 59, 59]), both)["AR@100"] == pytest.approx((10 + 7) / 20)


def test_crowds_do_not_count():
    crowd = truth([10, 10, 59, 59], [100, 100, 199, 199], iscrowd=torch.tensor([False, True]))
    assert recall(proposals([10, 10, 59, 59]), crowd)["AR@100"] == 1


def test_the_files_own_rows_are_used_where_they_are_known():
    rows = [
        {"bbox": [380.0, 10.0, 60.0, 50.0], "area": 900.0, "iscrowd": 0},
        {"bbox": [0.0, 0.0, 400.0, 300.0], "area": 5.0, "iscrowd": 1},
    ]
    target = truth([380, 10, 399, 59], [0, 0, 399, 299], rows=rows)
    values = recall(proposals([380, 10, 399, 59]), target)
    # the file's box reaches beyond the image, so the clipped one covers a third of it; its area is a small object's
    assert values["AR@100"] == values["ARs@100"] == 0 and math.isnan(values["ARl@100"])
    assert recall(proposals([380, 10, 439, 59]), target)["ARs@100"] == 1


def test_an_area_on_the_border_belongs_to_both_ranges():
    values = recall(proposals([10, 10, 41, 41]), truth([10, 10, 41, 41]), areas=tuple(AREA_RANGES))
    assert values["ARs@100"] == values["ARm@100"] == 1 and math.isnan(values["ARl@100"])


def test_images_without_proposals_or_objects():
    evaluator = ProposalEvaluator(PROPOSALS, Vocabulary())
    evaluator.process([proposals(), proposals([1, 1, 50, 50])], [truth([10, 10, 59, 59]), truth(image_id=2)])
    assert evaluator.evaluate()["AR@100"] == 0
    assert math.isnan(recall(proposals([1, 1, 50, 50]), truth())["AR@100"])


def test_detections_are_proposals_too():
    assert recall(proposals([10, 10, 59, 59], field="scores"), truth([10, 10, 59, 59]))["AR@100"] == 1


boxes = st.lists(
    st.tuples(*[st.integers(0, 200)] * 2, *[st.integers(5, 90)] * 2).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
    ),
    min_size=1,
    max_size=6,
)


@given(boxes, boxes, st.randoms())
def test_recall_depends_on_no_order_and_grows_with_the_limit(objects, found, random):
    scores = [(k + 1) / 100 for k in range(len(found))]
    expected = recall(proposals(*found, scores=scores), truth(*objects), limits=(1, 3, 100))
    pairs = list(zip(found, scores))
    random.shuffle(pairs)
    random.shuffle(objects)
    shuffled = recall(
        proposals(*[b for b, _ in pairs], scores=[s for _, s in pairs]), truth(*objects), limits=(1, 3, 100)
    )
    assert shuffled["AR@1"] == pytest.approx(expected["AR@1"])
    assert expected["AR@1"] <= expected["AR@100"] + 1e-9
    assert recall(proposals(*objects), truth(*objects))["AR@100"] == 1
