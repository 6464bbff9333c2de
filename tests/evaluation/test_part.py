"""Part maps: what counts as truth, what is pasted, and the groups."""

import math

import pytest
import torch

from maskrcnn_benchmark.evaluation.part import PartEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

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


def score(part_set, prediction, annotated):
    evaluator = PartEvaluator(part_set, THINGS)
    evaluator.process([prediction], [annotated])
    return evaluator.evaluate()


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
    assert values == {"mIoU": pytest.approx(1), "mIoU-named": pytest.approx(1)}


def test_images_without_any_annotated_parts_are_skipped():
    part_set = PartSet.from_names("person", NAMES)
    nothing = target(part_set, [1], [False], torch.zeros(1, 20, 40), torch.ones(1, 20, 40))
    assert math.isnan(score(part_set, part_map(torch.zeros(20, 40), part_set), nothing)["mIoU"])
