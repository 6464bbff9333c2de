"""Contradictions between tasks, told by hand on an image of 8 x 4 pixels."""

import math

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import JointSet, Keypoints
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import complete_outputs, derive_outputs
from maskrcnn_benchmark.tasks.consistency import (
    CONSISTENCY,
    FIGURES,
    ConsistencyEvaluator,
    consistency,
    consistency_evaluator,
    consistency_rows,
    count_cycles,
)
from maskrcnn_benchmark.tasks.task import TASKS

SIZE = 8, 4
PERSON, CAT = 1, 2  # labels
PARTS = PartSet("person24", ("head", "torso"), (0, 1, 2), (("person",),) * 2, (("head",), ("torso",)))
JOINTS = JointSet("detail", ("head", "neck"), (), (), (0.1, 0.1))
VOCABULARY = Vocabulary(
    thing_names=("person", "cat"),
    semantic_names=("sky", "person", "cat", "dog"),
    image_label_names=("person", "cat", "sky", "kite", "dog"),
    parts=PARTS,
    joints=JOINTS,
)
SKY, PERSON_PIXEL, CAT_PIXEL = range(3)


def columns(first, last):
    mask = torch.zeros(4, 8)
    mask[:, first : last + 1] = 1
    return mask


def order(*pairs, count=3):
    in_front = np.zeros((count, count), bool)
    for i, j in pairs:
        in_front[i, j] = True
    return in_front


def predicted_objects():
    """A person on columns 0 to 3 whose box reaches to 4, two cats on columns 4 to 5, and a person of low score."""
    boxes = BoxList([[0.0, 0, 4, 3], [4, 0, 5, 3], [4, 0, 5, 3], [6, 0, 7, 3]], SIZE)
    boxes.add_field("labels", torch.tensor([PERSON, CAT, CAT, PERSON]))
    boxes.add_field("scores", torch.tensor([0.9, 0.8, 0.6, 0.2]))
    boxes.add_field("mask", torch.stack([columns(0, 3), columns(4, 5), columns(4, 5), columns(6, 7)])[:, None])
    parts = torch.zeros(4, 3, 7, 7)
    parts[:, 0] = 1
    parts[[0, 3], 0], parts[[0, 3], 1] = 0, 1  # heads all over
    boxes.add_field("parts", parts)
    places = torch.tensor([[[1.0, 1, 1], [6.6, 2, 1]]]).repeat(4, 1, 1)
    boxes.add_field("keypoints", Keypoints(places, SIZE, joints=JOINTS))
    return boxes


def prediction():
    scores = torch.zeros(4, 4, 8)
    scores[PERSON_PIXEL, :, :2] = scores[SKY, :, 2:] = 1
    boundary = torch.full((1, 4, 8), 0.1)
    boundary[..., 3:5], boundary[..., 5:7] = 0.8, 0.2
    return ImagePrediction(
        SIZE,
        predicted_objects(),
        semantic=ScoreMap(scores, SIZE),
        boundary=ScoreMap(boundary, SIZE),
        classes=torch.tensor([0.9, 0.1, 0.7, 0.8, 0.6]),
    )


def of(made, in_front=None, tasks=("panoptic",)):
    made = derive_outputs(made, [TASKS[key] for key in tasks], VOCABULARY)
    if in_front is not None:
        none = np.zeros(len(in_front))
        found = OcclusionOrder(none, none, none, np.zeros((len(in_front), 4, 8), bool), in_front * 1.0, in_front)
        made.outputs["occlusion_order"] = Computed(lambda: found, SIZE)
    return consistency(made, VOCABULARY)


def test_every_figure_of_a_prediction():
    found = of(prediction(), order((0, 1), (1, 2), (2, 0)))
    assert list(found) == [figure.name for figure in FIGURES]
    expected = {
        "parts outside objects": 4 / 20,  # column 4
        "objects off semantic map": (8 + 8 + 8) / (16 + 8 + 8),
        "objects without semantic pixel": 2,  # the cats
        "objects without segment": 1,  # the cat below the other
        "labels without segment": 1,  # the dog; a kite cannot have one
        "segments without label": 1,  # the cat
        "keypoints outside objects": 0.5,
        "boundary on segment borders": 0.5,  # columns 3 to 6
        "boundary elsewhere": 0.1,
        "occlusion cycles": 1,
    }
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_what_a_task_is_needed_for_is_none_without_it():
    empty = consistency(ImagePrediction(SIZE), VOCABULARY)
    assert set(empty.values()) == {None}
    alone = consistency(ImagePrediction(SIZE, predicted_objects()), VOCABULARY)
    known = {name for name, value in alone.items() if value is not None}
    assert known == {"parts outside objects", "keypoints outside objects"}
    nobody = ImagePrediction(SIZE, predicted_objects()[[3]])
    assert set(consistency(nobody, VOCABULARY).values()) == {None}  # nothing to take a share of


def test_a_part_map_of_the_image_must_lie_on_objects_that_have_its_parts():
    made = prediction()
    scores = torch.zeros(3, 4, 8)
    scores[2, :, 2:5] = 1  # torso on columns 2, 3 of the person and 4 of the cat
    made.part_map = ScoreMap(scores, SIZE)
    assert of(made)["parts outside objects"] == pytest.approx(1 / 3)


