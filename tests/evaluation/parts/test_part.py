"""Part maps: what counts as truth, what is pasted, and the groups."""

import math

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from maskrcnn_benchmark.evaluation.parts.part import PartEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part import PART, PartPrediction
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (40, 20)
THINGS = ("person", "dog", "boat")
NAMES = {"person": ["head", "hair", "torso"], "dog": ["head", "tail"]}


def target(part_set, labels, annotated, maps, masks):
    instances = BoxList(torch.tensor([[0, 0, 39, 19]] * len(labels)).float(), SIZE)
    instances.add_field("labels", torch.tensor(labels))
    instances.add_field("masks", SegmentationMask(masks.to(torch.uint8), SIZE, mode="mask"))
    instances.add_field("parts", PartMask(maps.to(torch.uint8), torch.tensor(annotated), SIZE, part_set))
    return ImageAnnotations(SIZE, instances=instances, image_id=1)


def part_map(labels, part_set):
    scores = torch.nn.functional.one_hot(labels.long(), len(part_set) + 1).permute(2, 0, 1).float()
    return ImagePrediction(SIZE, part_map=ScoreMap(scores, SIZE))


def one_person(part_set):
    """A person whose left half is hair and right half torso, on the upper half of the image."""
    maps = torch.zeros(1, 20, 40)
    maps[0, :10, :20], maps[0, :10, 20:] = part_set.label_of("person", "hair"), part_set.label_of("person", "torso")
    return target(part_set, [1], [True], maps, maps > 0), maps[0]


def evaluated(part_set, prediction, annotated):
    evaluator = PartEvaluator(PART, Vocabulary(thing_names=THINGS, parts=part_set))
    evaluator.process([prediction], [annotated])
    evaluator.evaluate()
    return evaluator


def score(part_set, prediction, annotated):
    return evaluated(part_set, prediction, annotated).scores.metrics


def test_a_confusion_within_a_group_costs_only_the_named_figure():
    part_set = PartSet.from_names("person", NAMES)
    annotated, truth = one_person(part_set)
    predicted = truth.clone()
    predicted[:, :20][truth[:, :20] > 0] = part_set.label_of("person", "head")
    values = score(part_set, part_map(predicted, part_set), annotated)
    assert values["mIoU"] == pytest.approx(1)
    # hair 0, torso 1, background 1; head is not in the truth
    assert values["mIoU-named"] == pytest.approx(2 / 3)


def test_nothing_predicted_scores_the_background_alone():
    part_set = PartSet.from_names("person", NAMES)
    annotated, truth = one_person(part_set)
    values = score(part_set, part_map(torch.zeros_like(truth), part_set), annotated)
    assert values["mIoU"] == pytest.approx(0.5 / 3)


def test_instances_whose_parts_nobody_annotated_do_not_count_unless_they_cannot_have_any():
    part_set = PartSet.from_names("person", NAMES)
    maps, masks = torch.zeros(3, 20, 40), torch.zeros(3, 20, 40)
    maps[0, :10, :10] = masks[0, :10, :10] = 1
    maps[0, :10, :10] = part_set.label_of("person", "head")
    masks[1, :10, 10:20] = 1  # a person without part annotation: ignored
    masks[2, :10, 20:30] = 1  # a boat: background
    annotated = target(part_set, [1, 1, 3], [True, False, False], maps, masks)
    head = part_set.label_of("person", "head")
    everywhere = torch.full((20, 40), head)
    values = score(part_set, part_map(everywhere, part_set), annotated)
    # 100 pixels of head are right, 600 of background are wrong, 100 ignored
    assert values["mIoU"] == pytest.approx((100 / 700 + 0) / 2)


def test_roi_parts_are_pasted_for_confident_detections_of_things_with_parts():
    part_set = PartSet.from_names("person", NAMES)
    annotated, _ = one_person(part_set)
    torso, hair = (part_set.label_of("person", name) for name in ("torso", "hair"))

    def prediction(labels, scores):
        instances = BoxList(torch.tensor([[0.0, 0, 19, 9], [20.0, 0, 39, 9], [0.0, 0, 39, 19]]), SIZE)
        instances.add_field("labels", torch.tensor(labels))
        instances.add_field("scores", torch.tensor(scores))
        parts = torch.zeros(3, len(part_set) + 1, 8, 8)
        parts[0, hair] = parts[1, torso] = parts[2, torso] = 1
        instances.add_field("parts", parts)
        return ImagePrediction(SIZE, instances=instances)

    # the third would cover everything: it is too weak, then a boat
    assert score(part_set, prediction([1, 1, 1], [0.9, 0.5, 0.49]), annotated)["mIoU"] == pytest.approx(1)
    assert score(part_set, prediction([1, 1, 3], [0.9, 0.5, 0.99]), annotated)["mIoU"] == pytest.approx(1)
    assert score(part_set, prediction([1, 1, 1], [0.9, 0.5, 0.99]), annotated)["mIoU"] < 0.4


