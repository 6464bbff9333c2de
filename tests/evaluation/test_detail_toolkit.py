"""The rules of PASCAL in Detail's own programs, each on an example that is worked out by hand."""

import numpy as np
import pytest
import torch
from detail_files import CATEGORIES, PARTS, person, rectangle, region
from detail_files import DOG as DOG_ID
from detail_files import PERSON as PERSON_ID
from detail_files import SKY as SKY_ID
from detail_sets import opened

from maskrcnn_benchmark.evaluation.detail_toolkit import box_overlaps, toolkit_average_precision
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS

DOG, PERSON = 1, 2  # labels: things first, in the official order; sky is 3
LEFT, RIGHT = (0, 0, 4, 4), (10, 2, 15, 7)  # corners, inclusive
HALF_RECALL = 51 / 101  # of 101 recalls 51 are at most a half


@pytest.fixture
def score(tmp_path):
    """score(key, regions of each image, rows predicted on each, (image, corners) of persons) -> {metric: value}.

    Images are 20 wide and 10 high. A region is (category id, corners) or (category id, corners, iscrowd).
    """

    def run(key, regions, predictions, persons=()):
        size = {"width": 20, "height": 10, "phase": "val"}
        images = [{"image_id": k, "file_name": f"{k}.jpg", **size} for k in range(len(regions))]
        rows = [(image, *row) for image, found in zip(images, regions) for row in found]
        content = {
            "images": images,
            "categories": CATEGORIES,
            "parts": PARTS,
            "annos_segmentation": [
                region(number, image, category, corners, None, *crowd)
                for number, (image, category, corners, *crowd) in enumerate(rows, 1)
            ],
            "annos_joints": [person(number, images[k], corners) for number, (k, corners) in enumerate(persons, 1)],
            "annos_boundary": [],
            "annos_occlusion": [],
        }
        (tmp_path / "images").mkdir()
        dataset = opened(tmp_path, content, "val")
        task = TASKS.get(key, PROPOSALS)
        evaluator = task.build_evaluator(dataset.vocabulary, Protocols(detection=DETAIL_TOOLKIT))
        targets = [dataset.get_annotations(k) for k in range(len(images))]
        evaluator.process([{task.key: rows} for rows in predictions], targets)
        return evaluator.evaluate()

    return run