def annotations():
    """As the prediction, but the second cat is a crowd on columns 6 to 7, and two pixels of the map differ."""
    boxes = BoxList([[0.0, 0, 3, 3], [4, 0, 5, 3], [6, 0, 7, 3]], SIZE)
    boxes.add_field("labels", torch.tensor([PERSON, CAT, CAT]))
    boxes.add_field("iscrowd", torch.tensor([False, False, True]))
    masks = torch.stack([columns(0, 3), columns(4, 5), columns(6, 7)]).byte()
    boxes.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
    parts = torch.zeros(3, 4, 8, dtype=torch.uint8)
    parts[0, 0, 1:5] = 1
    boxes.add_field("parts", PartMask(parts, torch.tensor([True, False, False]), SIZE, PARTS))
    people = BoxList([[0.0, 0, 3, 3], [7, 3, 7, 3]], SIZE)
    people.add_field("labels", torch.ones(2, dtype=torch.int64))
    places = torch.tensor([[[1.0, 1, 1], [6, 2, 2]], [[0, 0, 1], [0, 0, 1]]])  # the second is hidden, the last nobody's
    people.add_field("keypoints", Keypoints(places, SIZE, joints=JOINTS))
    semantic = torch.full((4, 8), PERSON_PIXEL, dtype=torch.uint8)
    semantic[:, 4:], semantic[0, 0], semantic[1, 0] = CAT_PIXEL, SKY, 255
    return ImageAnnotations(
        SIZE,
        boxes,
        people,
        SemanticMap(semantic),
        BoundaryMap(columns(3, 3).byte()),
        classes=torch.tensor([1.0, 0, 0, 1, 1]),
        image_id=5,
    )


def test_annotations_contradict_themselves_by_the_same_definitions():
    found = consistency(annotations(), VOCABULARY)
    expected = {
        "parts outside objects": 1 / 4,
        "objects off semantic map": 1 / (15 + 8),  # nobody says what one pixel is
        "objects without semantic pixel": 0,
        "objects without segment": 0,
        "labels without segment": 1,  # the dog
        "segments without label": 2,  # the cat, and the sky of one pixel
        "keypoints outside objects": 0,
        "boundary elsewhere": 0,
    }
    assert {name: found[name] for name in expected} == {name: pytest.approx(v) for name, v in expected.items()}
    # columns 3 to 6 are borders, and the corner with the pixels beside it
    assert found["boundary on segment borders"] == pytest.approx(4 / (16 + 3))
    assert found["occlusion cycles"] is None


@pytest.mark.parametrize(
    ("pairs", "cycles"),
    [
        ([], 0),
        ([(0, 1), (1, 2), (0, 2)], 0),
        ([(0, 1), (1, 0)], 0),  # they hide parts of each other
        ([(0, 1), (1, 2), (2, 0)], 1),
        ([(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)], 2),
        ([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], 1),
    ],
)
def test_cycles_of_the_order(pairs, cycles):
    assert count_cycles(order(*pairs, count=6)) == cycles


def test_means_are_over_images_that_have_a_value():
    evaluator = ConsistencyEvaluator(VOCABULARY)
    bare = ImageAnnotations(SIZE, image_id=6)
    with_all = derive_outputs(prediction(), [TASKS["panoptic"]], VOCABULARY)
    evaluator.process([with_all, ImagePrediction(SIZE)], [annotations(), bare])
    evaluator.evaluate()
    told = evaluator.to_dict()
    row = {each["name"]: each for each in told["figures"]}
    assert told["images"] == 2
    assert row["keypoints outside objects"]["prediction"] == 0.5
    assert row["parts outside objects"]["ground_truth"] == 0.25
    assert row["occlusion cycles"]["prediction"] is None
    assert math.isnan(evaluator.scores.metrics["occlusion cycles"])
    head, first, *_ = consistency_rows(told)
    assert head[:3] == ("contradiction", "prediction", "ground truth")
    assert first[:3] == ("parts outside objects", "20.0 %", "25.0 %")
    assert consistency_rows(told)[4][1] == "1.00 per image" and consistency_rows(told)[-1][1] == "-"


def test_nothing_is_measured_without_segments():
    assert consistency_evaluator(["detection", "semantic"], VOCABULARY, None) is None
    cfg = default_cfg.clone()
    cfg.TEST.PANOPTIC.SCORE_THRESH = 0.7
    evaluator = consistency_evaluator(["detection", "panoptic"], VOCABULARY, cfg)
    assert evaluator.task.key == CONSISTENCY
    # of the objects from 0.7 none is without a segment
    made = derive_outputs(prediction(), [TASKS["panoptic"]], VOCABULARY)
    assert evaluator.task.encode(made, VOCABULARY)["objects without segment"] == 0


def test_parts_that_are_limited_to_segments_are_in_their_objects():
    cfg = default_cfg.clone()
    cfg.TEST.JOINT.PARTS = True
    made = complete_outputs(prediction(), [TASKS["part"], TASKS["panoptic"]], VOCABULARY, cfg)
    assert consistency(made, VOCABULARY)["parts outside objects"] == 0