def test_labels_without_a_body_group_use_the_named_figure_as_headline():
    part_set = PartSet.from_names("all", {"dog": ["head", "tail"]})
    maps = torch.zeros(1, 20, 40)
    maps[0, :10] = part_set.label_of("dog", "head")
    annotated = target(part_set, [2], [True], maps, maps > 0)
    values = score(part_set, part_map(maps[0], part_set), annotated)
    assert values["mIoU"] == values["mIoU-named"] == 1


def test_superparts_are_scored_on_their_own_labels():
    part_set = PartSet.from_names("superparts", {"person": ["head", "luarm", "llarm"], "dog": ["tail"]})
    arm = part_set.label_of("person", "luarm")
    maps = torch.zeros(1, 20, 40)
    maps[0, :10] = arm
    annotated = target(part_set, [1], [True], maps, maps > 0)
    assert score(part_set, part_map(maps[0], part_set), annotated)["mIoU"] == 1
    half = maps[0].clone()
    half[:, 20:] = 0  # of the arm a half, and background that is 400 of 600 pixels right
    assert score(part_set, part_map(half, part_set), annotated)["mIoU"] == pytest.approx((1 / 2 + 400 / 600) / 2)


def test_images_without_any_annotated_parts_are_skipped():
    part_set = PartSet.from_names("person", NAMES)
    nothing = target(part_set, [1], [False], torch.zeros(1, 20, 40), torch.ones(1, 20, 40))
    assert math.isnan(score(part_set, part_map(torch.zeros(20, 40), part_set), nothing)["mIoU"])


def test_without_annotated_parts_the_reason_is_said():
    evaluator = PartEvaluator(PART, Vocabulary(thing_names=THINGS, parts=PartSet.from_names("person", NAMES)))
    assert all(math.isnan(value) for value in evaluator.evaluate().values())
    assert evaluator.scores.reason == "no image has annotated parts"


BOTH_SIDES = {"person": ["head", "lhand", "rhand", "llleg", "rlleg"]}


def standing_person(part_set):
    """Head, a hand at each side and two legs, a fifth of the image each."""
    truth = torch.zeros(20, 40)
    for k, name in enumerate(BOTH_SIDES["person"]):
        truth[:16, 8 * k : 8 * k + 8] = part_set.label_of("person", name)
    return target(part_set, [1], [True], truth[None], truth[None] > 0), truth


def test_left_and_right_exchanged_cost_only_the_named_figure():
    part_set = PartSet.from_names("person", BOTH_SIDES)
    annotated, truth = standing_person(part_set)
    mirrored = torch.tensor(part_set.flip_indices)[truth.long()]
    values = score(part_set, part_map(mirrored, part_set), annotated)
    assert values["mIoU"] == 1
    # head and background alone are right
    assert values["mIoU-named"] == pytest.approx(2 / 6)


def test_head_and_legs_exchanged_score_low():
    part_set = PartSet.from_names("person6", {})
    truth = torch.zeros(20, 40)
    truth[:5], truth[5:10], truth[10:15] = 1, 2, 6
    annotated = target(part_set, [1], [True], truth[None], truth[None] > 0)
    exchanged = torch.tensor([0, 6, 2, 3, 4, 5, 1])[truth.long()]
    assert score(part_set, part_map(exchanged, part_set), annotated)["mIoU"] == pytest.approx(2 / 4)


def test_each_label_and_group_has_its_iou():
    part_set = PartSet.from_names("person", NAMES)
    annotated, truth = one_person(part_set)
    evaluator = evaluated(part_set, part_map(torch.zeros_like(truth), part_set), annotated)
    per_class, nan = evaluator.scores.per_class, math.nan
    expected = {"background": 0.5, "hair": 0, "head": nan, "torso": 0}
    assert per_class["IoU"] == pytest.approx(expected, nan_ok=True)
    groups = {"background": 0.5, "head": 0, "torso": 0}
    expected = {**groups, **dict.fromkeys(("upper_arms", "lower_arms", "upper_legs", "lower_legs"), nan)}
    assert per_class["IoU-person6"] == pytest.approx(expected, nan_ok=True)
    assert evaluator.image_scores() == {1: pytest.approx(0.5 / 3)}


