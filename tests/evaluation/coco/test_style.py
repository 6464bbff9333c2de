"""Box and mask AP against hand-worked values and pycocotools' own file route."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.evaluation.coco.style import DetectionEvaluator, InstanceEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.detection import DETECTION
from maskrcnn_benchmark.tasks.instance import INSTANCE
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (200, 150)


def detection(names=(), protocol="coco"):
    return DetectionEvaluator(DETECTION, Vocabulary(thing_names=names), protocol)


def instance(protocol="coco"):
    return InstanceEvaluator(INSTANCE, Vocabulary(), protocol)


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
    assert score(detection(), [prediction(BOXES, [1, 2], [0.9, 0.8])], [target])["AP"] == pytest.approx(1)
    empty = prediction([], torch.zeros(0, dtype=torch.int64).tolist(), [])
    assert score(detection(), [empty], [target])["AP"] == 0


def test_boxes_include_their_last_pixel():
    # 40 x 20 of 40 x 40 is exactly one half; without the last pixel it would be 39 x 19 of 39 x 39, which is less
    values = score(detection(), [prediction([[10, 10, 49, 29]], [1], [0.9])], [annotations([[10, 10, 49, 49]], [1])])
    assert values["AP50"] == pytest.approx(1)
    assert values["AP"] == pytest.approx(0.1)  # one of ten IoU thresholds


def test_a_duplicate_ranked_before_another_object_lowers_ap():
    target = annotations([[10, 10, 49, 49], [100, 60, 149, 99]], [1, 1])
    good = prediction([[10, 10, 49, 49], [100, 60, 149, 99]], [1, 1], [0.9, 0.7])
    doubled = prediction([[10, 10, 49, 49], [10, 10, 49, 49], [100, 60, 149, 99]], [1, 1, 1], [0.9, 0.8, 0.7])
    assert score(detection(), [good], [target])["AP50"] == pytest.approx(1)
    # precision 1 up to recall .5 (51 of 101 points), 2/3 beyond it
    expected = (51 + 50 * 2 / 3) / 101
    assert score(detection(), [doubled], [target])["AP50"] == pytest.approx(expected)


def test_crowd_regions_neither_count_as_missed_nor_as_false():
    target = annotations(BOXES, [1, 1], iscrowd=torch.tensor([False, True]))
    answer = prediction([BOXES[0], [70, 30, 120, 80]], [1, 1], [0.5, 0.9])
    assert score(detection(), [answer], [target])["AP"] == pytest.approx(1)


def test_size_of_an_object_is_its_masks_area_where_it_has_one():
    masks = torch.zeros(1, 150, 200, dtype=torch.uint8)
    masks[0, 10, 10:110] = 1  # 100 pixels in a box of 10,000
    target = annotations([[10, 10, 109, 109]], [1], masks=SegmentationMask(masks, SIZE, mode="mask"))
    values = score(detection(), [prediction([[10, 10, 109, 109]], [1], [0.9])], [target])
    assert values["APs"] == pytest.approx(1)
    assert np.isnan(values["APl"])


@pytest.mark.parametrize("empty", [[], None, [[1, 2, 3, 4]], [[900, 900, 950, 900, 950, 950]]])
def test_an_object_without_a_mask_counts_for_boxes_only(empty):
    def square(x, y, side):
        return [[x, y, x + side, y, x + side, y + side, x, y + side]]

    rows = [
        {"id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0, "segmentation": square(10, 10, 40)},
        {"id": 2, "bbox": [60, 20, 80, 80], "area": 6400, "iscrowd": 0, "segmentation": empty},
    ]
    target = annotations(BOXES, [1, 1], coco_records=rows)
    mask = torch.ones(3, 1, 28, 28)
    boxes = [BOXES[0], [61, 21, 138, 98], [150, 100, 190, 140]]  # the second lies where nobody drew a mask
    found = prediction(boxes, [1] * 3, [0.5, 0.9, 0.1], mask=mask)
    assert score(instance(), [found], [target])["AP"] == pytest.approx(1)
    found = prediction(boxes[:1], [1], [0.5], mask=mask[:1])
    assert score(instance(), [found], [target])["AR"] == pytest.approx(1)
    assert score(detection(), [found], [target])["AP"] == pytest.approx(51 / 101)  # the second was missed
    bare = annotations(BOXES[1:], [1], coco_records=rows[1:])
    assert not instance().is_annotated(bare) and instance().is_annotated(target)


def test_half_a_mask_is_found_at_half_the_overlap():
    masks = torch.zeros(1, 150, 200, dtype=torch.uint8)
    masks[0, 10:50, 10:50] = 1
    target = annotations([[10, 10, 49, 49]], [1], masks=SegmentationMask(masks, SIZE, mode="mask"))
    whole = prediction([[10, 10, 49, 49]], [1], [0.9], mask=torch.ones(1, 1, 28, 28))
    assert score(instance(), [whole], [target])["AP75"] == pytest.approx(1)
    half = torch.ones(1, 1, 28, 28)
    half[..., 13:] = 0
    values = score(instance(), [prediction([[10, 10, 49, 49]], [1], [0.9], mask=half)], [target])
    assert values["AP50"] == 0


@pytest.mark.parametrize("protocol", ["coco", "detail"])
def test_the_further_boxes_are_shifted_the_lower_they_score(protocol):
    target = annotations(BOXES, [1, 2])

    def shifted(pixels):
        boxes = [[x1 + pixels, y1, x2 + pixels, y2] for x1, y1, x2, y2 in BOXES]
        return score(detection(protocol=protocol), [prediction(boxes, [1, 2], [0.9, 0.8])], [target])["AP"]

    scores = [shifted(pixels) for pixels in (0, 4, 10, 45)]
    # 36 of 44 and 76 of 84 columns in common: 7 and 9 thresholds; 30 of 50 and 70 of 90: 3 (0.6 is reached) and 6
    assert scores == pytest.approx([1, (7 + 9) / 20, (3 + 6) / 20, 0])


def test_details_protocol_counts_detections_that_cocos_cuts_off():
    away = [[150, 120, 160, 130]] * 100
    answer = prediction([*away, BOXES[0]], [1] * 101, [*[0.9] * 100, 0.1])
    coco = score(detection(("dog",)), [answer], [annotations(BOXES[:1], [1])])
    detail = score(detection(("dog",), "detail"), [answer], [annotations(BOXES[:1], [1])])
    assert coco["AP"] == coco["AR"] == detail["AR@100"] == 0
    assert detail["AR"] == 1 and detail["AP"] == pytest.approx(1 / 101)
    assert list(detail) == ["AP", "AP50", "AP75", "AR", "AR@1", "AR@10", "AR@100"]


def test_each_class_has_a_figure_and_one_without_objects_has_none():
    evaluator = detection(("dog", "cat", "car"))
    answer = prediction([BOXES[0], [60, 20, 139, 59]], [1, 2], [0.9, 0.8])  # half of the second
    metrics = score(evaluator, [answer], [annotations(BOXES, [1, 2])])
    per_class = evaluator.scores.per_class
    assert per_class["AP50"]["dog"] == per_class["AP50"]["cat"] == pytest.approx(1)
    assert per_class["AP"]["dog"] == pytest.approx(1) and per_class["AP"]["cat"] == pytest.approx(0.1)
    assert np.isnan(per_class["AP"]["car"]) and np.isnan(per_class["AP50"]["car"])
    assert metrics["AP"] == pytest.approx(0.55)


def test_curves_are_the_mean_of_classes_that_have_objects():
    evaluator = detection(("dog", "cat", "car"))
    answer = prediction([BOXES[0], BOXES[0], [60, 20, 139, 59]], [1, 3, 2], [0.9, 0.9, 0.8])
    metrics = score(evaluator, [answer], [annotations(BOXES, [1, 2])])
    (curve,) = evaluator.scores.curves
    at_half, at_three_quarters, mean = curve.lines
    assert at_half.x.tolist() == at_three_quarters.x.tolist() == pytest.approx(np.linspace(0, 1, 101))
    assert at_half.y == pytest.approx(np.ones(101)) and at_three_quarters.y == pytest.approx(np.full(101, 0.5))
    assert mean.y.mean() == pytest.approx(metrics["AP"])
    assert "AP 100.0" in at_half.label and "AP 55.0" in mean.label


def test_nothing_annotated_is_not_a_score_of_zero():
    evaluator = detection(("dog",))
    answer = prediction(BOXES[:1], [1], [0.9])
    metrics = score(evaluator, [answer], [annotations([], [])])
    assert all(np.isnan(value) for value in metrics.values()) and metrics
    assert evaluator.scores.reason == "no image has an annotated object that counts"
    assert all(np.isnan(value) for value in detection(("dog",)).evaluate().values())


def test_the_reason_names_the_sizes_that_do_not_occur():
    evaluator = detection(("dog",))
    metrics = score(evaluator, [prediction(BOXES[:1], [1], [0.9])], [annotations(BOXES[:1], [1])])
    assert np.isnan(metrics["APs"]) and metrics["APm"] == pytest.approx(1)
    assert evaluator.scores.reason == "no annotated object is small or large"


def test_objects_without_an_area_are_told(caplog):
    target = annotations(BOXES, [1, 2])
    rows = [{"id": 1, "bbox": [0, 0, 40, 40]}, {"id": 2, "bbox": [0, 0, 40, 40], "area": 90}]
    target.instances.add_field("coco_records", rows)
    for protocol, told in (("coco", True), ("detail", False)):
        evaluator = detection(("dog", "cat"), protocol=protocol)
        score(evaluator, [prediction(BOXES, [1, 2], [0.9, 0.8])], [target])
        assert ("1 annotated objects have no area, which is taken from their boxes" in evaluator.scores.reason) == told
    assert caplog.text.count("1 annotated objects have no area") == 1


def test_scores_of_single_images():
    crowd = torch.tensor([True])
    cases = {
        "right": (prediction(BOXES, [1, 2], [0.9, 0.8]), annotations(BOXES, [1, 2]), 1),
        "one of two classes": (prediction(BOXES[:1], [1], [0.9]), annotations(BOXES, [1, 2]), 0.5),
        "too much": (prediction(BOXES[:1], [1], [0.9]), annotations([], []), 0),
        "too much, but not confident": (prediction(BOXES[:1], [1], [0.4]), annotations([], []), np.nan),
        "nothing found": (prediction([], [], []), annotations(BOXES, [1, 2]), 0),
        "a crowd found": (prediction(BOXES[:1], [1], [0.9]), annotations(BOXES[:1], [1], iscrowd=crowd), np.nan),
        "nothing there": (prediction([], [], []), annotations([], []), np.nan),
    }
    evaluator = detection(("dog", "cat"))
    evaluator.process(*zip(*(case[:2] for case in cases.values())), keys=list(cases))
    expected = {name: case[2] for name, case in cases.items()}
    assert evaluator.image_scores() == pytest.approx(expected, nan_ok=True)


def test_the_protocol_is_named():
    assert "at most 100 detections per image and class" in detection().protocol
    assert detection(protocol="detail").protocol.startswith("COCO's pairing")
    assert "any number of detections" in instance(protocol="detail").protocol


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("detection", {"bbox": [1, 2, 3], "score": 0.5, "category_id": 1}, "prediction 1 needs 4 finite numbers"),
        ("detection", {"bbox": [1, 2, 3, 4], "category_id": 1}, "prediction 1 needs a finite number as 'score'"),
        ("detection", {"bbox": [1, 2, 3, 4], "score": float("nan"), "category_id": 1}, "finite number as 'score'"),
        ("instance", {"segmentation": [[1, 2]], "score": 0.5, "category_id": 1}, "compressed run length"),
        (
            "instance",
            {"segmentation": {"size": [9, 9], "counts": b"11"}, "score": 0.5, "category_id": 1},
            r"the mask of prediction 1 is of \[9, 9\] \(height, width\), the image of \[150, 200\]",
        ),
    ],
)
def test_bad_rows_are_named(task, row, message):
    code = rle.encode(np.zeros((150, 200), np.uint8, order="F"))
    good = {"bbox": [1, 2, 3, 4], "segmentation": code, "score": 0.5, "category_id": 1}
    masks = SegmentationMask(torch.zeros(1, 150, 200, dtype=torch.uint8), SIZE, mode="mask")
    target = annotations(BOXES[:1], [1], image_id=77, masks=masks)
    evaluator = {"detection": detection, "instance": instance}[task]()
    with pytest.raises(UserError, match=f"{task}: image 77: .*{message}"):
        evaluator.process([{task: [good, row]}], [target])


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
    values = score(detection(), answers, targets)
    assert 0.1 < values["AP"] < 0.9
    expected = [reference.stats[k] for k in (0, 1, 2, 3, 4, 8)]
    names = ("AP", "AP50", "AP75", "APs", "APm", "AR")
    assert [values[name] for name in names] == pytest.approx(expected, abs=1e-9)