def box(label, corners, score=0.9):
    x1, y1, x2, y2 = corners
    return {"category_id": label, "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1], "score": score}


def mask(label, corners, score=0.9):
    return {"category_id": label, "segmentation": rectangle((10, 20), corners), "score": score}


def pose(corners, score):
    return {"category_id": PERSON, "keypoints": person(1, {"image_id": 0}, corners)["keypoints"], "score": score}


def test_two_negative_sides_in_common_are_multiplied():
    found = box_overlaps(np.array([[0.0, 0, 1, 1]]), np.array([[2.0, 2, 2, 2], [3, 0, 1, 1], [3, 2, 1, 1]]))
    # -1 * -1 in common of the areas 1 and 4; beside one another nothing; -2 * -1 of 1 and 1 leave a union of 0
    assert found.tolist() == [[1 / (1 + 4 - 1), 0.0, np.inf]]


def test_boxes_on_images_that_nobody_annotated_are_wrong(score):
    metrics = score("detection", [[(DOG_ID, LEFT)], []], [[box(DOG, LEFT, 0.5)], [box(DOG, LEFT, 0.9)]])
    assert metrics["AP"] == metrics["AP50"] == pytest.approx(1 / 2) and metrics["AR"] == 1


def test_boxes_on_crowds_are_wrong(score):
    regions = [[(PERSON_ID, LEFT, 1), (PERSON_ID, RIGHT)]]
    assert score("detection", regions, [[box(PERSON, LEFT, 0.9), box(PERSON, RIGHT, 0.5)]])["AP"] == pytest.approx(0.5)


def test_a_class_that_is_predicted_but_not_annotated_counts_0_and_one_that_is_neither_does_not(score):
    metrics = score("detection", [[(DOG_ID, LEFT), (SKY_ID, RIGHT)]], [[box(DOG, LEFT), box(PERSON, LEFT)]])
    assert metrics["AP"] == pytest.approx((1 + 0) / 2) and metrics["AR"] == 1


def test_boxes_are_of_any_number_and_beside_that_of_few_per_image_and_class(score):
    metrics = score("detection", [[(DOG_ID, LEFT), (DOG_ID, RIGHT)]], [[box(DOG, LEFT), box(DOG, RIGHT, 0.8)]])
    assert metrics["AP"] == metrics["AP@10"] == pytest.approx(1)
    assert metrics["AP@1"] == pytest.approx(HALF_RECALL) and metrics["AR@1"] == 0.5


def test_masks_are_what_is_left_of_regions_painted_over_one_another(score):
    first, second = (0, 0, 9, 9), (5, 0, 14, 9)
    predicted = [[mask(DOG, second, 0.9), mask(DOG, first, 0.8)]]
    metrics = score("instance", [[(DOG_ID, first), (DOG_ID, second)]], predicted)
    # half of the first is left: an IoU of 50 / 100
    assert metrics["AP50"] == pytest.approx(1) and metrics["AP"] == pytest.approx((1 + 9 * HALF_RECALL) / 10)


def test_a_region_of_which_nothing_is_left_is_no_object_and_a_crowd_is_one(score):
    regions = [[(PERSON_ID, LEFT), (PERSON_ID, LEFT), (DOG_ID, RIGHT, 1)]]
    assert score("instance", regions, [[mask(PERSON, LEFT), mask(DOG, RIGHT)]])["AP"] == pytest.approx(1)


def test_the_regions_of_a_category_without_instances_are_one_object(score):
    metrics = score("instance", [[(DOG_ID, LEFT), (SKY_ID, LEFT), (SKY_ID, RIGHT)]], [[mask(DOG, LEFT)]])
    assert metrics["AP-things"] == pytest.approx(1) and metrics["AP"] == pytest.approx((1 + 0) / 2)
    assert metrics["AR"] == pytest.approx((1 + 0) / 2)


def test_masks_on_images_that_nobody_annotated_are_wrong(score):
    regions, predicted = [[(DOG_ID, LEFT)], []], [[mask(DOG, LEFT, 0.5)], [mask(DOG, LEFT, 0.9)]]
    assert score("instance", regions, predicted)["AP"] == pytest.approx(1 / 2)


def test_the_first_record_of_keypoints_is_never_found(score):
    regions = [[(PERSON_ID, LEFT)], [(PERSON_ID, RIGHT)]]
    metrics = score("keypoint", regions, [[pose(LEFT, 0.9)], [pose(RIGHT, 0.8)]], [(0, LEFT), (1, RIGHT)])
    assert metrics["AP"] == pytest.approx(HALF_RECALL * 1 / 2) and metrics["AR"] == 0.5
    assert "AP-detail-OKS" not in metrics


def test_keypoints_count_on_the_images_that_show_a_person_by_their_regions(score):
    regions = [[(PERSON_ID, LEFT)], [(PERSON_ID, RIGHT)], [(DOG_ID, LEFT)], [(PERSON_ID, LEFT)]]
    # the third image shows nobody; nobody recorded the person of the fourth
    predicted = [[], [pose(RIGHT, 0.5)], [pose(LEFT, 1)], [pose(LEFT, 0.9)]]
    metrics = score("keypoint", regions, predicted, [(0, LEFT), (1, RIGHT)])
    assert metrics["AP"] == pytest.approx(HALF_RECALL * 1 / 2)


def test_the_similarity_of_keypoints_is_that_of_one_sigma_and_the_area_of_the_box(score):
    regions, persons = [[(PERSON_ID, LEFT), (PERSON_ID, RIGHT)]], [(0, LEFT), (0, RIGHT)]
    # both labelled keypoints 6 pixels off: exp(-36 / (2 * 0.5)^2 / 36 / 2) = 0.61 of the box of 6 x 6
    moved = pose(RIGHT, 0.9)
    moved["keypoints"][0:7:6] = [number + 6 for number in moved["keypoints"][0:7:6]]
    metrics = score("keypoint", regions, [[moved]], persons)
    # one of two persons, at the thresholds 0.5, 0.55 and 0.6
    assert metrics["AP"] == pytest.approx(0.3 * HALF_RECALL) and metrics["AR"] == pytest.approx(0.3 * 0.5)


def test_labels_that_do_not_occur_count_0_and_images_without_annotation_or_prediction_count(score):
    scores = [np.array([0.9, 0.1, 0.2]), None, np.array([0.95, 0.3, 0.3])]
    metrics = score("classification", [[(DOG_ID, LEFT)], [(DOG_ID, LEFT)], []], scores)
    # dog: wrong, right, right; persons and skies are nowhere
    assert metrics["mAP"] == pytest.approx((1 / 2 * 2 / 3 + 1 / 2 * 2 / 3) / 3)


def test_labels_of_equal_score_come_as_argsort_leaves_them():
    scores, positive = np.repeat(0.5, 40), np.arange(40) < 20
    ranks = 1 + np.flatnonzero(positive[np.argsort(-scores)])
    precision = np.arange(1, 21) / ranks
    assert toolkit_average_precision(scores, positive) == pytest.approx(
        np.mean([precision[k:].max() for k in range(20)])
    )
    assert toolkit_average_precision(scores, positive & False) == 0


def test_proposals_are_of_all_classes_together(score):
    proposals = np.array([[*RIGHT], [0, 0, 1, 1], [*LEFT]], np.float32)
    metrics = score("box_proposal", [[(DOG_ID, LEFT), (PERSON_ID, RIGHT)]], [proposals])
    assert metrics == {"AR@1000": 1, "AR@100": 1, "AR@10": 1, "AR@1": 0.5}


@pytest.mark.parametrize("key", ["detection", "instance"])
def test_other_layouts_are_scored_by_their_instances(key):
    instances = BoxList(torch.tensor([LEFT, RIGHT]), (20, 10))
    instances.add_field("labels", torch.tensor([1, 1]))
    bitmaps = torch.zeros(2, 10, 20, dtype=torch.uint8)
    bitmaps[0, :5, :5] = bitmaps[1, 2:8, 10:16] = 1
    instances.add_field("masks", SegmentationMask(bitmaps, (20, 10), mode="mask"))
    targets = [ImageAnnotations((20, 10), instances=instances, image_id=0), ImageAnnotations((20, 10), image_id=1)]
    evaluator = TASKS[key].build_evaluator(Vocabulary(thing_names=("dog",)), Protocols(detection=DETAIL_TOOLKIT))
    make = box if key == "detection" else mask
    evaluator.process([{key: [make(1, LEFT, 0.9), make(1, RIGHT, 0.8)]}, {key: [make(1, LEFT, 0.85)]}], targets)
    # right, wrong, right
    assert evaluator.evaluate()["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_objects_of_a_file_that_have_no_mask_are_no_masks():
    instances = BoxList(torch.tensor([LEFT, RIGHT]), (20, 10))
    instances.add_field("labels", torch.tensor([1, 1]))
    rows = [
        {"id": 1, "bbox": [0, 0, 5, 5]},
        {"id": 2, "bbox": [10, 2, 6, 6], "segmentation": rectangle((10, 20), RIGHT)},
    ]
    instances.add_field("coco_records", rows)
    evaluator = TASKS["instance"].build_evaluator(Vocabulary(thing_names=("dog",)), Protocols(detection=DETAIL_TOOLKIT))
    evaluator.process([{"instance": [mask(1, RIGHT)]}], [ImageAnnotations((20, 10), instances=instances, image_id=0)])
    assert evaluator.evaluate()["AR"] == 1
