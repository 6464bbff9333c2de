"""Box, mask and keypoint AP against hand-worked values and pycocotools' own file route."""

import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.evaluation.coco_keypoint import KeypointEvaluator
from maskrcnn_benchmark.evaluation.coco_style import DetectionEvaluator, InstanceEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

SIZE = (200, 150)


def annotations(boxes, labels, image_id=1, **fields):
    return ImageAnnotations(SIZE, instances=box_list(boxes, labels=torch.tensor(labels), **fields), image_id=image_id)


def prediction(boxes, labels, scores, **fields):
    instances = box_list(boxes, labels=torch.tensor(labels), scores=torch.tensor(scores), **fields)
    return ImagePrediction(SIZE, instances=instances)


def box_list(boxes, **fields):
    boxes = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    for name, field in fields.items():
        boxes.add_field(name, field)
    return boxes


def score(evaluator, predictions, targets):
    evaluator.process(predictions, targets)
    return evaluator.evaluate()


BOXES = [[10, 10, 49, 49], [60, 20, 139, 99]]


def test_exact_boxes_score_one_and_none_score_zero():
    target = annotations(BOXES, [1, 2])
    assert score(DetectionEvaluator(), [prediction(BOXES, [1, 2], [0.9, 0.8])], [target])["AP"] == pytest.approx(1)
    empty = prediction([], torch.zeros(0, dtype=torch.int64).tolist(), [])
    assert score(DetectionEvaluator(), [empty], [target])["AP"] == 0


def test_boxes_include_their_last_pixel():
    # 40 x 20 of 40 x 40 is exactly one half; without the last pixel it would be 39 x 19 of 39 x 39, which is less
    values = score(
        DetectionEvaluator(), [prediction([[10, 10, 49, 29]], [1], [0.9])], [annotations([[10, 10, 49, 49]], [1])]
    )
    assert values["AP50"] == pytest.approx(1)
    assert values["AP"] == pytest.approx(0.1)  # one of ten IoU thresholds


def test_a_duplicate_ranked_before_another_object_lowers_ap():
    target = annotations([[10, 10, 49, 49], [100, 60, 149, 99]], [1, 1])
    good = prediction([[10, 10, 49, 49], [100, 60, 149, 99]], [1, 1], [0.9, 0.7])
    doubled = prediction([[10, 10, 49, 49], [10, 10, 49, 49], [100, 60, 149, 99]], [1, 1, 1], [0.9, 0.8, 0.7])
    assert score(DetectionEvaluator(), [good], [target])["AP50"] == pytest.approx(1)
    # precision 1 up to recall .5 (51 of 101 points), 2/3 beyond it
    expected = (51 + 50 * 2 / 3) / 101
    assert score(DetectionEvaluator(), [doubled], [target])["AP50"] == pytest.approx(expected)


def test_crowd_regions_neither_count_as_missed_nor_as_false():
    target = annotations(BOXES, [1, 1], iscrowd=torch.tensor([False, True]))
    answer = prediction([BOXES[0], [70, 30, 120, 80]], [1, 1], [0.5, 0.9])
    assert score(DetectionEvaluator(), [answer], [target])["AP"] == pytest.approx(1)


def test_size_of_an_object_is_its_masks_area_where_it_has_one():
    masks = torch.zeros(1, 150, 200, dtype=torch.uint8)
    masks[0, 10, 10:110] = 1  # 100 pixels in a box of 10,000
    target = annotations([[10, 10, 109, 109]], [1], masks=SegmentationMask(masks, SIZE, mode="mask"))
    values = score(DetectionEvaluator(), [prediction([[10, 10, 109, 109]], [1], [0.9])], [target])
    assert values["APs"] == pytest.approx(1)
    assert np.isnan(values["APl"])


def test_half_a_mask_is_found_at_half_the_overlap():
    masks = torch.zeros(1, 150, 200, dtype=torch.uint8)
    masks[0, 10:50, 10:50] = 1
    target = annotations([[10, 10, 49, 49]], [1], masks=SegmentationMask(masks, SIZE, mode="mask"))
    whole = prediction([[10, 10, 49, 49]], [1], [0.9], mask=torch.ones(1, 1, 28, 28))
    assert score(InstanceEvaluator(), [whole], [target])["AP75"] == pytest.approx(1)
    half = torch.ones(1, 1, 28, 28)
    half[..., 13:] = 0
    values = score(InstanceEvaluator(), [prediction([[10, 10, 49, 49]], [1], [0.9], mask=half)], [target])
    assert values["AP50"] == 0


