"""Joints: OKS with either set of sigmas and PCK, on people whose figures can be told by hand."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator, object_keypoint_similarity
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, DETAIL_JOINTS, JointSet, Keypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.keypoint import KEYPOINT
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (200, 150)
BOX = [10, 10, 109, 109]
# a person who stands: head 10 above the neck, left shoulder and right hip 50 apart
STANDING = [
    (50, 20), (50, 30),
    (65, 35), (75, 50), (80, 65), (60, 75), (62, 90), (63, 105),
    (35, 35), (25, 50), (20, 65), (35, 75), (38, 90), (37, 105),
]  # fmt: skip
SWAPPED = [STANDING[k] for k in DETAIL_JOINTS.flip_indices]


def person(places=STANDING, shown=range(14), move=(0, 0)):
    joints = np.zeros((14, 3))
    joints[list(shown), :2] = np.array(places)[list(shown)] + move
    joints[list(shown), 2] = 1
    return joints


def annotations(*people, image_id=1, box=BOX):
    boxes = BoxList(torch.tensor([box] * len(people), dtype=torch.float32).reshape(-1, 4), SIZE)
    boxes.add_field("labels", torch.ones(len(people), dtype=torch.int64))
    if people:
        boxes.add_field("keypoints", Keypoints(torch.tensor(np.stack(people)), SIZE, joints=DETAIL_JOINTS))
    return ImageAnnotations(SIZE, people=boxes, image_id=image_id)


def prediction(*people, scores=None, labels=None):
    boxes = BoxList(torch.tensor([BOX] * len(people), dtype=torch.float32).reshape(-1, 4), SIZE)
    boxes.add_field("labels", torch.tensor(labels or [3] * len(people)))
    boxes.add_field("scores", torch.tensor(scores or [0.9 - 0.1 * k for k in range(len(people))]))
    joints = torch.tensor(np.stack(people)) if people else torch.zeros(0, 14, 3)
    boxes.add_field("keypoints", Keypoints(joints, SIZE, joints=DETAIL_JOINTS))
    return ImagePrediction(SIZE, instances=boxes)


def evaluator_of(joints, names=("person",)):
    return KeypointEvaluator(KEYPOINT, Vocabulary(thing_names=names, joints=joints))


def score(*pairs):
    evaluator = evaluator_of(DETAIL_JOINTS, ("dog", "cat", "person"))
    for key, (answer, target) in enumerate(pairs):
        evaluator.process([answer], [target], [key])
    evaluator.evaluate()
    return evaluator


def test_a_perfect_answer_scores_one_everywhere_and_an_empty_one_nothing():
    perfect = score((prediction(person()), annotations(person())))
    shown = {name: value for name, value in perfect.scores.metrics.items() if not np.isnan(value)}
    assert list(shown.values()) == pytest.approx([1] * len(shown)) and "APm" not in shown and "APl" in shown
    empty = score((prediction(), annotations(person()))).scores.metrics
    assert all(empty[name] == 0 for name in shown)


def test_keypoint_similarity_uses_the_joint_sigmas_and_the_boxes_area():
    offset, area = 12.0, 100 * 100
    similarity = np.mean(np.exp(-(offset**2) / (2 * area * (2 * np.array(DETAIL_JOINTS.sigmas)) ** 2)))
    metrics = score((prediction(person(move=(offset, 0))), annotations(person()))).scores.metrics
    reached = (similarity >= np.linspace(0.5, 0.95, 10)).mean()
    assert 0 < reached < 1 and metrics["AP"] == pytest.approx(reached)


def test_details_own_similarity_hardly_minds():
    # its sigma of one half makes e^(-d^2 / 2 area) of a distance: .95 at 32 pixels in this box, .50 at 118
    far = [score((prediction(person(move=(x, 0))), annotations(person()))).scores.metrics for x in (32, 33, 117, 118)]
    assert [m["AP-detail-OKS"] for m in far] == pytest.approx([1, 0.9, 0.1, 0])
    assert [m["AP50-detail-OKS"] for m in far] == pytest.approx([1, 1, 1, 0]) and far[2]["AP75-detail-OKS"] == 0
    assert far[0]["AP50"] == far[0]["PCKh@0.2"] == 0


def test_only_predicted_people_and_annotated_joints_count():
    answer = prediction(person(), person(move=(3, 0)), labels=[3, 1], scores=[0.5, 0.9])
    metrics = score((answer, annotations(person(shown=range(1, 9))))).scores.metrics
    assert metrics["AP"] == pytest.approx(1)


def test_an_image_without_people_makes_predicted_people_false():
    right, wrong = prediction(person(), scores=[0.9]), prediction(person(), scores=[0.95])
    evaluator = score((right, annotations(person())), (wrong, annotations()))
    assert evaluator.scores.metrics["AP"] == pytest.approx(0.5)
    assert evaluator.image_scores() == pytest.approx({0: 1, 1: 0})


def test_people_without_joints_need_not_be_found():
    nobody = person(shown=[])
    evaluator = score((prediction(person()), annotations(person(), nobody)))
    assert evaluator.scores.metrics["AP"] == pytest.approx(1) and evaluator.scores.metrics["PCKh@0.2"] == 1
    evaluator = score((prediction(person()), annotations(nobody)))
    assert all(np.isnan(value) for value in evaluator.scores.metrics.values())
    assert evaluator.scores.reason == (
        "no image has an annotated person with keypoints that counts; no person has the keypoints head to neck; "
        "no person has the keypoints left shoulder to right hip"
    )


def test_swapped_sides_and_doubled_people_score_low():
    others = [person(), person(move=(80, 0))]
    good = score((prediction(*others), annotations(*others))).scores.metrics
    swapped = [person(SWAPPED), person(SWAPPED, move=(80, 0))]
    wrong = score((prediction(*swapped), annotations(*others))).scores.metrics
    doubled = score((prediction(others[0], others[0], others[1]), annotations(*others))).scores.metrics
    assert good["AP"] == pytest.approx(1) and good["PCKh@0.2"] == good["PCK@0.2-torso"] == 1
    # head and neck alone are where they were
    assert wrong["AP"] < 0.1 and wrong["PCKh@0.2"] == wrong["PCK@0.2-torso"] == pytest.approx(2 / 14)
    assert doubled["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    # the double is assigned to the second person, whose joints are elsewhere
    assert doubled["PCKh@0.2"] == 0.5


def test_a_prediction_far_from_everybody_costs_precision_but_takes_nobody():
    stray = prediction(person(move=(250, 0)), person(), scores=[0.9, 0.8])
    metrics = score((stray, annotations(person()))).scores.metrics
    assert metrics["AP"] == pytest.approx(0.5)
    assert metrics["PCKh@0.2"] == metrics["PCK@0.2-torso"] == 1


def test_correct_joints_are_those_within_a_fifth_of_either_unit():
    # head to neck is 10, left shoulder to right hip 50: a fifth is 2 and 10 pixels
    places = [(x, y) for x, y in STANDING]
    places[3], places[4], places[5] = (77, 50), (83, 65), (60, 86)  # 2, 3 and 11 away
    evaluator = score((prediction(person(places)), annotations(person())))
    assert evaluator.scores.metrics["PCKh@0.2"] == pytest.approx(12 / 14)
    assert evaluator.scores.metrics["PCK@0.2-torso"] == pytest.approx(13 / 14)
    by_head, by_torso = (evaluator.scores.per_class[name] for name in ("PCKh@0.2", "PCK@0.2-torso"))
    assert [name for name, share in by_head.items() if share == 0] == ["lwri", "lhip"]
    assert [name for name, share in by_torso.items() if share == 0] == ["lhip"]


def test_a_person_without_the_joints_of_the_unit_is_left_out():
    headless = person(shown=range(1, 14))
    evaluator = score((prediction(person(move=(5, 0))), annotations(headless)))
    assert np.isnan(evaluator.scores.metrics["PCKh@0.2"]) and evaluator.scores.metrics["PCK@0.2-torso"] == 1
    assert "no person has the keypoints head to neck" in evaluator.scores.reason
    assert np.isnan(evaluator.scores.per_class["PCK@0.2-torso"]["head"])
    # but it takes its prediction, so that another person does not get it
    both = annotations(headless, person(move=(80, 0)))
    assert score((prediction(person(shown=range(1, 14))), both)).scores.metrics["PCKh@0.2"] == 0


def test_joint_sets_have_the_figures_that_their_names_allow():
    def names(joints):
        return list(evaluator_of(joints).evaluate())

    assert names(DETAIL_JOINTS)[:6] == [
        "AP", "PCKh@0.2", "PCK@0.2-torso", "AP-detail-OKS", "AP50-detail-OKS", "AP75-detail-OKS",
    ]  # fmt: skip
    assert names(COCO_JOINTS)[:3] == ["AP", "PCK@0.2-torso", "AP50"]
    assert names(JointSet.from_names(["left_eye", "right_eye"]))[:2] == ["AP", "AP50"]


def test_the_protocol_names_every_sigma():
    protocol = evaluator_of(DETAIL_JOINTS).protocol
    assert all(f"{name} {sigma:g}" in protocol for name, sigma in zip(DETAIL_JOINTS.names, DETAIL_JOINTS.sigmas))
    assert "PCKh@0.2 in units of head to neck" in protocol and "0.5 for all joints" in protocol
    assert "detail" not in evaluator_of(COCO_JOINTS).protocol


def test_similarity_to_a_person_without_joints_is_measured_from_its_box():
    nobody, box, area = np.zeros((1, 14, 3)), np.array([[50.0, 50, 10, 10]]), np.array([100.0])
    sigmas = np.full(14, 0.5)  # 2 sigma is 1
    inside, outside = np.full((1, 14, 2), 65.0), np.full((1, 14, 2), (80.0, 65.0))
    # the box reaches from 40 to 70 when it is three times as large: ten pixels away
    places = np.concatenate([inside, outside])
    assert object_keypoint_similarity(places, nobody, box, area, sigmas)[:, 0] == pytest.approx([1, np.exp(-0.5)])


def test_wrong_numbers_of_joints_are_named():
    row = {"category_id": 3, "keypoints": [0.0] * 51, "score": 0.5}
    with pytest.raises(UserError, match="keypoint: image 1: prediction 0 needs 42 finite numbers as 'keypoints'"):
        score(({"keypoint": [row]}, annotations(person())))
    target = annotations()
    target.people = BoxList(torch.tensor([BOX], dtype=torch.float32), SIZE)
    target.people.add_field("coco_records", [{"id": 5, "bbox": [1, 1, 9, 9], "keypoints": [0.0] * 51}])
    with pytest.raises(UserError, match="annotation 5 has 51 numbers as 'keypoints', not x, y, v of each of 14 keyp"):
        score((prediction(person()), target))


CORNERS = JointSet.from_names(("nw", "ne", "se", "sw"), name="coco style: crate")


def boxes_with(labels, keypoints, size=SIZE):
    boxes = BoxList(torch.tensor([BOX] * len(labels), dtype=torch.float32), size)
    boxes.add_field("labels", torch.tensor(labels))
    boxes.add_field("keypoints", Keypoints(torch.tensor(keypoints, dtype=torch.float32), size, joints=CORNERS))
    return boxes


def scores_of(things, annotated, predicted):
    """Scores of an image: (labels, keypoints) of what is annotated and predicted, `things` have keypoints."""
    vocabulary = Vocabulary(("barrel", "crate", "box"), joints=CORNERS, keypoint_things=things)
    evaluator = KeypointEvaluator(KEYPOINT, vocabulary)
    objects = boxes_with(*predicted)
    objects.add_field("scores", torch.linspace(0.9, 0.5, len(objects)))
    prediction = {"keypoint": KEYPOINT.encode(ImagePrediction(SIZE, instances=objects), vocabulary)}
    evaluator.process([prediction], [ImageAnnotations(SIZE, people=boxes_with(*annotated), image_id=1)], [1])
    evaluator.evaluate()
    return evaluator.scores


SQUARE = [[10, 10, 2], [100, 10, 2], [100, 100, 1], [10, 100, 2]]
NOT_ANNOTATED = [[0, 0, 0]] * 4


def test_keypoints_of_any_thing_are_scored_and_objects_without_are_passed_over():
    scores = scores_of(("crate",), ([2, 2], [SQUARE, NOT_ANNOTATED]), ([2, 1], [SQUARE, SQUARE]))
    assert scores.metrics["AP"] == pytest.approx(1)
    nothing = scores_of(("crate",), ([2], [NOT_ANNOTATED]), ([2], [SQUARE]))
    assert np.isnan(nothing.metrics["AP"]) and "object with keypoints" in nothing.reason


def test_classes_that_share_keypoints_have_their_own_ap_and_its_mean():
    far = [[x + 500, y, v] for x, y, v in SQUARE]
    scores = scores_of(("crate", "box"), ([2, 3], [SQUARE, SQUARE]), ([2, 3], [SQUARE, far]))
    assert scores.metrics["AP"] == pytest.approx(0.5)
    assert scores.per_class["AP"] == pytest.approx({"crate": 1, "box": 0})