def test_a_label_that_there_is_none_of_is_refused_by_its_value():
    part_set = PartSet.from_names("person", NAMES)
    annotated, _ = one_person(part_set)
    answers = {"part": PartPrediction(np.full((20, 40), 9, np.uint8), [])}
    with pytest.raises(UserError, match="image 1: the predicted map holds the value 9"):
        score(part_set, answers, annotated)


def test_instances_are_each_detections_own_parts_down_to_weak_scores():
    part_set = PartSet.from_names("person", NAMES)
    torso, hair = (part_set.label_of("person", name) for name in ("torso", "hair"))
    instances = BoxList(
        torch.tensor([[0.0, 0, 19, 9], [10, 0, 29, 9], [0, 0, 39, 19], [0, 0, 9, 9], [0, 0, 9, 9]]), SIZE
    )
    instances.add_field("labels", torch.tensor([1, 1, 1, 1, 3]))
    instances.add_field("scores", torch.tensor([0.9, 0.06, 0.8, 0.04, 0.9]))
    parts = torch.zeros(5, len(part_set) + 1, 8, 8)
    parts[0, hair] = parts[1, torso] = parts[2, 0] = parts[3, torso] = parts[4, torso] = 1
    instances.add_field("parts", parts)
    answer = PART.encode(ImagePrediction(SIZE, instances=instances), Vocabulary(thing_names=THINGS, parts=part_set))
    # the third is background throughout, the fourth too weak, the fifth a boat
    first, second = np.zeros((2, 20, 40), np.uint8)
    first[:10, :20] = second[:10, 10:30] = 1
    assert [(row["category_id"], pytest.approx(row["score"])) for row in answer.instances] == [(1, 0.9), (1, 0.06)]
    assert [row["parts"] for row in answer.instances] == [
        [{"part": label, "segmentation": rle.encode(np.asfortranarray(mask))}]
        for label, mask in ((hair, first), (torso, second))
    ]
    assert np.array_equal(answer.labels, first * hair)


def test_a_repeated_annotation_scores_one_in_everything():
    part_set = PartSet.from_names("person", BOTH_SIDES)
    annotated, truth = standing_person(part_set)
    parts = [
        {"part": k, "segmentation": rle.encode(np.asfortranarray(truth.numpy() == k, dtype=np.uint8))}
        for k in range(1, 6)
    ]
    rows = [{"category_id": 1, "score": 0.5, "parts": parts}]
    answers = {"part": PartPrediction(truth.numpy().astype(np.uint8), rows)}
    evaluator = evaluated(part_set, answers, annotated)
    assert set(evaluator.scores.metrics.values()) == {1.0}
    assert evaluator.scores.reason == ""


def test_images_without_people_do_not_enter_the_figures_of_people():
    part_set = PartSet.from_names("all", {"person": ["head"], "dog": ["tail"]})
    maps = torch.zeros(1, 20, 40)
    maps[0, :10] = part_set.label_of("dog", "tail")
    dog = target(part_set, [2], [True], maps, maps > 0)
    head = part_set.label_of("person", "head")
    everywhere = rle.encode(np.ones((20, 40), np.uint8, order="F"))
    rows = [{"category_id": 1, "score": 0.9, "parts": [{"part": head, "segmentation": everywhere}]}]
    wrong = {"part": PartPrediction(np.full((20, 40), head, np.uint8), rows)}
    alone = evaluated(part_set, wrong, dog)
    metrics = alone.scores.metrics
    assert metrics["mIoU-named"] == 0 and math.isnan(metrics["mIoU"]) and math.isnan(metrics["APp50"])
    assert alone.scores.reason == "no image has a person with annotated parts"
    maps[0, :10] = head
    person = target(part_set, [1], [True], maps, maps > 0)
    rows = [
        dict(rows[0], score=0.5, parts=[{"part": head, "segmentation": rle.encode(np.asfortranarray(maps[0] > 0))}])
    ]
    right = {"part": PartPrediction(maps[0].numpy().astype(np.uint8), rows)}
    alone.process([right], [person], keys=[2])
    metrics = alone.evaluate()
    assert metrics["mIoU"] == metrics["APp50"] == metrics["APr50"] == 1 and metrics["mIoU-named"] < 1