def person(offset=0.0, shown=range(14)):
    joints = torch.zeros(1, 14, 3)
    shown = list(shown)
    joints[0, shown, 0] = 20.0 + 5 * torch.tensor(shown) + offset
    joints[0, shown, 1] = 30.0
    joints[0, shown, 2] = 1
    return Keypoints(joints, SIZE, joints=DETAIL_JOINTS)


def people(keypoints, box=(10, 10, 109, 109)):
    people = box_list([box], labels=torch.ones(1, dtype=torch.int64), keypoints=keypoints)
    return ImageAnnotations(SIZE, people=people, image_id=1)


def test_keypoint_similarity_uses_the_joint_sigmas_and_the_boxes_area():
    offset = 12.0
    area = 100 * 100
    similarity = np.mean(np.exp(-(offset**2) / (2 * area * (2 * np.array(DETAIL_JOINTS.sigmas)) ** 2)))
    answer = prediction([[10, 10, 109, 109]], [3], [0.9], keypoints=person(offset))
    values = score(KeypointEvaluator(DETAIL_JOINTS, person_label=3), [answer], [people(person())])
    reached = (similarity >= np.linspace(0.5, 0.95, 10)).mean()
    assert 0 < reached < 1
    assert values["AP"] == pytest.approx(reached)


def test_only_predicted_people_and_annotated_joints_count():
    keypoints = Keypoints(torch.cat([person().keypoints, person(3.0).keypoints]), SIZE, joints=DETAIL_JOINTS)
    answer = prediction([BOXES[0]] * 2, [3, 1], [0.5, 0.9], keypoints=keypoints)
    partly = people(person(shown=range(3, 9)))
    assert score(KeypointEvaluator(DETAIL_JOINTS, 3), [answer], [partly])["AP"] == pytest.approx(1)


def test_an_image_without_people_makes_predicted_people_false():
    nobody = ImageAnnotations(SIZE, people=box_list([]), image_id=2)
    answer = prediction([BOXES[0]], [3], [0.95], keypoints=person())
    right = prediction([BOXES[0]], [3], [0.9], keypoints=person())
    values = score(KeypointEvaluator(DETAIL_JOINTS, 3), [right, answer], [people(person()), nobody])
    assert values["AP"] == pytest.approx(0.5)


def test_box_ap_agrees_with_pycocotools_on_files(tmp_path):
    rng = np.random.default_rng(0)
    targets, answers, truth_entries, result_entries = [], [], [], []
    for image_id in range(1, 9):
        boxes = rng.integers(0, 80, (5, 4)) + np.array([0, 0, 100, 70]) * np.array([0, 0, 1, 1])
        boxes[:, 2:] = boxes[:, :2] + rng.integers(15, 60, (5, 2))
        labels = rng.integers(1, 4, 5)
        moved, scores = boxes + rng.integers(-4, 5, boxes.shape), rng.random(5)
        targets.append(annotations(boxes.tolist(), labels.tolist(), image_id))
        answers.append(prediction(moved.tolist(), labels.tolist(), scores.tolist()))
        for entries, corners in ((truth_entries, boxes), (result_entries, moved)):
            for box, label in zip(corners.tolist(), labels.tolist()):
                x, y, w, h = box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1
                entries.append({"image_id": image_id, "category_id": label, "bbox": [x, y, w, h]})
        for entry, value in zip(result_entries[-5:], scores.tolist()):
            entry["score"] = value
    for number, entry in enumerate(truth_entries, 1):
        entry.update(id=number, iscrowd=0, area=entry["bbox"][2] * entry["bbox"][3])
    truth = {"images": [{"id": k} for k in range(1, 9)], "categories": [{"id": k} for k in (1, 2, 3)]}
    (tmp_path / "truth.json").write_text(json.dumps({**truth, "annotations": truth_entries, "info": {}}))
    (tmp_path / "results.json").write_text(json.dumps(result_entries))
    coco = COCO(str(tmp_path / "truth.json"))
    reference = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    values = score(DetectionEvaluator(), answers, targets)
    assert 0.1 < values["AP"] < 0.9
    expected = [reference.stats[k] for k in (0, 1, 2, 3, 4, 8)]
    names = ("AP", "AP50", "AP75", "APs", "APm", "AR")
    assert [values[name] for name in names] == pytest.approx(expected, abs=1e-9)
